"""A run hands out each result as soon as it is there."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from errpath.results.session import RunSession
from errpath.runner.options import GuestOptions, RunOptions, choices
from errpath.runner.scheduler import Batch
from errpath.runner.testbed import TestbedOptions
from errpath.runner.verdict import Status
from errpath.util.progress import Progress, silent
from suites.selftest.runner.simguest import SimChannel, make_case
from suites.selftest.runner.simsession import SimTestbed

_BATCH = Batch(
    "debian:7.2", "b", tuple(make_case(f"c{n}", "hang" if n == 0 else "") for n in range(9))
)


@pytest.fixture
def gate() -> threading.Event:
    return threading.Event()


@pytest.fixture
def session(tmp_path: Path, gate: threading.Event) -> Iterator[RunSession]:
    """Its second guest does not come up before the gate is open."""

    def make(options: TestbedOptions, artefacts: Path, progress: Progress) -> SimTestbed:
        testbed = SimTestbed(options, artefacts, progress)

        def wait(channel: SimChannel, number: int) -> None:
            assert number == 1 or gate.wait(20)

        testbed.world.on_boot = wait
        return testbed

    chosen = {choice.name: choice for choice in choices(RunOptions())}
    made = RunSession(chosen, tmp_path, silent(), make=make)
    made.expect((_BATCH,))
    yield made
    gate.set()
    made.close()


def test_a_case_has_more_time_in_a_slow_guest(tmp_path: Path) -> None:
    options = RunOptions(guest=GuestOptions(guest="kasan"))
    chosen = {choice.name: choice for choice in choices(options)}
    session = RunSession(chosen, tmp_path, silent(), make=SimTestbed)
    try:
        case = session.result(_BATCH, _BATCH.cases[0]).verdict.case
    finally:
        session.close()
    assert case.seconds == 5 * _BATCH.cases[0].seconds


def test_a_failure_is_there_while_its_batch_runs(
    session: RunSession, gate: threading.Event
) -> None:
    first = session.result(_BATCH, _BATCH.cases[0])
    assert first.verdict.status is Status.FAIL
    assert session.known("debian:7.2", "c8") is None
    gate.set()
    assert session.result(_BATCH, _BATCH.cases[8]).verdict.status is Status.PASS


def test_a_run_that_is_closed_leaves_no_guest(session: RunSession, gate: threading.Event) -> None:
    """As pytest -x closes it."""
    session.result(_BATCH, _BATCH.cases[0])
    threading.Timer(0.2, gate.set).start()
    session.close()
    assert session.testbeds.get("debian:7.2").world.open == 0  # type: ignore[attr-defined]


@pytest.fixture
def ahead(tmp_path: Path) -> Iterator[tuple[RunSession, io.StringIO]]:
    """A session that runs two batches ahead, and what it says."""
    said = io.StringIO()
    batches = [
        Batch("debian:7.2", name, tuple(make_case(f"{name}{n}", words) for n in range(3)))
        for name, words in (("known", "errno=EINVAL"), ("new", "errno=ENXIO"))
    ]
    chosen = {choice.name: choice for choice in choices(RunOptions())}
    made = RunSession(chosen, tmp_path, Progress(said), jobs=2, make=SimTestbed)
    made.expect(batches)
    yield made, said
    made.close()


def _run_ahead(session: RunSession) -> None:
    for batch in session._expected:
        session.result(batch, batch.cases[-1])


def test_the_first_failure_is_said_at_once(ahead: tuple[RunSession, io.StringIO]) -> None:
    session, said = ahead
    session.announces = lambda kernel, verdict: verdict.case.id.startswith("new")
    _run_ahead(session)
    lines = [line for line in said.getvalue().splitlines() if line.startswith("first failure: ")]
    assert lines == ["first failure: new0: mount: mount: -ENXIO; expected -EIO"]


def test_a_failure_that_is_known_is_not_said(ahead: tuple[RunSession, io.StringIO]) -> None:
    session, said = ahead
    session.announces = lambda kernel, verdict: False
    _run_ahead(session)
    assert "first failure" not in said.getvalue()
