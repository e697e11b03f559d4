"""What goes wrong again and again in a run: found out for a few cases, and known in the others.

A kernel on which every mount hangs or oopses would cost a guest, and a hang its whole deadline, for
each case. What has taken down several fresh guests in the same way is the usual failure of this
kernel: a case that shows it needs neither. Once a case has hung for the whole of that deadline,
others that stand still in the same place are waited for more briefly.
"""

from __future__ import annotations

import statistics
import threading
from collections import Counter, deque

from errpath.cases.case import Outcome
from errpath.oracles.failure import HANG
from errpath.runner.verdict import Verdict

__all__ = ["BRIEF", "PATIENCE", "UsualFailures"]

# Seconds that a task may sleep without being woken in a guest in which no other task has
# anything to do, before it counts as hung.
PATIENCE = 6.0
# The same in the place in which another case has slept for so long.
BRIEF = 1.0
# The same where hangs are usual: so many times what cases take that do not hang, within bounds.
_TIMES = 2
_SHORTEST = 0.02
# So many fresh guests must have been taken down in the same way.
_FEW = 3
# Of so many cases the time is known.
_RECENT = 256

# So many functions of a stack identify a failure: further out is how the case called the kernel,
# such as by which of the system calls that mount.
_DEPTH = 3
# Kind, title and innermost functions of each failure.
_Kind = tuple[tuple[str, str, tuple[str, ...]], ...]


class UsualFailures:
    """The usual failures of one kernel. Threads may share it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seen: Counter[_Kind] = Counter()
        self._seconds: deque[float] = deque(maxlen=_RECENT)
        # How often the most usual hang was seen.
        self._hangs = 0

    def note(self, verdict: Verdict) -> None:
        """A case has taken down a guest in which no other had gone wrong."""
        kind = _kind(verdict)
        with self._lock:
            self._seen[kind] += 1
            if any(failure.kind is HANG for failure in verdict.failures):
                self._hangs = max(self._hangs, self._seen[kind])

    def note_healthy(self, outcome: Outcome) -> None:
        """A case has left its guest usable."""
        with self._lock:
            self._seconds.append(outcome.seconds)

    def knows(self, verdict: Verdict) -> bool:
        """Whether a case fails in a usual way."""
        with self._lock:
            return self._seen[_kind(verdict)] >= _FEW

    def needed(self, verdict: Verdict) -> float:
        """Seconds that a task must have stood still where a case seems to hang in this way; 0 where
        that is usual."""
        with self._lock:
            return self._needed(self._seen[_kind(verdict)])

    @property
    def patience(self) -> float:
        """Seconds that a task may stand still before it counts as hung; less than PATIENCE where
        cases have hung, and then good only for what hangs as they did (`needed`)."""
        with self._lock:
            return self._needed(self._hangs) or self._shortest()

    def _needed(self, seen: int) -> float:
        if seen >= _FEW:
            return 0.0
        return min(PATIENCE, max(BRIEF, self._shortest())) if seen else PATIENCE

    def _shortest(self) -> float:
        usual = statistics.median(self._seconds) if self._seconds else 0.0
        return min(PATIENCE, max(_SHORTEST, _TIMES * usual))


def _kind(verdict: Verdict) -> _Kind:
    return tuple(
        (failure.kind.name, failure.title, failure.functions[:_DEPTH])
        for failure in verdict.failures
        if not failure.follows
    )
