"""Lay out an HFS volume and write it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from errpath.errors import UsageError
from errpath.images.hfs import macroman
from errpath.images.hfs.blocks import Allocator, Extent
from errpath.images.hfs.btree import BuiltTree, TreeShape, build_tree
from errpath.images.hfs.entries import Directory, File, mac_date
from errpath.images.hfs.formats import MDB
from errpath.images.hfs.hfs_catalog import (
    BAD_BLOCKS,
    CATALOG,
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
from errpath.images.hfs.layout import Value
from errpath.images.hfs.parameters import HfsParameters
from errpath.images.image import SECTOR, Image

__all__ = ["SIGNATURE", "write"]

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


@dataclass(frozen=True)
class _Plan:
    """Where everything lies."""

    extents_tree: tuple[BuiltTree, tuple[Extent, ...]]
    catalog: tuple[BuiltTree, tuple[Extent, ...]]
    forks: tuple[Fork, ...]
    # Of the embedded volume; (0, 0) without one.
    embedded: Extent
    allocator: Allocator


def _allocate(volume: HfsParameters, items: list[Item], allocator: Allocator) -> tuple[Fork, ...]:
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
        # Bad blocks, for a system without HFS+ (TN1150 "HFS Wrapper").
        extent = allocator.take(volume.embedded.size // volume.block_size)
        forks.append(Fork(cnid=BAD_BLOCKS, type=0x00, data=b"", extents=(extent,)))
    return tuple(forks)


def _plan(volume: HfsParameters, items: list[Item], blocks: int) -> _Plan:
    """Lay out the volume: both trees first, then the forks.

    The trees' sizes depend on how many records there are, never on where the forks lie, so a first
    round at arbitrary places gives them.
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

    # Only the number of its extents matters yet.
    draft = Fork(CATALOG, 0x00, b"", ((0, 1),) * volume.catalog_fragments)
    forks = _allocate(volume, items, Allocator(_MAX_BLOCKS))
    sizes = [-(-len(tree.data) // volume.block_size) for tree in trees((*forks, draft))]
    allocator = Allocator(blocks)
    first = allocator.fork(sizes[0])
    second = allocator.fork(sizes[1], pieces=volume.catalog_fragments)
    forks = _allocate(volume, items, allocator)
    extents_tree, catalog = trees((*forks, Fork(CATALOG, 0x00, b"", second)))
    embedded = next((fork.extents[0] for fork in forks if fork.cnid == BAD_BLOCKS), (0, 0))
    return _Plan((extents_tree, first), (catalog, second), forks, embedded, allocator)


def _bitmap_sectors(blocks: int) -> int:
    # The kernel reads (drNmAlBlks + 8) / 8 bytes.
    return -(-(blocks // 8 + 1) // SECTOR)


def _geometry(volume: HfsParameters, needed: int) -> tuple[int, int, int]:
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


def _mdb(volume: HfsParameters, items: list[Item], plan: _Plan, blocks: int, start: int) -> bytes:
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
    values |= extent_values("drXTExtRec", plan.extents_tree[1])
    values |= extent_values("drCTExtRec", plan.catalog[1][:3])
    return MDB.pack(values)


def write(volume: HfsParameters) -> Image:
    """The volume as a disk image.

    Raises:
        UsageError: it does not fit its size, a name is given twice, a fork is too large.
    """
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
    contents = [(tree.data, extents) for tree, extents in (plan.extents_tree, plan.catalog)]
    contents += [(fork.data, fork.extents) for fork in plan.forks]
    for data, extents in contents:
        at = 0
        for first, count in extents:
            length = count * volume.block_size
            pieces.append((start * SECTOR + first * volume.block_size, data[at : at + length]))
            at += length
    if volume.embedded is not None:
        offset = start * SECTOR + plan.embedded[0] * volume.block_size
        pieces += [(offset + at, data) for at, data in volume.embedded.extents]
    return Image.of(volume.name, size, pieces)
