"""What the cases of a batch have armed gets its time before the batch is judged.

Timers and delayed work that are still armed when all is unmounted fire in front of us. What the
kernel says then is of one of the cases that armed something: each of a few runs again by itself,
and where these show it, the others with the same function armed are counted. What it says when
nothing is armed any more is of any of them: they run again in halves, down to one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from errpath.cases.case import MountCase, Outcome
from errpath.errors import GuestLostError, GuestPoisonedError
from errpath.kernel.log import Crash
from errpath.oracles.failure import HANG
from errpath.oracles.kernel_log import LOG_KINDS
from errpath.oracles.pending import Pending, let_fire, read_pending
from errpath.oracles.titles import report_title
from errpath.runner.batch_judge import Observed
from errpath.runner.batch_step import Step
from errpath.runner.guests import CurrentGuest
from errpath.runner.observation import Show, late_crashes
from errpath.runner.result import Result
from errpath.runner.subset import split_evenly
from errpath.runner.verdict import judge

__all__ = ["PendingWork"]

# So many cases show by themselves what the others are then counted for.
_SAMPLE = 3


class PendingWork:
    """Looks after the batches of one runner."""

    def __init__(self, current: CurrentGuest) -> None:
        self._current = current
        # How many cases by themselves have shown what follows, by the functions that they armed.
        self._shown: Counter[frozenset[str]] = Counter()
        # What was said of reports that no case by itself has shown yet, by their titles.
        self._unexplained: dict[str, str] = {}

    @property
    def notes(self) -> list[str]:
        """Reports that came after cases, and did not come again."""
        return [*self._unexplained.values()]

    def fire(self, batch: Observed, step: Step, show: Show) -> bool:
        """Wait for what the batch has armed. Where the kernel reports something, the use of its
        guest ends, and `step` has what comes of it: True.

        Raises:
            GuestLostError: the guest went away without a word.
        """
        armed = read_pending(batch.prepared.guest)
        if not armed:
            return False
        show(f"waiting for {', '.join(sorted({one.function for one in armed}))}")
        try:
            let_fire(batch.prepared.guest, armed)
        except GuestLostError:
            raise
        except GuestPoisonedError:
            # The console has what it said.
            pass
        crashes = late_crashes(self._current, batch.prepared, batch.outcomes)
        if not crashes:
            return False
        self._current.close()
        self._blame(batch, crashes, armed, step)
        return True

    def blame(self, batch: Observed, crashes: Sequence[Crash], step: Step) -> None:
        """What the kernel reported after the last case, with nothing armed: `step` has what comes
        of it."""
        self._current.close()
        if any(LOG_KINDS[crash.kind] is not HANG for crash in crashes):
            self._blame(batch, crashes, (), step)
            return
        # Of a thread that stands still, or of a host that does not come to it.
        log = batch.prepared.artefacts / "console.log"
        reason = f"kernel hang outside of every case: {crashes[0].title}; see {log}"
        step.results += batch.no_verdicts(reason)

    def _blame(
        self,
        batch: Observed,
        crashes: Sequence[Crash],
        armed: Sequence[Pending],
        step: Step,
    ) -> None:
        by_task: dict[str, set[str]] = {}
        for one in armed:
            by_task.setdefault(one.task, set()).add(one.function)
        functions = {
            case.id: frozenset(by_task.get(outcome.task, ())) for case, outcome in batch.runs
        }
        suspects = [case for case in batch.own if functions[case.id]]
        known = bool(suspects)
        # Else a thread has armed it for one of them.
        suspects = suspects or batch.own
        step.later += [case for case in batch.own if case not in suspects]
        alone = len(suspects) == 1
        self._explain(crashes, suspects, alone=alone)
        unknown = []
        for case, outcome in batch.runs:
            if case not in suspects:
                continue
            what = functions[case.id]
            if alone or (known and self._shown[what] >= _SAMPLE):
                self._shown[what] += alone
                judged = judge(case, _with(outcome, crashes), None)
                step.results.append(Result(judged, batch.prepared.artefacts))
            else:
                unknown.append(case)
        if known:
            step.soon += [[case] for case in unknown[:_SAMPLE]]
            step.soon += [unknown[_SAMPLE:]] if unknown[_SAMPLE:] else []
        elif unknown:
            step.soon += split_evenly(unknown, 2)

    def _explain(
        self, crashes: Sequence[Crash], suspects: Sequence[MountCase], *, alone: bool
    ) -> None:
        for crash in crashes:
            title = report_title(crash).text
            if alone:
                self._unexplained.pop(title, None)
            elif not suspects:
                self._unexplained[title] = f"{title}: reported before any case that counts"
            else:
                which = f"{len(suspects)} cases, {suspects[0].id} to {suspects[-1].id}"
                self._unexplained.setdefault(
                    title,
                    f"{title}: reported after the last of {which}, and by none of them by itself",
                )


def _with(outcome: Outcome, crashes: Sequence[Crash]) -> Outcome:
    """The outcome with reports that came after it."""
    lines = [line for crash in crashes for line in crash.text.splitlines()]
    levels = outcome.kmsg_after_levels
    return replace(
        outcome,
        kmsg_after=outcome.kmsg_after + "".join(f"{line}\n" for line in lines),
        kmsg_after_levels=levels and levels + "7" * len(lines),
    )
