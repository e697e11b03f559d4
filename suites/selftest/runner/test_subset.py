"""Delta debugging: the subset fails, is as small as can be, and keeps the order."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from errpath.runner.subset import smallest_subset, split_evenly


@given(count=st.integers(1, 40), needed=st.sets(st.integers(0, 39), max_size=4))
def test_what_fails_only_together_is_found(count: int, needed: set[int]) -> None:
    needed = {number % count for number in needed}
    asked: list[Sequence[int]] = []

    def fails(some: Sequence[int]) -> bool:
        asked.append(some)
        return bool(some) and needed <= set(some)

    found = smallest_subset(range(count), fails, tries=10_000)
    assert list(found) == (sorted(needed) or [found[0]])
    assert all(list(some) == sorted(some) for some in asked)


@given(count=st.integers(2, 500), guilty=st.integers(0, 499))
def test_one_of_many_takes_two_tries_for_each_halving(count: int, guilty: int) -> None:
    tries = 0

    def fails(some: Sequence[int]) -> bool:
        nonlocal tries
        tries += 1
        return guilty % count in some

    assert list(smallest_subset(range(count), fails)) == [guilty % count]
    assert tries <= 2 * count.bit_length()


def test_the_smallest_so_far_is_the_answer_where_tries_run_out() -> None:
    found = smallest_subset(range(64), lambda some: {0, 63} <= set(some), tries=3)
    assert {0, 63} <= set(found)
    assert len(found) > 2


@given(st.lists(st.integers(), max_size=40), st.integers(1, 50))
def test_parts_are_even_and_keep_every_item(items: list[int], parts: int) -> None:
    found = split_evenly(items, parts)
    assert [item for part in found for item in part] == items
    sizes = [len(part) for part in found]
    assert len(found) <= parts
    assert max(sizes) - min(sizes) <= 1
