"""What is left of a guest after a case."""

from __future__ import annotations

from errpath.cases.case import MountCase, Outcome
from errpath.guest.machine import Guest
from errpath.kernel.log import find_crashes
from errpath.oracles.kernel_log import log_failures, speaks_once
from errpath.runner.verdict import Status, Verdict, infrastructure_error

__all__ = ["classify_guest_loss", "is_guest_unusable", "is_kernel_spent"]


def classify_guest_loss(guest: Guest, case: MountCase, cause: str) -> Verdict:
    """The verdict on a case in which its guest went away. It is the kernel's only where it said
    so itself."""
    crashes = guest.console.crashes() if guest.console is not None else ()
    if not any(crash.fatal for crash in crashes):
        return infrastructure_error(case, cause)
    return Verdict(case, Status.FAIL, log_failures(crashes))


def is_guest_unusable(outcome: Outcome) -> bool:
    """Whether nothing can be concluded any more from the guest in which this happened."""
    return outcome.hung or any(crash.fatal for crash in find_crashes(outcome.kmsg))


def is_kernel_spent(kmsg: str) -> bool:
    """Whether the kernel would not report again what it has reported there."""
    return any(speaks_once(crash) for crash in find_crashes(kmsg))
