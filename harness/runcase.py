"""Run one mount case in a guest."""

from __future__ import annotations

import time
from dataclasses import replace

from harness.cases import MountCase, Outcome
from harness.guest.machine import Guest

__all__ = ["run_case"]

# Seconds beyond a case's own for attaching its device and for the agent's own patience.
_SLACK_SECONDS = 40.0


def run_case(guest: Guest, case: MountCase, task: str, *, trace: bool = False) -> Outcome:
    """Run `case` in a task named `task` and return what it did.

    Raises:
        AgentError: the rig could not set the case up (device, fault).
        GuestPoisonedError: the guest did not survive it.
    """
    image = case.device.image
    image_id = guest.put_image(image) if image is not None else None
    began = time.monotonic()
    reply = guest.call(
        "case.run",
        case.as_request(task, image_id, trace=trace),
        seconds=case.seconds + _SLACK_SECONDS,
    )
    outcome = Outcome.from_reply(task, reply.values)
    return replace(outcome, extra={"seconds": time.monotonic() - began})
