"""Write HFS volumes (Inside Macintosh: Files, chapter 2; fs/hfs in the kernel)."""

from __future__ import annotations

from dataclasses import dataclass, replace

from harness.errors import UsageError
from harness.images import macroman
from harness.images.blocks import Allocator, Extent
from harness.images.btree import BuiltTree, TreeShape, build_tree
from harness.images.entries import (
    Directory,
    Entry,
    File,
    check_paths,
    default_entries,
    mac_date,
)
from harness.images.formats import MDB
from harness.images.hfs_catalog import (
    BAD_BLOCKS,
    FIRST_USER,
    ROOT,
    Fork,
    Item,
    Style,
    catalog_records,
    extent_values,
    identify,
    overflow_records,
)
from harness.images.image import SECTOR, Image
from harness.images.layout import Value

__all__ = ["DATE", "SIGNATURE", "HfsVolume", "volume", "wrapper"]

# drSigWord: "BD"
SIGNATURE = 0x4244
# drAtrb: the volume was unmounted cleanly; has spared blocks; is locked by software. A wrapper is
# all of that, so that a system without HFS+ leaves it alone.
_UNMOUNTED, _SPARED, _LOCKED = 0x0100, 0x0200, 0x8000
# Sectors before the bitmap (two of boot blocks and the MDB), and behind the allocation blocks (the
# alternate MDB and one that is reserved).
_HEAD, _TAIL = 3, 2
_NODE_SIZE = 512
_CATALOG = TreeShape(node_size=_NODE_SIZE, max_key_length=37, key_length_size=1)
_EXTENTS = TreeShape(node_size=_NODE_SIZE, max_key_length=7, key_length_size=1)
_MAX_BLOCKS = 0xFFFF
# 2000-01-01, the date of everything that gives none.
DATE = 946684800


@dataclass(frozen=True)
class _Plan:
    """Where everything lies."""

    extents_tree: tuple[BuiltTree, Extent]
    catalog: tuple[BuiltTree, Extent]
    forks: tuple[Fork, ...]
    # Of the embedded volume; (0, 0) without one.
    embedded: Extent
    allocator: Allocator


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
        return _write(self)


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


