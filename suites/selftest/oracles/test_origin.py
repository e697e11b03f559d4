"""Where a bad value came from: the load that brought it, the store that put it there."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from errpath.guest.holders import Access, What, read_accesses
from errpath.oracles.failure import OOPS, WARNING, Failure
from errpath.oracles.origin import Crash, choose_load, crash_of, make_origin
from errpath.results.reports.crash_story import origin_of
from errpath.runner.origin import Measured
from suites.selftest.oracles.source_frames import SourceFrame
from suites.selftest.runner.simguest import make_case

_WORD, _OTHER, _STACK = 0xFFFF888000002008, 0xFFFF888000003010, 0xFFFF888000008010
_POISON = 0x6B6B6B6B6B6B6B6B
_NULL = Failure(
    OOPS,
    "BUG: unable to handle kernel NULL pointer dereference in x_statfs",
    evidence="BUG: kernel NULL pointer dereference, address: 0000000000000014\n"
    "RIP: 0010:x_statfs+0x60/0xe0 [x]\nRAX: ffff888004a2b800 RBX: 0000000000000000\n",
)
_FREED = Failure(
    OOPS,
    "general protection fault in free_it",
    evidence="Oops: general protection fault, probably for non-canonical address "
    "0x6b6b6b6b6b6b6b83: 0000 [#1]\nRIP: 0010:free_it+0x14/0x1a0\n"
    f"RAX: ffff8880044f2b00 RDI: {_POISON:016x}\n",
)
_CONDITION = Failure(
    WARNING,
    "WARNING in x_put",
    evidence="WARNING: fs/x/super.c:9 at x_put+0x50/0x80, CPU#0\nRIP: 0010:x_put+0x50/0x80\n",
)


_CODE = {
    1: [("x_statfs", "fs/x/super.c", 12)],
    2: [("other", "fs/x/super.c", 20)],
    3: [("x_unmount", "fs/x/imap.c", 30)],
    4: [("x_mount_rw", "fs/x/mount.c", 40)],
    5: [("memset", "arch/x86/lib/memset_64.S", 1), ("init_object", "mm/slub.c", 3)],
    6: [("kfree", "mm/slub.c", 4)],
    7: [("x_put", "fs/x/super.c", 9)],
}
_TEXT = {"fs/x/super.c:12": "imap = sbi->imap;", "fs/x/imap.c:30": "sbi->imap = NULL;"}


def _resolve(address: int) -> list[SourceFrame]:
    return [SourceFrame(*frame) for frame in _CODE[address]]


def _source(file: str, line: int) -> str:
    return _TEXT.get(f"{file}:{line}", "")


def _load(pc: int, address: int, value: int) -> Access:
    return Access(What.LOADED, pc, address, value, _STACK >> 14)


def _store(pc: int, value: int, *calls: int) -> Access:
    return Access(What.STORED, pc, _WORD, value, _STACK >> 14, calls)


_REACHED = Access(What.REACHED, 1, 0, 0, 1)


def _crash(failure: Failure) -> Crash:
    found = crash_of(failure)
    assert found is not None
    return found


def test_the_pointer_of_a_report() -> None:
    assert _crash(_NULL) == Crash("x_statfs", 0x60, 0xE0, "x", 0)
    assert _crash(_FREED).pointer == _POISON
    assert _crash(_CONDITION).pointer is None
    # A condition of the core's is of its caller, and a report without an instruction is none.
    assert (
        crash_of(
            Failure(WARNING, "w", evidence=_CONDITION.evidence.replace("x_put", "kobject_put"))
        )
        is None
    )
    assert crash_of(Failure(OOPS, "panic", evidence="Kernel panic - not syncing: x")) is None


def test_the_load_that_brought_it() -> None:
    null = _load(1, _WORD, 0)
    loads = [null, _load(1, _STACK, 0), _load(2, _OTHER, 0), _load(1, _OTHER, 7)]
    # Of NULL only the function's own loads count; a word of the stack is a copy.
    assert choose_load(loads, _crash(_NULL), _resolve) == null
    assert choose_load(loads[1:], _crash(_NULL), _resolve) is None
    poison = _load(2, _OTHER, _POISON)
    assert choose_load([*loads, poison, loads[0]], _crash(_FREED), _resolve) == poison
    condition = _load(7, _OTHER, 3)
    assert choose_load([condition, *loads], _crash(_CONDITION), _resolve) == condition


def _told(accesses: list[Access], load: Access, case: str, *, first: bool = False) -> list[str]:
    origin = make_origin(accesses, load, first=first, resolve=_resolve, source=_source)
    story = origin_of(Measured(origin), make_case(case))
    return [*story.lines, f"look {story.look}"]


def test_who_stored_it_and_on_whose_behalf() -> None:
    stores = [_store(2, 5), _REACHED, _store(3, 0, 4), _REACHED, _store(2, 9)]
    case = "sweep-x-reconfigure-alloc-x_reconfigure>x_mount_rw>x_mount"
    assert _told(stores, _load(1, _WORD, 0), case) == [
        "  loaded     0x0, in x_statfs (fs/x/super.c:12): imap = sbi->imap;",
        "  stored     in x_unmount (fs/x/imap.c:30): sbi->imap = NULL;",
        "             by x_unmount <- x_mount_rw",
        "  error in   x_mount_rw: what failed was called by it, and so was this",
        "look x_mount_rw",
    ]
    # Nothing was made to fail: no function failed, and the first time is another.
    other = _told(stores, _load(1, _WORD, 0), "x", first=True)
    assert other[1:] == ["  stored     in other (fs/x/super.c:20)", "look "]


def test_memory_that_was_freed() -> None:
    stores = [_store(3, 5), _store(5, _POISON, 6, 4), _REACHED]
    lines = _told(stores, _load(1, _WORD, _POISON), "x")
    assert lines[1] == "  freed      in x_mount_rw (fs/x/mount.c:40)"


@pytest.mark.parametrize("accesses", [[], [_REACHED, _store(3, 0)]])
def test_what_nobody_stored(accesses: list[Access]) -> None:
    lines = _told(accesses, _load(1, _WORD, 0), "x")
    assert lines[1] == "  stored     before this case"


def test_records_of_the_plugin(tmp_path: Path) -> None:
    record = struct.pack("<II4Q64Q", 2, 1, 3, _WORD, 0, 1, *([4] + [0] * 63))
    file = tmp_path / "accesses"
    file.write_bytes(record + record[:9])
    assert read_accesses(file) == (Access(What.STORED, 3, _WORD, 0, 1, (4,), (0,)),)
