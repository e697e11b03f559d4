"""Volumes on which trees grow and shrink: what a mount reads, ordinary use must have written.

Files with long names are made until leaves split and the catalog gets levels, and grows by blocks;
a file is written into the gaps of a full volume, so that its extents do not fit into its own
record. After another mount all of it is removed, and the volume reads as it did before.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

from errpath.cases.case import MountCase
from errpath.cases.steps import Meanwhile, Step
from errpath.cases.volume_case import volume_case
from errpath.cases.volume_steps import (
    AppendFile,
    Fsync,
    Mkdir,
    ReadFile,
    Sync,
    SyncAll,
    Truncate,
    Unlink,
    WriteFile,
)
from errpath.images import Image
from errpath.images.crafted.fields import write_fields
from errpath.images.hfs.hfs import HfsVolume
from errpath.images.hfs.hfsplus import HfsPlusVolume

__all__ = ["growth_cases"]

_DIRECTORY = "grown"
# More leaves than one index node of HFS has room for.
_FILES = 40
# One more file takes what is left.
_REST = "rest"
_PIECES = "pieces"
# So often a tree of these few files grows and shrinks, in no more nodes than it needs once.
_TIMES = 3
_FEW = 16
# So many files split a leaf.
_SPLITS = 8
# Two files grow in turns by a block, so often that neither has its extents in two records; a few
# blocks are taken at once.
_TURNS = 40
# Free nodes of a tree that has them behind the map of its header node.
_BEHIND_THE_MAP = 2100
_HEADER_MAP = 256
_SECTOR = 512
# Blocks of two files in a row, no multiple of the 32 that a word of the bitmap has.
_GAP, _WALL = 101, 7
# In hundredths of a second: how long delayed work of HFS+ waits, and other writeback.
_WRITEBACK = "/proc/sys/vm/dirty_writeback_centisecs"
_WRITES = 60


def growth_cases() -> Iterator[MountCase]:
    """Three cases for each filesystem; for HFS, one that repeats, one of a map in two nodes, and
    one of two tasks; for HFS+, one of a tree with small nodes, one of a file that takes many blocks
    at once, one of the volume header that is written behind ordinary writes, and one of direct
    writes, which need blocks of two sectors: HFS hangs with those."""
    for name in ("hfs", "hfsplus"):
        volume = _volume(name)
        block = volume.block_size
        yield _case(f"{name}-trees-grow-and-shrink", volume, (_grow(block), _shrink()))
        yield _case(f"{name}-files-grow-in-turns", volume, _in_turns(block))
        yield _case(f"{name}-files-made-anew", volume, _anew())
    yield _case("hfsplus-files-made-anew-deep", _grown_plus(1024), _anew())
    yield _case("hfsplus-file-runs-into-another", *_runs_into_another())
    yield _case("hfsplus-synced-behind-writes", _volume("hfsplus"), (_synced_behind_writes(),))
    yield _case("hfs-header-node-for-two", _volume("hfs"), _header_node_for_two())
    sectors = HfsPlusVolume(name="sectors", block_size=2 * _SECTOR, free_blocks=20)
    yield _case("hfsplus-file-grows-directly", sectors, _directly())
    again = (Mkdir(_DIRECTORY), *_made(_FEW), *_removed(_FEW), Unlink(_DIRECTORY), Sync())
    # No room for a tree that loses the nodes that it gives back.
    tight = HfsVolume(name="tight", spare_nodes=14, free_blocks=4)
    yield _case("hfs-trees-grow-again", tight, (again,) * _TIMES)
    volume = HfsVolume(name="maps", spare_nodes=_BEHIND_THE_MAP)
    full = {f"catalog.header.map[{byte}]": 0xFF for byte in range(_HEADER_MAP)}
    free = {"catalog.header.freeNodes": _BEHIND_THE_MAP - 8 * _HEADER_MAP}
    image = write_fields(volume.image(), full | free, name="maps")
    few = ((Mkdir(_DIRECTORY), *_made(_FEW), Sync()), (*_removed(_FEW), Unlink(_DIRECTORY), Sync()))
    yield _case("hfs-trees-grow-behind-the-map", volume, few, image)


def _case(
    case_id: str,
    volume: HfsVolume | HfsPlusVolume,
    mounts: tuple[tuple[Step, ...], ...],
    image: Image | None = None,
) -> MountCase:
    return volume_case(case_id, volume, mounts, point="growth", image=image)


@cache
def _volume(filesystem: str) -> HfsVolume | HfsPlusVolume:
    if filesystem == "hfs":
        return HfsVolume(name="grows", free_blocks=200).with_file("readme", data=b"errpath\n")
    return _grown_plus(2048)


def _grown_plus(node_size: int) -> HfsPlusVolume:
    volume = HfsPlusVolume(
        name="grows",
        block_size=512,
        catalog_node_size=node_size,
        free_blocks=300,
        unused_node_fix=True,
    )
    return volume.with_file("readme", data=b"errpath\n")


def _names(count: int = _FILES) -> tuple[str, ...]:
    """Of 31 characters, the most that HFS takes."""
    return tuple(
        f"{_DIRECTORY}/{number:03}".ljust(len(_DIRECTORY) + 32, "x") for number in range(count)
    )


def _made(count: int) -> tuple[Step, ...]:
    return tuple(WriteFile(name, data="") for name in _names(count))


def _removed(count: int) -> tuple[Step, ...]:
    return tuple(Unlink(name) for name in _names(count))


def _grow(block: int) -> tuple[Step, ...]:
    """Files of one block each, then one in the gaps that every second of them leaves; what was
    removed is made again, without a block, from the last to the first."""
    names = _names()
    files = [WriteFile(name, data="f" * block) for name in names]
    gaps = [Unlink(name) for name in names[::2]]
    rest = WriteFile(_REST, data="r" * (400 * block), expect="ENOSPC")
    pieces = WriteFile(_PIECES, data="p" * (len(gaps) * block))
    again = [WriteFile(name, data="") for name in reversed(names[::2])]
    return (Mkdir(_DIRECTORY), *files, rest, *gaps, pieces, *again, Sync())


def _in_turns(block: int) -> tuple[tuple[Step, ...], ...]:
    """Two files of many extents; another mount reads them, and removes them."""
    names = ("one", "other")
    empty = [WriteFile(name, data="") for name in names]
    turns = [AppendFile(name, data=name[0] * block) for _ in range(_TURNS) for name in names]
    synced = [Fsync(name) for name in names]
    read = [ReadFile(name, data=name[0] * (_TURNS * block)) for name in names]
    return (*empty, *turns, *synced), (*read, *(Unlink(name) for name in names), Sync())


def _anew() -> tuple[tuple[Step, ...], ...]:
    """Each of many files is removed and made again in turn: whichever begins a node, its key comes
    and goes in all index nodes above it. Another mount removes all of them."""
    anew = [step for name in _names() for step in (Unlink(name), WriteFile(name, data=""))]
    made = (Mkdir(_DIRECTORY), *_made(_FILES), *anew, Sync())
    return made, (*_removed(_FILES), Unlink(_DIRECTORY), Sync())


def _directly() -> tuple[tuple[Step, ...], ...]:
    """A direct write within the last block of a file; then the file grows, and shrinks again."""
    first, second = "a" * _SECTOR, "b" * _SECTOR
    made = (WriteFile("file", data=first + "c"), Truncate("file", _SECTOR), Fsync("file"))
    grown = (AppendFile("file", data=second, direct=True), ReadFile("file", data=first + second))
    again = (Truncate("file", 4 * _SECTOR), Truncate("file", 2 * _SECTOR), Fsync("file"))
    read = ReadFile("file", data=first + second)
    return (*made, *grown, *again, read), (read, Unlink("file"), Sync())


def _runs_into_another() -> tuple[HfsPlusVolume, tuple[tuple[Step, ...], ...], Image]:
    """A file takes as many blocks as the volume's clump has, and finds the blocks of another among
    them, which do not begin with a word of the bitmap."""
    volume = HfsPlusVolume(name="clumps", block_size=_SECTOR, free_blocks=200, unused_node_fix=True)
    gap, wall = "g" * (_GAP * _SECTOR), "w" * (_WALL * _SECTOR)
    before = volume.with_file("gap", data=gap.encode()).with_file("wall", data=wall.encode())
    image = write_fields(before.image(), {"vh.dataClumpSize": 2 * _GAP * _SECTOR}, name="clumps")
    grown = "f" * ((_GAP + _WALL) * _SECTOR)
    made = (Unlink("gap"), WriteFile("file", data=grown), Sync())
    read = (ReadFile("wall", data=wall), ReadFile("file", data=grown), Unlink("file"))
    return volume.with_file("wall", data=wall.encode()), (made, (*read, Sync())), image


def _synced_behind_writes() -> tuple[Step, ...]:
    """The volume header is written by delayed work, which here waits for 10 ms; what is written
    meanwhile takes longer, and arms it again."""
    writes = [AppendFile(_REST, data="a") for _ in range(_WRITES)]
    return (
        WriteFile(_WRITEBACK, data="1"),
        *(WriteFile(_REST, data=""), *writes, Unlink(_REST)),
        WriteFile(_WRITEBACK, data="500"),
        Sync(),
    )


def _header_node_for_two() -> tuple[tuple[Step, ...], ...]:
    """Writeback of the tree's inode looks for the header node without the tree's lock. Behind its
    search of the hash, a leaf is split, and the header node is made for that. Another mount removes
    the files."""
    pair = Meanwhile("hfs:__hfs_bnode_create", _made(_SPLITS), threads=True)
    made = (Mkdir(_DIRECTORY), SyncAll(meanwhile=pair), Sync())
    return made, (*_removed(_SPLITS), Unlink(_DIRECTORY), Sync())


def _shrink() -> tuple[Step, ...]:
    files = [Unlink(name) for name in _names()]
    return (Unlink(_PIECES), Unlink(_REST), *files, Unlink(_DIRECTORY), Sync())
