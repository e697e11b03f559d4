"""Which cases share a guest, and which batch begins first."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from errpath.cases.case import MountCase
from errpath.runner.scheduler import BATCH_MAX, schedule
from suites.selftest.runner.simguest import make_case

_CASES = st.lists(
    st.tuples(st.sampled_from(["", "x", "y"]), st.booleans(), st.sampled_from(["f", "g", "h"])),
    max_size=150,
)


def _cases(shapes: list[tuple[str, bool, str]]) -> list[MountCase]:
    return [
        replace(
            make_case(f"c{n}", fault=fault),
            batch=batch,
            exclusive=exclusive,
        )
        for n, (batch, exclusive, fault) in enumerate(shapes)
    ]


@given(shapes=_CASES, jobs=st.integers(1, 4), workers=st.none() | st.integers(1, 4))
def test_every_case_is_in_one_batch(
    shapes: list[tuple[str, bool, str]], jobs: int, workers: int | None
) -> None:
    cases = _cases(shapes)
    batches = schedule({"a": cases, "b": cases[:3]}, jobs=jobs, workers=workers)
    for kernel, wanted in (("a", cases), ("b", cases[:3])):
        got = [case.id for batch in batches if batch.kernel == kernel for case in batch.cases]
        assert sorted(got) == sorted(case.id for case in wanted)
    assert len({batch.name for batch in batches}) == len(batches)
    for batch in batches:
        assert 1 <= len(batch.cases) <= BATCH_MAX
        # What takes guests down shares none with other cases, nor do named batches.
        assert len({(case.batch, case.exclusive) for case in batch.cases}) == 1
        functions = [case.fault.function for case in batch.cases if case.fault]
        assert functions == sorted(functions)


def test_a_named_batch_stays_whole_and_others_are_spread() -> None:
    named = [replace(make_case(f"n{n}"), batch="n") for n in range(200)]
    free = [make_case(f"f{n}") for n in range(200)]
    batches = schedule({"k": [*named, *free]}, jobs=3)
    assert sorted(len(batch.cases) for batch in batches) == [66, 67, 67, 200]
    # Fewer than these are done before a second guest is there.
    assert len(schedule({"k": free[:64]}, jobs=3)) == 1
    # Workers have a guest each, however little there is to do.
    assert len(schedule({"k": free[:4]}, jobs=1, workers=2)) == 2


def test_what_waits_begins_first_beside_what_works() -> None:
    few = [replace(make_case("a"), exclusive=True, batch="few")]
    many = [replace(make_case(f"b{n}"), exclusive=True, batch="many") for n in range(2)]
    plain = [replace(make_case(f"{batch}{n}"), batch=batch) for batch in "xy" for n in range(3)]
    batches = schedule({"k": [*plain, *few, *many]}, jobs=2)
    assert [batch.name for batch in batches] == [
        "k-many-exclusive0",
        "k-x0",
        "k-few-exclusive0",
        "k-y0",
    ]


def test_a_name_holds_no_sign_of_xdist() -> None:
    (batch,) = schedule({"v7.2@tree": [make_case("a")]}, jobs=1)
    assert "@" not in batch.name
