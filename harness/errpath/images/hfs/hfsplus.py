"""Write HFS+ and HFSX volumes (TN1150; fs/hfsplus in the kernel)."""

from __future__ import annotations

from dataclasses import dataclass, replace

from errpath.errors import UsageError
from errpath.images.hfs import unistr
from errpath.images.hfs.entries import Directory, Entry, File, check_paths, default_entries
from errpath.images.hfs.hfs import DATE
from errpath.images.hfs.hfsplus_writer import SIGNATURE, SIGNATURE_X, write
from errpath.images.image import SECTOR, Image

__all__ = ["SIGNATURE", "SIGNATURE_X", "HfsPlusVolume", "volume"]


@dataclass(frozen=True)
class HfsPlusVolume:
    """An HFS+ volume to be written; `image()` writes it."""

    # The volume's name, which is the root directory's; also the image's.
    name: str = "errpath"
    # Bytes of the device, a multiple of 512; None takes what the content needs.
    size: int | None = None
    # blockSize: bytes, a power of two of 512 or more.
    block_size: int = 4096
    # What the volume holds, a directory before what it contains.
    entries: tuple[Entry, ...] = ()
    # HFSX: another signature and version; only it can tell names by case.
    hfsx: bool = False
    case_sensitive: bool = False
    # With a journal, which is empty. Bytes of it.
    journaled: bool = False
    journal_size: int = 65536
    # With the private metadata directory, which the first read-write mount makes where missing.
    private_directory: bool = True
    # Free allocation blocks behind the content, where `size` is None.
    free_blocks: int = 16
    # Free nodes in each B-tree, at least.
    spare_nodes: int = 4
    # At most so many records in a node; small numbers make deep trees out of few entries.
    records_per_node: int | None = None
    # Extents of the catalog and of the attributes file; over 8 need the extents tree. And of the
    # extents file, which has no others than those of the volume header.
    catalog_fragments: int = 1
    attributes_fragments: int = 1
    extents_fragments: int = 1
    # Bytes of a node: extents tree, catalog, attributes tree.
    extents_node_size: int = 4096
    catalog_node_size: int = 4096
    attributes_node_size: int = 8192
    # With an attributes tree even where no file has an attribute.
    attributes_tree: bool = False
    # Seconds since 1970, for the volume and for entries that give no date of their own.
    date: int = DATE

    def __post_init__(self) -> None:
        size = self.block_size
        if size < SECTOR or size & (size - 1):
            raise UsageError(f"block size {size}: expected a power of two, {SECTOR} or more")
        if self.size is not None and self.size % SECTOR:
            raise UsageError(f"size {self.size}: expected a multiple of {SECTOR}")
        if self.case_sensitive and not self.hfsx:
            raise UsageError("case_sensitive: expected hfsx=True, HFS+ always folds case")
        if not 1 <= self.extents_fragments <= 8:
            raise UsageError(f"extents_fragments {self.extents_fragments}: expected 1 to 8")
        unistr.encode_name(self.name)
        check_paths(self.entries)

    def with_entries(self, *entries: Entry) -> HfsPlusVolume:
        """This volume with more in it."""
        return replace(self, entries=(*self.entries, *entries))

    def with_directory(self, path: str) -> HfsPlusVolume:
        """This volume with one more directory."""
        return self.with_entries(Directory(path=path))

    def with_file(
        self, path: str, *, data: bytes = b"", resource: bytes = b"", fragments: int = 1
    ) -> HfsPlusVolume:
        """This volume with one more file, its data fork in this many extents."""
        return self.with_entries(File(path=path, data=data, resource=resource, fragments=fragments))

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
