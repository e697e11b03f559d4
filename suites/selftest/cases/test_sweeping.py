"""The sequences that a sweep fails."""

from __future__ import annotations

import pytest

from errpath.cases.sweeping import parse_sweep_events, sequence
from errpath.errors import UsageError
from errpath.filesystems import SWEEP_EVENTS, load_filesystem


@pytest.mark.parametrize("event", SWEEP_EVENTS)
def test_one_step_is_armed_and_the_volume_is_used_after_it(event: str) -> None:
    steps = sequence(load_filesystem("hfs"), event).steps
    armed = [at for at, step in enumerate(steps) if step.armed]
    assert len(armed) == 1
    after = [step.op for step in steps[armed[0] + 1 :]]
    assert "use" in after
    assert after[-3:] == ["mount", "use", "umount"]
    # What stands before must work, what comes after may do as it likes.
    assert not any(step.any_errno for step in steps[: armed[0]] if step.op != "use")
    assert all(step.any_errno and step.goes_on for step in steps[armed[0] :])


def test_events_that_cannot_be_had_have_a_reason() -> None:
    assert sequence(load_filesystem("isofs"), "mount-rw").reason == "it mounts read-only alone"
    assert "its server" in sequence(load_filesystem("fuseblk"), "mount-ro").reason


def test_an_unknown_event_is_refused() -> None:
    with pytest.raises(
        UsageError, match=r"--sweep-event burn: unknown; expected some of: mount-ro"
    ):
        parse_sweep_events("mount-ro,burn")
    assert parse_sweep_events("") == tuple(SWEEP_EVENTS)
