"""Write HFS volumes (Inside Macintosh: Files, chapter 2; fs/hfs in the kernel)."""

from __future__ import annotations

from errpath.images.hfs.entries import Entry, default_entries
from errpath.images.hfs.hfs_writer import SIGNATURE, write
from errpath.images.hfs.parameters import DATE, HfsParameters
from errpath.images.image import Image

__all__ = ["DATE", "SIGNATURE", "HfsVolume", "volume", "wrapper"]


class HfsVolume(HfsParameters):
    """An HFS volume to be written; `image()` writes it. The defaults are the smallest valid one."""

    def image(self) -> Image:
        """The volume as a disk image.

        Raises:
            UsageError: it does not fit its size, a name is given twice, a fork is too large.
        """
        return write(self)


def volume(
    *,
    name: str = "errpath",
    size: int | None = None,
    block_size: int = 512,
    entries: tuple[Entry, ...] | None = None,
    free_blocks: int = 64,
    spare_nodes: int = 8,
    records_per_node: int | None = None,
    date: int = DATE,
    file_threads: bool = True,
) -> HfsVolume:
    """The smallest valid HFS volume, with a small tree unless `entries` says otherwise."""
    return HfsVolume(
        name=name,
        size=size,
        block_size=block_size,
        entries=default_entries() if entries is None else entries,
        free_blocks=free_blocks,
        spare_nodes=spare_nodes,
        records_per_node=records_per_node,
        date=date,
        file_threads=file_threads,
    )


def wrapper(embedded: Image, *, name: str = "wrapper", block_size: int = 4096) -> HfsVolume:
    """An HFS volume around an HFS+ volume (TN1150 "HFS Wrapper").

    Args:
        embedded: its size must be a multiple of `block_size`.
        block_size: bytes; 65535 blocks of it must hold the embedded volume.
    """
    return HfsVolume(name=name, block_size=block_size, free_blocks=1, embedded=embedded)
