"""Shards: a division that is whole, balanced, stable; and who says which of them we are."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from errpath.errors import UsageError
from errpath.results.records import ShardRecord
from errpath.results.shard import assign, from_environment, load_durations, parse_shard

_cases = st.lists(st.text("abc-", min_size=1, max_size=8), max_size=60, unique=True)
_seconds = st.floats(0.001, 100.0)


@given(_cases, st.integers(1, 9), st.dictionaries(st.text("abc-", min_size=1), _seconds))
def test_every_case_is_in_one_shard(
    cases: list[str], total: int, durations: dict[str, float]
) -> None:
    parts = assign(cases, total, durations)
    assert set(parts) == set(cases)
    assert set(parts.values()) <= set(range(1, total + 1))
    # Any order, and cases named twice: the same answer on every machine.
    assert assign([*reversed(cases), *cases], total, durations) == parts


@given(st.data(), st.integers(1, 9))
def test_no_shard_has_much_more_than_the_mean(data: st.DataObject, total: int) -> None:
    cases = data.draw(_cases)
    durations = {case: data.draw(_seconds) for case in cases}
    loads = dict.fromkeys(range(1, total + 1), 0.0)
    for case, shard in assign(cases, total, durations).items():
        loads[shard] += durations[case]
    mean = sum(durations.values()) / total
    longest = max(durations.values(), default=0.0)
    assert max(loads.values()) <= max(1.05 * mean, mean + longest) + 1e-6


def test_a_changed_suite_moves_few_cases() -> None:
    """A plain hash modulo the number of shards would be as stable; a sorted division would not."""
    before = [f"hfs-setup_bdev_super-{number}" for number in range(500)]
    after = [*before[:123], *before[124:], *(f"new-{number}" for number in range(10))]
    old, new = assign(before, 8), assign(after, 8)
    moved = sum(old[case] != new[case] for case in before if case in new)
    assert moved <= 25


def test_other_durations_move_few_cases() -> None:
    cases = [f"case-{number}" for number in range(400)]
    yesterday = {case: 1.0 + number % 7 for number, case in enumerate(cases)}
    today = {
        case: seconds * (1.02 if number % 2 else 0.98)
        for number, (case, seconds) in enumerate(yesterday.items())
    }
    old, new = assign(cases, 4, yesterday), assign(cases, 4, today)
    assert sum(old[case] != new[case] for case in cases) <= 60


def test_durations_balance_what_counts_do_not() -> None:
    cases = [f"case-{number}" for number in range(40)]
    durations = {case: 30.0 if number < 4 else 1.0 for number, case in enumerate(cases)}
    parts = assign(cases, 4, durations)
    loads = [sum(durations[c] for c in cases if parts[c] == shard) for shard in range(1, 5)]
    assert max(loads) <= 41.0


@pytest.mark.parametrize(
    ("environment", "shard", "source"),
    [
        ({"CI_NODE_INDEX": "2", "CI_NODE_TOTAL": "4"}, (2, 4), "CI_NODE_INDEX"),
        ({"ERRPATH_JOB_INDEX": "0", "ERRPATH_JOB_TOTAL": "3"}, (1, 3), "ERRPATH_JOB_INDEX"),
        (
            {
                "SLURM_ARRAY_TASK_ID": "6",
                "SLURM_ARRAY_TASK_MIN": "2",
                "SLURM_ARRAY_TASK_STEP": "2",
                "SLURM_ARRAY_TASK_COUNT": "3",
            },
            (3, 3),
            "SLURM_ARRAY_TASK_ID",
        ),
        (
            {
                "SLURM_ARRAY_TASK_ID": "0",
                "SLURM_ARRAY_TASK_MIN": "0",
                "SLURM_ARRAY_TASK_COUNT": "10",
            },
            (1, 10),
            "SLURM_ARRAY_TASK_ID",
        ),
        (
            {"ERRPATH_SHARD": "3/5", "CI_NODE_INDEX": "1", "CI_NODE_TOTAL": "2"},
            (3, 5),
            "ERRPATH_SHARD",
        ),
    ],
)
def test_schedulers(environment: dict[str, str], shard: tuple[int, int], source: str) -> None:
    assert from_environment(environment) == (ShardRecord(*shard), source)


def test_no_scheduler() -> None:
    assert from_environment({"CI": "true", "CI_NODE_TOTAL": "1"}) is None


@pytest.mark.parametrize(
    "environment",
    [
        {"CI_NODE_INDEX": "5", "CI_NODE_TOTAL": "4"},
        {"CI_NODE_INDEX": "", "CI_NODE_TOTAL": "4"},
        {"ERRPATH_JOB_INDEX": "1"},
        {"SLURM_ARRAY_TASK_ID": "1", "SLURM_ARRAY_TASK_COUNT": "2"},
        # Tasks 1 and 7 of --array=1,7: which shard 7 is cannot be told.
        {
            "SLURM_ARRAY_TASK_ID": "7",
            "SLURM_ARRAY_TASK_MIN": "1",
            "SLURM_ARRAY_TASK_COUNT": "2",
        },
        {"ERRPATH_SHARD": "0/4"},
    ],
)
def test_contradictions_are_refused(environment: dict[str, str]) -> None:
    with pytest.raises(UsageError, match=r"expected|no member"):
        from_environment(environment)


@pytest.mark.parametrize("text", ["", "1", "0/2", "3/2", "a/b", "1/2/3", "-1/2"])
def test_wrong_shards(text: str) -> None:
    with pytest.raises(UsageError, match="I/N"):
        parse_shard(text)


def test_durations_file(tmp_path: Path) -> None:
    path = tmp_path / "durations.json"
    path.write_text(json.dumps({"a": 1, "b": 0.5}))
    assert load_durations(path) == {"a": 1.0, "b": 0.5}
    for wrong in ("[1]", '{"a": -1}', '{"a": "x"}', "{"):
        path.write_text(wrong)
        with pytest.raises(UsageError, match="JSON"):
            load_durations(path)
