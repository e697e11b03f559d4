"""Values that a function's type does not allow."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from errpath.cases.case import Device, MountCase
from errpath.cases.steps import Mount
from errpath.faults.model import Call, Fault, Read
from errpath.runner.call_shapes import impossible_calls
from errpath.runner.testbed import Testbed

_SOURCE = """\
int own(void)
{
	return -EIO;
}

static struct inode *kernels(void)
{
	return NULL;
}
"""
# Line of each, and the module that has it.
_PLACES = {"own": (1, "hfs"), "kernels": (6, None)}


class _Symbolizer:
    def resolve(
        self, function: str, offset: int, module: str | None, *, exact: bool
    ) -> Sequence[SimpleNamespace]:
        line, home = _PLACES.get(function, (0, "nowhere"))
        return [SimpleNamespace(file="a.c", line=line)] if home == module else []


class _Bed:
    symbolizers = 0

    def modules(self, filesystem: str) -> list[SimpleNamespace]:
        return [SimpleNamespace(name=filesystem)]

    @contextmanager
    def symbolizer(self, filesystems: Sequence[str]) -> Iterator[_Symbolizer]:
        self.symbolizers += 1
        yield _Symbolizer()

    def source(self, path: str) -> str:
        assert Path(path).name == "a.c"
        return _SOURCE


def _told(*faults: Fault) -> dict[str, str]:
    cases = [MountCase(f.id, "hfs", Device(), (Mount("hfs", fail=f),)) for f in faults]
    return impossible_calls(cast(Testbed, _Bed()), cases)


@pytest.mark.parametrize(
    ("fault", "line"),
    [
        (
            Call("own", "NULL"),
            "own: got NULL; it returns int: expected an errno's name or a number",
        ),
        (
            Call("kernels", "7"),
            "kernels: got 7; it returns struct inode *: expected NULL, an errno's name or "
            "ERR_PTR(EIO)",
        ),
    ],
)
def test_what_the_type_does_not_allow_is_one_line(fault: Call, line: str) -> None:
    assert _told(fault, Read()) == {fault.id: line}


def test_what_it_allows_and_what_is_not_known_here_goes_through() -> None:
    assert _told(Call("own", "7"), Call("kernels", "EIO"), Call("nobody", "NULL"), Read()) == {}


def test_without_a_call_nothing_is_looked_up() -> None:
    bed = _Bed()
    case = MountCase("c", "hfs", Device(), (Mount("hfs", fail=Read()),))
    assert impossible_calls(cast(Testbed, bed), [case]) == {}
    assert bed.symbolizers == 0