def _allocate(volume: HfsVolume, items: list[Item], allocator: Allocator) -> tuple[Fork, ...]:
    forks: list[Fork] = []
    for item in items:
        if not isinstance(item.entry, File):
            continue
        entry = item.entry
        for kind, data, pieces in (
            (0x00, entry.data, entry.fragments),
            (0xFF, entry.resource, entry.resource_fragments),
        ):
            extents = allocator.fork(-(-len(data) // volume.block_size), pieces=pieces)
            forks.append(Fork(cnid=item.cnid, type=kind, data=data, extents=extents))
    if volume.embedded is not None:
        # Bad blocks, as far as a system without HFS+ can tell (TN1150 "HFS Wrapper").
        extent = allocator.take(volume.embedded.size // volume.block_size)
        forks.append(Fork(cnid=BAD_BLOCKS, type=0x00, data=b"", extents=(extent,)))
    return tuple(forks)


def _plan(volume: HfsVolume, items: list[Item], blocks: int) -> _Plan:
    """Lay out the volume: both trees first, then the forks.

    The trees' sizes depend on how many records there are, never on where the forks lie, so a first
    round at arbitrary places tells them.
    """
    multiple = max(1, volume.block_size // _NODE_SIZE)
    style = Style(date=volume.date, block_size=volume.block_size, file_threads=volume.file_threads)

    def trees(forks: tuple[Fork, ...]) -> tuple[BuiltTree, BuiltTree]:
        shapes = [
            replace(shape, records_per_node=volume.records_per_node)
            for shape in (_EXTENTS, _CATALOG)
        ]
        lists = [overflow_records(forks), catalog_records(items, forks, style)]
        built = [
            build_tree(records, shape, spare=volume.spare_nodes, multiple=multiple)
            for records, shape in zip(lists, shapes, strict=True)
        ]
        return built[0], built[1]

    sizes = [
        -(-len(tree.data) // volume.block_size)
        for tree in trees(_allocate(volume, items, Allocator(_MAX_BLOCKS)))
    ]
    allocator = Allocator(blocks)
    places = [allocator.take(size) for size in sizes]
    forks = _allocate(volume, items, allocator)
    extents_tree, catalog = trees(forks)
    embedded = next((fork.extents[0] for fork in forks if fork.cnid == BAD_BLOCKS), (0, 0))
    return _Plan((extents_tree, places[0]), (catalog, places[1]), forks, embedded, allocator)


def _bitmap_sectors(blocks: int) -> int:
    # The kernel reads (drNmAlBlks + 8) / 8 bytes.
    return -(-(blocks // 8 + 1) // SECTOR)


def _geometry(volume: HfsVolume, needed: int) -> tuple[int, int, int]:
    """(bytes of the device, allocation blocks, drAlBlSt in sectors)."""
    per_block = volume.block_size // SECTOR
    if volume.size is None:
        blocks = needed + volume.free_blocks
        start = _HEAD + _bitmap_sectors(blocks) + volume.extra_sectors
        return (start + blocks * per_block + _TAIL) * SECTOR, blocks, start
    sectors = volume.size // SECTOR
    blocks = (sectors - _HEAD - _TAIL - volume.extra_sectors) // per_block
    while blocks > 0:
        start = _HEAD + _bitmap_sectors(blocks) + volume.extra_sectors
        if start + blocks * per_block + _TAIL <= sectors:
            break
        blocks -= 1
    if not needed <= blocks <= _MAX_BLOCKS:
        raise UsageError(
            f"{volume.size} bytes hold {max(blocks, 0)} blocks of {volume.block_size}: "
            f"expected {needed} to {_MAX_BLOCKS}"
        )
    return volume.size, blocks, start


def _mdb(volume: HfsVolume, items: list[Item], plan: _Plan, blocks: int, start: int) -> bytes:
    name = macroman.encode_name(volume.name, limit=27)
    date = mac_date(volume.date)
    top = [item.entry for item in items if item.parent == ROOT]
    files = sum(isinstance(item.entry, File) for item in items)
    sizes = [len(tree.data) for tree, _ in (plan.extents_tree, plan.catalog)]
    values: dict[str, Value] = {
        "drSigWord": SIGNATURE,
        "drCrDate": date,
        "drLsMod": date,
        "drAtrb": _UNMOUNTED,
        "drNmFls": sum(isinstance(entry, File) for entry in top),
        "drVBMSt": _HEAD,
        "drAllocPtr": min(plan.allocator.next, blocks - 1),
        "drNmAlBlks": blocks,
        "drAlBlkSiz": volume.block_size,
        "drClpSiz": volume.block_size * 4,
        "drAlBlSt": start,
        "drNxtCNID": FIRST_USER + len(volume.entries),
        "drFreeBks": plan.allocator.free,
        "drVN.length": len(name),
        "drVN.text": name.ljust(27, b"\0"),
        "drWrCnt": 1,
        "drXTClpSiz": sizes[0],
        "drCTClpSiz": sizes[1],
        "drNmRtDirs": sum(isinstance(entry, Directory) for entry in top),
        "drFilCnt": files,
        "drDirCnt": len(items) - 1 - files,
        "drXTFlSize": sizes[0],
        "drCTFlSize": sizes[1],
    }
    if volume.embedded is not None:
        values |= {
            "drAtrb": _UNMOUNTED | _SPARED | _LOCKED,
            "drEmbedSigWord": int.from_bytes(volume.embedded.read(2 * SECTOR, 2), "big"),
            "drEmbedExtent.xdrStABN": plan.embedded[0],
            "drEmbedExtent.xdrNumABlks": plan.embedded[1],
        }
    values |= extent_values("drXTExtRec", [plan.extents_tree[1]])
    values |= extent_values("drCTExtRec", [plan.catalog[1]])
    return MDB.pack(values)


def _write(volume: HfsVolume) -> Image:
    items = identify(volume.entries, volume_name=volume.name)
    needed = _plan(volume, items, _MAX_BLOCKS).allocator.next
    size, blocks, start = _geometry(volume, needed)
    plan = _plan(volume, items, blocks)
    mdb = _mdb(volume, items, plan, blocks, start)
    pieces: list[tuple[int, bytes]] = [
        (2 * SECTOR, mdb),
        (size - _TAIL * SECTOR, mdb),
        (_HEAD * SECTOR, plan.allocator.bitmap()),
    ]
    for tree, (first, _) in (plan.extents_tree, plan.catalog):
        pieces.append((start * SECTOR + first * volume.block_size, tree.data))
    for fork in plan.forks:
        at = 0
        for first, count in fork.extents:
            length = count * volume.block_size
            pieces.append((start * SECTOR + first * volume.block_size, fork.data[at : at + length]))
            at += length
    if volume.embedded is not None:
        offset = start * SECTOR + plan.embedded[0] * volume.block_size
        pieces += [(offset + at, data) for at, data in volume.embedded.extents]
    return Image.of(volume.name, size, pieces)
