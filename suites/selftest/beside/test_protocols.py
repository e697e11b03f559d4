"""The protocols of other projects: what is counted, and that the blind one is blind."""

from __future__ import annotations

from pathlib import Path

import pytest

from errpath.beside.protocols import (
    LEAKS_A_ROUND,
    PROTOCOLS,
    Answer,
    Row,
    count,
    measure,
    table,
    task_name,
)
from errpath.oracles.kmemleak import CallSite, Record
from errpath.runner.options import RunOptions, choices
from errpath.util.progress import silent


def _record(comm: str, function: str = "errpath_plant_lose") -> Record:
    site = CallSite(function, 0x1F, "errpath_plant")
    return Record(hash(comm) & 0xFFFF, 512, comm, 7, 4294894026, (site,), "")


def test_a_leak_counts_where_it_was_first_reported() -> None:
    first, second, late = (task_name(*place) for place in ((0, 0), (1, 0), (0, 1)))
    answers = [
        Answer((_record(first),), clean=False),
        Answer((), clean=True),
        # Reported again, late, and something that nobody planted.
        Answer(tuple(map(_record, (first, late, second))), clean=False),
        Answer((_record("kworker", "hfs_fill_super"),), clean=False),
    ]
    assert count(answers) == (3, 1, 1, 1)


def test_the_check_after_the_last_round_may_be_clean() -> None:
    answers = [Answer((_record(task_name(0, 0)),), clean=False), Answer((), clean=True)]
    assert count(answers) == (1, 1, 0, 0)


def test_the_table_is_markdown() -> None:
    text = table([Row("7.2.13", "slab_debug=-", "scan, cat", 1, 2, 3, 4, 5.04)])
    rows = [line.strip("|").split("|") for line in text.splitlines()]
    assert len({len(row) for row in rows}) == 1
    assert [cell.strip() for cell in rows[2][3:]] == ["1", "2", "3", "4", "5.0"]


def test_every_protocol_has_a_source_and_a_name_of_its_own() -> None:
    assert len({protocol.name for protocol in PROTOCOLS}) == len(PROTOCOLS)
    assert all(protocol.source for protocol in PROTOCOLS)


@pytest.mark.qemu
@pytest.mark.kernel_build
def test_one_round_on_a_boot_where_leaks_can_be_seen(tmp_path: Path) -> None:
    chosen = [one for one in PROTOCOLS if one.name in ("scan, cat", "errpath, slow check")]
    kernels = choices(RunOptions())
    rows = measure(kernels, ["slab_debug=FUZP"], chosen, tmp_path, silent(), rounds=1)
    by_name = {row.protocol: row for row in rows}
    # One scan only notes checksums.
    hasty, ours = by_name["scan, cat"], by_name["errpath, slow check"]
    assert (hasty.right, hasty.missed) == (0, 1)
    assert (ours.found, ours.right, ours.false, ours.missed) == (LEAKS_A_ROUND, LEAKS_A_ROUND, 0, 0)
