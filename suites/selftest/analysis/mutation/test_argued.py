"""Arguments for survivors: of a closed list, of mutants that are there, and refuted by one kill."""

from __future__ import annotations

from pathlib import Path

import pytest

from errpath.analysis.mutation.argued import REASONS, Argument, argued, load_arguments
from errpath.analysis.mutation.results import Fate, Judged
from errpath.errors import ErrpathError, UsageError

_ONE, _OTHER = "fs/hfs/a.c:f:kfree(x);", "fs/hfs/a.c:f:brelse(x);"
_ARGUMENTS = {_ONE: Argument(_ONE, "no effect", "x is NULL there")}


def _judged(name: str, fate: Fate) -> Judged:
    return Judged(name, "put", fate.value, case="case" if fate is Fate.KILLED else "")


def test_only_survivors_that_are_argued_are_equivalent() -> None:
    fates = [_judged(_ONE, Fate.SURVIVED), _judged(_OTHER, Fate.SURVIVED)]
    found = argued(fates, [_ONE, _OTHER], _ARGUMENTS, "hfs")
    assert [one.fate for one in found] == ["equivalent", "survived"]
    # Of another filesystem, it says nothing.
    assert argued(fates, [], _ARGUMENTS, "hfsplus") == tuple(fates)


def test_an_argument_is_refuted_by_a_kill() -> None:
    with pytest.raises(UsageError, match="argued, and killed by case"):
        argued([_judged(_ONE, Fate.KILLED)], [_ONE], _ARGUMENTS, "hfs")


def test_an_argument_goes_with_its_mutant() -> None:
    with pytest.raises(UsageError, match="no such mutant any more"):
        argued([], [_OTHER], _ARGUMENTS, "hfs")


def test_our_own_arguments_are_read() -> None:
    assert {one.reason for one in load_arguments().values()} <= set(REASONS)


@pytest.mark.parametrize("text", ["reason: because\n    why: x", "reason: no effect\n    why: ' '"])
def test_a_reason_is_of_the_list_and_has_an_argument(text: str, tmp_path: Path) -> None:
    path = tmp_path / "arguments.yaml"
    path.write_text(f"arguments:\n  - mutant: m\n    {text}\n")
    with pytest.raises(ErrpathError):
        load_arguments(path)
