"""The monitor's client against a monitor of a few lines."""

from __future__ import annotations

import os

import pytest

from errpath.guest.qmp import CloneError, Qmp, QmpError, go_on, save_state
from errpath.util.deadline import Deadline
from suites.selftest.runner.fakes import FakeMonitor


def _soon() -> Deadline:
    return Deadline.after(10, "the fake monitor")


def test_a_refusal_is_reported() -> None:
    monitor = Qmp(FakeMonitor().ours)
    with pytest.raises(QmpError, match="refuse: no such thing"):
        monitor.command("refuse", deadline=_soon())
    # The line is still good.
    assert monitor.command("stop", deadline=_soon()) == {}


def test_a_state_is_written_to_the_descriptor_that_travels() -> None:
    fake = FakeMonitor(state=b"registers")
    state = os.memfd_create("state")
    save_state(Qmp(fake.ours), state)
    assert os.pread(state, 100, 0) == b"registers"
    assert fake.commands.index("stop") < fake.commands.index("migrate")
    os.close(state)


def test_a_failed_transfer_is_no_clone() -> None:
    fake = FakeMonitor(status="failed")
    state = os.memfd_create("state")
    with pytest.raises(CloneError, match="not transferred"):
        go_on(Qmp(fake.ours), state)
    assert "cont" not in fake.commands
    os.close(state)


def test_a_monitor_that_goes_away_is_reported() -> None:
    fake = FakeMonitor()
    monitor = Qmp(fake.ours)
    monitor.command("stop", deadline=_soon())
    monitor.close()
    with pytest.raises(QmpError, match="monitor"):
        monitor.command("stop", deadline=_soon())


def test_a_silent_monitor_is_not_waited_for_for_ever() -> None:
    monitor = Qmp(FakeMonitor().ours)
    with pytest.raises(QmpError, match="timed out waiting for an event"):
        monitor.wait_event("NEVER", lambda data: True, Deadline.after(0.05, "an event"))
