"""Cases run one after another for their failures alone: fast, and without confirmation."""

from __future__ import annotations

import itertools
from collections.abc import Callable

from errpath.cases.case import MountCase, Outcome
from errpath.cases.run import run_case
from errpath.errors import GuestPoisonedError
from errpath.guest.channel import AgentError
from errpath.oracles import canary, kmemleak
from errpath.oracles.failure import Failure
from errpath.oracles.kernel_log import log_failures
from errpath.oracles.leaks import leak_failures
from errpath.runner.guest_loss import is_guest_unusable
from errpath.runner.guests import PreparedGuest
from errpath.runner.verdict import judge

__all__ = ["Trials"]


class Trials:
    """Runs cases in a guest that is replaced when one of them has spoilt it."""

    def __init__(self, make: Callable[[], PreparedGuest]) -> None:
        self._make = make
        self._prepared: PreparedGuest | None = None
        self._numbers = itertools.count(1)
        self.count = 0

    def failures(self, case: MountCase, *, leaks: bool) -> tuple[Failure, ...]:
        """What goes wrong in a case; leaks are looked for where they are wanted, as suspicions.

        Raises:
            ErrpathError: there is no guest.
        """
        self.count += 1
        if self._prepared is None:
            self._prepared = self._make()
        guest = self._prepared.guest
        try:
            outcome = run_case(guest, case, f"errpath-t{next(self._numbers):05d}")
            found = judge(case, outcome, None).failures
            if is_guest_unusable(outcome):
                self.close()
            elif leaks:
                found = (*found, *self._leaks(self._prepared, outcome))
            return found
        except AgentError:
            return ()
        except GuestPoisonedError:
            crashes = guest.console.crashes() if guest.console is not None else ()
            self.close()
            return log_failures(crashes)

    def _leaks(self, prepared: PreparedGuest, outcome: Outcome) -> tuple[Failure, ...]:
        checked = canary.check_beside_canary(prepared.guest, prepared.check)
        own, _ = kmemleak.split_by_task(checked.records, [(outcome.task, outcome.pid)])
        return leak_failures(own[outcome.task, outcome.pid])

    def close(self) -> None:
        """End the guest."""
        if self._prepared is not None:
            self._prepared.guest.close()
            self._prepared = None
