"""Write HFS volumes (Inside Macintosh: Files, chapter 2; fs/hfs in the kernel)."""

from __future__ import annotations

from dataclasses import dataclass, replace

from errpath.errors import UsageError
from errpath.images.hfs import macroman
from errpath.images.hfs.entries import Directory, Entry, File, check_paths, default_entries
from errpath.images.hfs.hfs_writer import SIGNATURE, write
from errpath.images.image import SECTOR, Image

__all__ = ["DATE", "SIGNATURE", "HfsVolume", "volume", "wrapper"]

# 2000-01-01, the date of everything that gives none.
DATE = 946684800


@dataclass(frozen=True)
class HfsVolume:
    """An HFS volume to be written; `image()` writes it. The defaults are the smallest valid one."""

    # The volume's name, 1 to 27 bytes in MacRoman; also the image's.
    name: str = "errpath"
    # Bytes of the device, a multiple of 512; None takes what the content needs.
    size: int | None = None
    # drAlBlkSiz: bytes, a multiple of 512.
    block_size: int = 512
    # What the volume holds, a directory before what it contains.
    entries: tuple[Entry, ...] = ()
    # Free allocation blocks behind the content, where `size` is None.
    free_blocks: int = 64
    # Free nodes in each B-tree, at least.
    spare_nodes: int = 8
    # At most so many records in a node; small numbers make deep trees out of few entries.
    records_per_node: int | None = None
    # Seconds since 1970, for the volume and for entries that give no date of their own.
    date: int = DATE
    # File threads, which the kernel writes and older systems did not.
    file_threads: bool = True
    # Extents of the catalog; over 3 need the extents tree.
    catalog_fragments: int = 1
    # A bigger drAlBlSt than needed shifts the allocation blocks by so many sectors.
    extra_sectors: int = 0
    # The HFS+ volume that this one wraps, a multiple of `block_size`.
    embedded: Image | None = None

    def __post_init__(self) -> None:
        if self.block_size < SECTOR or self.block_size % SECTOR:
            raise UsageError(f"block size {self.block_size}: expected a multiple of {SECTOR}")
        if self.size is not None and self.size % SECTOR:
            raise UsageError(f"size {self.size}: expected a multiple of {SECTOR}")
        for entry in self.entries:
            if not isinstance(entry, Directory | File):
                raise UsageError(f"{entry.path}: HFS has no {type(entry).__name__}")
        if self.embedded is not None and self.embedded.size % self.block_size:
            raise UsageError(
                f"an embedded volume of {self.embedded.size} bytes: expected a multiple of "
                f"{self.block_size}"
            )
        macroman.encode_name(self.name, limit=27)
        check_paths(self.entries)

    def with_entries(self, *entries: Entry) -> HfsVolume:
        """This volume with more in it."""
        return replace(self, entries=(*self.entries, *entries))

    def with_directory(self, path: str) -> HfsVolume:
        """This volume with one more directory."""
        return self.with_entries(Directory(path=path))

    def with_file(
        self, path: str, *, data: bytes = b"", resource: bytes = b"", fragments: int = 1
    ) -> HfsVolume:
        """This volume with one more file, its data fork in this many extents."""
        return self.with_entries(File(path=path, data=data, resource=resource, fragments=fragments))

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
