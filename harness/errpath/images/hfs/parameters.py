"""What HFS and HFS+ volumes to be written consist of: sizes, entries, how the trees are shaped."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

from errpath.errors import UsageError
from errpath.images.hfs import macroman, unistr
from errpath.images.hfs.entries import Directory, Entry, File, check_paths
from errpath.images.image import SECTOR, Image

__all__ = ["DATE", "HfsParameters", "HfsPlusParameters"]

# 2000-01-01, the date of everything that gives none.
DATE = 946684800


@dataclass(frozen=True, kw_only=True)
class _Parameters:
    # The volume's name: in HFS 1 to 27 bytes in MacRoman, in HFS+ that of the root directory; also
    # the image's.
    name: str = "errpath"
    # Bytes of the device, a multiple of 512; None takes what the content needs.
    size: int | None = None
    # What the volume holds, a directory before what it contains.
    entries: tuple[Entry, ...] = ()
    # At most so many records in a node; small numbers make deep trees out of few entries.
    records_per_node: int | None = None
    # Seconds since 1970, for the volume and for entries that give no date of their own.
    date: int = DATE

    def __post_init__(self) -> None:
        if self.size is not None and self.size % SECTOR:
            raise UsageError(f"size {self.size}: expected a multiple of {SECTOR}")
        check_paths(self.entries)

    def with_entries(self, *entries: Entry) -> Self:
        """This volume with more in it."""
        return replace(self, entries=(*self.entries, *entries))

    def with_directory(self, path: str) -> Self:
        """This volume with one more directory."""
        return self.with_entries(Directory(path=path))

    def with_file(
        self, path: str, *, data: bytes = b"", resource: bytes = b"", fragments: int = 1
    ) -> Self:
        """This volume with one more file, its data fork in this many extents."""
        return self.with_entries(File(path=path, data=data, resource=resource, fragments=fragments))


@dataclass(frozen=True, kw_only=True)
class HfsParameters(_Parameters):
    """Of an HFS volume. The defaults are the smallest valid one."""

    # drAlBlkSiz: bytes, a multiple of 512.
    block_size: int = 512
    # Free allocation blocks behind the content, where `size` is None.
    free_blocks: int = 64
    # Free nodes in each B-tree, at least.
    spare_nodes: int = 8
    # File threads, which the kernel writes and older systems did not.
    file_threads: bool = True
    # Extents of the catalog; over 3 need the extents tree.
    catalog_fragments: int = 1
    # A bigger drAlBlSt than needed shifts the allocation blocks by so many sectors.
    extra_sectors: int = 0
    # The HFS+ volume that this one wraps, a multiple of `block_size`.
    embedded: Image | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.block_size < SECTOR or self.block_size % SECTOR:
            raise UsageError(f"block size {self.block_size}: expected a multiple of {SECTOR}")
        for entry in self.entries:
            if not isinstance(entry, Directory | File):
                raise UsageError(f"{entry.path}: HFS has no {type(entry).__name__}")
        if self.embedded is not None and self.embedded.size % self.block_size:
            raise UsageError(
                f"an embedded volume of {self.embedded.size} bytes: expected a multiple of "
                f"{self.block_size}"
            )
        macroman.encode_name(self.name, limit=27)


@dataclass(frozen=True, kw_only=True)
class HfsPlusParameters(_Parameters):
    """Of an HFS+ or HFSX volume."""

    # blockSize: bytes, a power of two of 512 or more.
    block_size: int = 4096
    # HFSX: another signature and version; only it can compare names by case.
    hfsx: bool = False
    case_sensitive: bool = False
    # With a journal, which is empty. Bytes of it.
    journaled: bool = False
    journal_size: int = 65536
    # kHFSUnusedNodeFixMask: nodes that are given back are cleared, as mkfs has it.
    unused_node_fix: bool = False
    # With the private metadata directory, which the first read-write mount makes where missing.
    private_directory: bool = True
    # Free allocation blocks behind the content, where `size` is None.
    free_blocks: int = 16
    # Free nodes in each B-tree, at least.
    spare_nodes: int = 4
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

    def __post_init__(self) -> None:
        super().__post_init__()
        size = self.block_size
        if size < SECTOR or size & (size - 1):
            raise UsageError(f"block size {size}: expected a power of two, {SECTOR} or more")
        if self.case_sensitive and not self.hfsx:
            raise UsageError("case_sensitive: expected hfsx=True, HFS+ always folds case")
        if not 1 <= self.extents_fragments <= 8:
            raise UsageError(f"extents_fragments {self.extents_fragments}: expected 1 to 8")
        unistr.encode_name(self.name)
