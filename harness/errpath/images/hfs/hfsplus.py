"""Write HFS+ and HFSX volumes (TN1150; fs/hfsplus in the kernel)."""

from __future__ import annotations

from errpath.images.hfs.entries import Entry, default_entries
from errpath.images.hfs.hfsplus_writer import SIGNATURE, SIGNATURE_X, write
from errpath.images.hfs.parameters import DATE, HfsPlusParameters
from errpath.images.image import Image

__all__ = ["SIGNATURE", "SIGNATURE_X", "HfsPlusVolume", "volume"]


class HfsPlusVolume(HfsPlusParameters):
    """An HFS+ volume to be written; `image()` writes it."""

    def image(self) -> Image:
        """The volume as a disk image.

        Raises:
            UsageError: it does not fit its size, a name is given twice.
        """
        return write(self)


def volume(
    *,
    name: str = "errpath",
    size: int | None = None,
    block_size: int = 4096,
    entries: tuple[Entry, ...] | None = None,
    hfsx: bool = False,
    case_sensitive: bool = False,
    journaled: bool = False,
    private_directory: bool = True,
    free_blocks: int = 16,
    spare_nodes: int = 4,
    records_per_node: int | None = None,
    attributes_tree: bool = False,
    date: int = DATE,
) -> HfsPlusVolume:
    """A small valid HFS+ volume, with a small tree unless `entries` says otherwise."""
    return HfsPlusVolume(
        name=name,
        size=size,
        block_size=block_size,
        entries=default_entries() if entries is None else entries,
        hfsx=hfsx,
        case_sensitive=case_sensitive,
        journaled=journaled,
        private_directory=private_directory,
        free_blocks=free_blocks,
        spare_nodes=spare_nodes,
        records_per_node=records_per_node,
        attributes_tree=attributes_tree,
        date=date,
    )
