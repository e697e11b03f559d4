"""What a report asks clones for, with clones that are made of data: references of modules, tasks
that wait."""

from __future__ import annotations

import errno
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from errpath.errors import InfrastructureError
from errpath.guest.channel import AgentError, Reply
from errpath.guest.clones import Added
from errpath.guest.machine import Guest
from errpath.guest.ram import GuestRam
from errpath.kernel import BuiltKernel, BuiltModule
from errpath.kernel.symbols.symbolizer import Frame
from errpath.runner.blocked import blocked_tasks
from errpath.runner.guests import PreparedGuest
from errpath.runner.lifetime import Lifetime, measure_references
from errpath.util.deadline import Deadline
from suites.selftest.kernel.elfmaker import make_module
from suites.selftest.runner.simguest import make_case

_DATA = 0xFFFFFFFFA0001000
_HOLDER = 0xFFFF888003000010
_CODE = {
    1: ("hfs_parse_param", "fs/hfs/super.c", 250),
    2: ("kfree", "mm/slub.c", 1),
    3: ("hfs_free_fc", "fs/hfs/super.c", 400),
}
_SHELL = """\
task kworker/0:1 12
[<0>] hfs_mdb_commit+0x1/0x2 [hfs]
task errpath-hanging 40
[<0>] hfs_file_fsync+0x1/0x2 [hfs]
sample
[<0>] hfs_mdb_get+0x1/0x2 [hfs]
"""


@dataclass
class _Channel:
    """An agent that answers from data."""

    hung: bool = False
    shell: bool = True
    files: Mapping[str, bytes] = field(default_factory=dict)
    closed: bool = False

    def hello(self, deadline: Deadline) -> Mapping[str, Any]:
        return {}

    def call(
        self, verb: str, arguments: Mapping[str, Any], *, blob: bytes, deadline: Deadline
    ) -> Reply:
        if verb == "case.run":
            return Reply({"pid": 40, "hung": self.hung}, b"")
        if verb == "file.read":
            if arguments["path"] not in self.files:
                raise AgentError(verb, errno.ENOENT, "missing")
            return Reply({}, self.files[arguments["path"]])
        if verb == "exec" and not self.shell:
            raise AgentError(verb, errno.ENOENT, "missing")
        return Reply({"status": 0}, _SHELL.encode() if verb == "exec" else b"")

    def close(self) -> None:
        self.closed = True


class _Symbolizer:
    def __enter__(self) -> _Symbolizer:
        return self

    def __exit__(self, *exception: object) -> None:
        pass

    def at(self, address: int, sections: object) -> tuple[Frame, ...]:
        return (Frame(*_CODE[address], inlined=False),)


@dataclass
class _Bed:
    """A test bed whose clones write what QEMU would have seen."""

    channel: Callable[[], _Channel]
    changes: Sequence[tuple[bool, int, int, tuple[int, ...]]] = ()
    accel: str = "tcg"
    module_file: Path = Path("nls_x.ko")
    made: list[_Channel] = field(default_factory=list)

    @property
    def kernel(self) -> BuiltKernel:
        raise AssertionError("no guest here has a memory")

    def clone(
        self,
        filesystems: Sequence[str],
        functions: Sequence[str],
        points: Sequence[str] | None,
        added: Added | None,
    ) -> PreparedGuest:
        channel = self.channel()
        self.made.append(channel)
        if added is not None:
            ram = GuestRam(4096)
            (_, words) = added(ram)
            ram.close()
            out = Path(words.rpartition("out=")[2])
            out.write_bytes(b"".join(_record(*change) for change in self.changes))
        return PreparedGuest(Guest(channel), Path(), modules={"hfs": ("hfs",)})

    @property
    def offsets_module(self) -> BuiltModule:
        raise AssertionError("no reference is counted here")

    def modules(self, filesystem: str) -> tuple[BuiltModule, ...]:
        return (BuiltModule("nls_x", self.module_file, "key"),)

    def symbolizer(self, filesystems: Sequence[str]) -> Any:
        return _Symbolizer()

    def source(self, path: str) -> str | None:
        return None


def _record(held: bool, pc: int, value: int, calls: tuple[int, ...]) -> bytes:
    words = [*calls, *(0,) * (64 - len(calls))]
    return struct.pack("<II4Q64Q", held, len(calls), pc, _HOLDER, value, 1, *words)


@pytest.fixture
def references(tmp_path: Path) -> Callable[[_Bed], Lifetime]:
    module_file = tmp_path / "nls_x.ko"
    module_file.write_bytes(make_module({".data": bytes(128)}))

    def measure(bed: _Bed, module: str = "nls_x") -> Lifetime:
        bed.module_file = module_file
        return measure_references(bed, ("hfs",), (), None, make_case("c"), module)

    return measure


def _loaded() -> _Channel:
    return _Channel(files={"/sys/module/nls_x/sections/.data": b"0xffffffffa0001000\n"})


def test_the_last_pointer_to_a_modules_data_is_lost_with_what_held_it(
    references: Callable[..., Lifetime],
) -> None:
    bed = _Bed(_loaded, [(True, 1, _DATA + 8, ()), (False, 2, 0, (3,))])
    found = references(bed)
    assert found.timeline is not None, found.reason
    assert found.timeline.lost.function == "hfs_free_fc"
    assert all(channel.closed for channel in bed.made)
    assert len(bed.made) == 2


def test_why_references_are_not_measured(references: Callable[..., Lifetime]) -> None:
    assert "nothing held a pointer" in references(_Bed(_loaded)).reason
    assert "no data of its own" in references(_Bed(_loaded), "nls_y").reason
    assert "no data of its own" in references(_Bed(_Channel)).reason
    assert "TCG only" in references(_Bed(_loaded, accel="kvm")).reason

    def broken() -> _Channel:
        raise InfrastructureError("no room")

    assert references(_Bed(broken)).reason == "no room"


def test_tasks_that_wait_beside_the_case() -> None:
    bed = _Bed(lambda: _Channel(hung=True))
    text = blocked_tasks(bed, ("hfs",), (), None, make_case("c"))
    assert text.splitlines() == [
        "task kworker/0:1 12",
        "[<0>] hfs_mdb_commit+0x1/0x2 [hfs]",
        "sample",
        "[<0>] hfs_mdb_get+0x1/0x2 [hfs]",
    ]
    assert all(channel.closed for channel in bed.made)


def test_without_a_hang_or_a_shell_nobody_is_asked() -> None:
    for channel in (_Channel(), _Channel(hung=True, shell=False)):
        bed = _Bed(lambda channel=channel: channel)  # type: ignore[misc]
        assert blocked_tasks(bed, ("hfs",), (), None, make_case("c")) == ""
        assert channel.closed
