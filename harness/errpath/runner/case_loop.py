"""The cases of one batch, one after another in one guest, until one of them takes it down."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from errpath.cases.case import MountCase, Outcome
from errpath.errors import GuestLostError, GuestPoisonedError
from errpath.guest.channel import AgentError
from errpath.runner.batch_judge import Observed
from errpath.runner.batch_step import LostGuests, Show, Step
from errpath.runner.guest_loss import classify_guest_loss, is_guest_unusable, is_kernel_spent
from errpath.runner.guests import CurrentGuest
from errpath.runner.observation import observe
from errpath.runner.result import Result
from errpath.runner.usual import UsualFailures
from errpath.runner.verdict import infrastructure_error, judge

__all__ = ["CaseLoop"]

# Cases that may take down the same guest in a usual way: each leaves a task and a device in it.
_WRECKED_MAX = 64
# So many times what would be enough now, patience is too long to go on with.
_LONGER = 2


class CaseLoop:
    """Runs the cases of batches."""

    def __init__(
        self, current: CurrentGuest, *, usual: UsualFailures, lost: LostGuests, count: bool
    ) -> None:
        """With `count`, what the kernel counts is read after every case."""
        self._current = current
        self._usual = usual
        self._lost = lost
        self._count = count
        # Seconds that a case may stand still which was waited for too briefly, by its id.
        self._patient: dict[str, float] = {}

    def warm_up(self, batch: Observed, step: Step, show: Show) -> bool:
        """Run what comes before the cases of a batch, and is not counted; False where it took the
        guest down."""
        before = [batch.before] if batch.before is not None else []
        if not self._run(batch, before, step, show, count=False):
            return False
        if batch.spent:
            self._current.close()
        return not batch.spent

    def run(self, batch: Observed, cases: Sequence[MountCase], step: Step, show: Show) -> bool:
        """Run the cases; False where one of them took the guest down, or it was lost. Behind a
        report that the kernel makes once, the rest runs in another guest."""
        return self._run(batch, cases, step, show, count=self._count)

    def _run(
        self,
        batch: Observed,
        cases: Sequence[MountCase],
        step: Step,
        show: Show,
        *,
        count: bool,
    ) -> bool:
        prepared = batch.prepared
        patience = self._patience(cases)
        outcomes = observe(
            self._current,
            prepared,
            cases,
            count=count,
            patience=patience,
            over=lambda: batch.spent,
        )
        # Cases that took the guest down in a usual way: those behind them run in it all the same,
        # and only the same failure is believed.
        wrecked = 0
        for number, case in enumerate(cases):
            show(number, case.id)
            try:
                ran = next(outcomes, None)
                if ran is None:
                    step.soon.append(cases[number:])
                    break
                outcome = ran[1]
            except GuestLostError as error:
                # The next attempt is by itself, so that it costs no other case anything.
                step.soon.append(self._lost.again([case], str(error), step, prepared.artefacts))
            except GuestPoisonedError as error:
                if wrecked:
                    step.later.append(case)
                else:
                    verdict = classify_guest_loss(prepared.guest, case, str(error))
                    step.results.append(Result(verdict, prepared.artefacts))
            else:
                if isinstance(outcome, AgentError) or not is_guest_unusable(outcome):
                    self._note(batch, case, outcome, step, wrecked=bool(wrecked))
                    continue
                if self._took_down(batch, case, outcome, step, wrecked=bool(wrecked)):
                    wrecked += 1
                    # Patience is a guest's own: another waits more briefly once that is enough.
                    waits = patience <= self._patience(cases[number + 1 :]) * _LONGER
                    if waits and wrecked < _WRECKED_MAX:
                        continue
            # What is behind it runs in another guest.
            step.soon.append(cases[number + 1 :])
            wrecked += 1
            break
        if not wrecked:
            return True
        self._current.close()
        # What ran before cannot be checked in this guest any more: it runs again.
        step.later += batch.own
        return False

    def _patience(self, cases: Iterable[MountCase]) -> float:
        own = (self._patient[case.id] for case in cases if case.id in self._patient)
        return max(own, default=0.0) or self._usual.patience

    def _note(
        self,
        batch: Observed,
        case: MountCase,
        outcome: Outcome | AgentError,
        step: Step,
        *,
        wrecked: bool,
    ) -> None:
        """A case has left the guest as it was."""
        if wrecked:
            step.later.append(case)
        elif isinstance(outcome, AgentError):
            verdict = infrastructure_error(case, str(outcome))
            step.results.append(Result(verdict, batch.prepared.artefacts))
        else:
            self._usual.note_healthy(outcome)
            before = bool(batch.runs) and is_kernel_spent(outcome.kmsg_before)
            if batch.spent or before:
                batch.unheard.add(case.id)
            batch.spent = batch.spent or before or is_kernel_spent(outcome.kmsg)
            batch.runs.append((case, outcome))

    def _took_down(
        self, batch: Observed, case: MountCase, outcome: Outcome, step: Step, *, wrecked: bool
    ) -> bool:
        """A case has taken the guest down; whether it did so in a usual way."""
        verdict = judge(case, outcome, None)
        usual = self._usual.knows(verdict)
        needed = self._usual.needed(verdict)
        if usual or not (wrecked or 0 < outcome.stood_still < needed):
            step.results.append(Result(verdict, batch.prepared.artefacts))
        else:
            # Another failure than was waited for so briefly, or whose guest could be the cause.
            if not wrecked:
                self._patient[case.id] = needed
            step.soon.append([case])
            return False
        if not wrecked:
            self._usual.note(verdict)
        return usual
