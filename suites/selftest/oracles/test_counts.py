"""Attribution of resource counts, against a kernel whose every allocation is known."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from errpath.oracles.counts import kept

_PLACE = "fs/hfs/super.c:1 [hfs] func:f"


def _changes(*changes: int) -> list[Mapping[str, str]]:
    """What is told of cases that change one count so."""
    return [{"allocations": f"{change} {_PLACE}\n"} if change else {} for change in changes]


def _kept(*changes: int, settled: int = 0) -> list[int]:
    found = kept({}, _changes(*changes), *_changes(settled))
    return [next(iter(one.values()), 0) for one in found]


@pytest.mark.parametrize(
    ("changes", "settled", "expected"),
    [
        ((0, 1, 0), 0, [0, 1, 0]),
        # It comes back with the next case, or once the kernel has settled.
        ((1, -1, 0), 0, [0, 0, 0]),
        ((0, 0, 1), -1, [0, 0, 0]),
        # On its way back from one case to the next, over and over.
        ((1, 0, 0, -1), 0, [0, 0, 0, 0]),
        ((2, -1, 1, 0), 0, [1, 0, 1, 0]),
        # A case that gives back what another kept.
        ((2, -2, 3), 0, [0, 0, 3]),
        ((-3, 1, 1), 0, [0, 1, 1]),
        # What settling itself takes is none of theirs.
        ((0, 0), 4, [0, 0]),
    ],
)
def test_what_stays_is_kept(changes: tuple[int, ...], settled: int, expected: list[int]) -> None:
    assert _kept(*changes, settled=settled) == expected


@given(
    cases=st.lists(
        st.tuples(st.integers(0, 3), st.lists(st.integers(1, 4), max_size=4)), max_size=12
    )
)
def test_leaks_are_told_from_what_comes_back_later(cases: list[tuple[int, list[int]]]) -> None:
    """Each case leaks some objects, and has others that each come back so many cases later: what
    all have kept is what was leaked, and nobody but the last few before a leak can be blamed."""
    size = len(cases)
    changes = [0] * (size + 8)
    for at, (lost, transient) in enumerate(cases):
        changes[at] += lost + len(transient)
        for later in transient:
            changes[at + later] -= 1
    found = _kept(*changes[:size], settled=sum(changes[size:]))
    leaked = [lost for lost, _ in cases]
    assert sum(found) == sum(leaked)
    if not any(transient for _, transient in cases):
        assert found == leaked


def _modules(*references: int) -> list[Mapping[str, str]]:
    """What is told where the references to a module are as many as this; the same is not told
    again."""
    told: list[Mapping[str, str]] = []
    last = -1
    for count in references:
        told.append({"modules": f"nls_utf8 4096 {count} - Live 0x0\n"} if count != last else {})
        last = count
    return told


@pytest.mark.parametrize(
    ("references", "expected"),
    [
        ((5, 5, 5, 5), [0, 0]),
        ((5, 6, 6, 6), [1, 0]),
        ((5, 5, 4, 4), [0, -1]),
        # Taken and given back.
        ((5, 6, 5, 5), [0, 0]),
        ((5, 4, 5, 5), [0, 0]),
        ((0, 0, 2, 1), [0, 1]),
    ],
)
def test_references_to_modules_may_fall_as_well(
    references: tuple[int, ...], expected: list[int]
) -> None:
    before, *cases, settled = _modules(*references)
    found = kept(before, cases, settled)
    assert [next(iter(one.values()), 0) for one in found] == expected


def test_a_module_that_was_not_there_counts_from_nothing() -> None:
    before, after = {"modules": ""}, {"modules": "hfs 4096 3 - Live 0x0\n"}
    (found,) = kept(before, [after], {})
    assert {str(resource): count for resource, count in found.items()} == {
        "module references: hfs": 3
    }
