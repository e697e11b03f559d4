"""Run units side by side within cores and memory, until they are done or time is up.

One thread: children are waited for, never polled, and a unit that fails, hangs or is killed costs
only itself and what needs it.
"""

from __future__ import annotations

import selectors
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from errpath.nightly.plan import Limits, Unit
from errpath.util.deadline import Deadline

__all__ = ["Ended", "Launcher", "Running", "Schedule", "estimate_left"]

# Seconds between two looks at limits and two lines of progress while nothing ends.
_LOOK_SECONDS = 5.0


class Running(Protocol):
    """A unit that runs."""

    def fileno(self) -> int:
        """Becomes readable when the unit has ended."""

    def stop(self) -> None:
        """End it, with everything that it started, and wait for that."""

    def result(self) -> int:
        """Its exit status; only after it has ended."""


class Launcher(Protocol):
    """Starts units."""

    def start(self, unit: Unit) -> Running:
        """Start one; it runs beside the caller."""


@dataclass(frozen=True)
class Ended:
    """A unit that is over."""

    unit: Unit
    # "done"; "failed": its status says that it broke; "late": it took too long; "cut": the run's
    # time was up; "blocked": what it needs did not end well.
    how: str
    # Exit status, None where it was stopped or never started.
    status: int | None
    seconds: float
    detail: str = ""
    # Whether it was ever started.
    began: bool = True


@dataclass
class Schedule:
    """Runs units; what ended is handed to `report` at once, which answers whether it went well."""

    launcher: Launcher
    limits: Limits
    deadline: Deadline | None
    report: Callable[[Ended], bool]
    clock: Callable[[], float]
    # Past durations by unit, seconds.
    past: Mapping[str, Sequence[float]] = field(default_factory=dict)
    # Gets what is going on; not more often than `_LOOK_SECONDS`, but for ends.
    progress: Callable[[str], None] = lambda _: None
    # With a budget: the key by which units are started, the smallest first, and no unit that took
    # longer than what is left. Without, the longest first: the end comes sooner.
    worth: Callable[[Unit], tuple[float, ...]] | None = None
    # How each unit that is over went.
    well: dict[str, bool] = field(default_factory=dict)
    # Kinds of the units that were started.
    _kinds: set[str] = field(default_factory=set)

    def run(self, units: Iterable[Unit]) -> None:
        """Run all that can be run. Whatever ends this, nothing is left running."""
        waiting = list(units)
        running: dict[Unit, tuple[Running, float]] = {}
        total = len(waiting)
        with selectors.DefaultSelector() as selector:
            try:
                while waiting or running:
                    if self.deadline is not None and self.deadline.expired:
                        self._cut(waiting, running, selector)
                        return
                    self._block(waiting)
                    self._start(waiting, running, selector)
                    if not running:
                        self._leave(waiting)
                        return
                    self._tell(total, waiting, running)
                    for key, _ in selector.select(self._patience(running)):
                        self._end(key.data, running, selector)
                    self._give_up(running, selector)
            except BaseException:
                for process, _ in running.values():
                    process.stop()
                raise

    def _block(self, waiting: list[Unit]) -> None:
        """Drop what can never start; what needs those in turn, too."""
        found = True
        while found:
            found = False
            for unit in tuple(waiting):
                broken = [need for need in unit.needs if self.well.get(need) is False]
                if broken:
                    waiting.remove(unit)
                    detail = f"{broken[0]} did not end well"
                    self._report(Ended(unit, "blocked", None, 0.0, detail, began=False))
                    found = True

    def _start(
        self,
        waiting: list[Unit],
        running: dict[Unit, tuple[Running, float]],
        selector: selectors.BaseSelector,
    ) -> None:
        for unit in sorted(waiting, key=self.worth or self._longest):
            if not all(self.well.get(need) for need in unit.needs) or self._too_long(unit):
                continue
            if running and not self._fits(unit, running):
                continue
            process = self.launcher.start(unit)
            running[unit] = (process, self.clock())
            self._kinds.add(unit.kind)
            selector.register(process, selectors.EVENT_READ, unit)
            waiting.remove(unit)

    def _longest(self, unit: Unit) -> tuple[float, ...]:
        """The longest first, as far as the past is known. Repeats last."""
        return (unit.repeat, -(_median(self.past.get(unit.id, ())) or 0.0))

    def _too_long(self, unit: Unit) -> bool:
        """Whether a unit would be cut. What needs more than all of a budget gets the most of it:
        it is started where nothing else of its kind has been."""
        if self.worth is None or self.deadline is None or unit.kind not in self._kinds:
            return False
        median = _median(self.past.get(unit.id, ()))
        return median is not None and median > self.deadline.remaining

    def _leave(self, waiting: list[Unit]) -> None:
        for unit in waiting:
            took = (_median(self.past.get(unit.id, ())) or 0.0) / 60
            detail = f"it takes about {took:.0f} min, more than there was left"
            self._report(Ended(unit, "cut", None, 0.0, detail, began=False))
        waiting.clear()

    def _fits(self, unit: Unit, running: Iterable[Unit]) -> bool:
        cores = unit.cores + sum(other.cores for other in running)
        memory = unit.memory_mib + sum(other.memory_mib for other in running)
        return cores <= self.limits.cores and memory <= self.limits.memory_mib

    def _patience(self, running: Mapping[Unit, tuple[Running, float]]) -> float:
        left = [began + unit.seconds - self.clock() for unit, (_, began) in running.items()]
        if self.deadline is not None:
            left.append(self.deadline.remaining)
        return max(0.0, min([_LOOK_SECONDS, *left]))

    def _end(
        self,
        unit: Unit,
        running: dict[Unit, tuple[Running, float]],
        selector: selectors.BaseSelector,
    ) -> None:
        process, began = running.pop(unit)
        selector.unregister(process)
        status = process.result()
        how = "done" if status in (0, 1) else "failed"
        detail = "" if how == "done" else f"ended with status {status}"
        self._report(Ended(unit, how, status, self.clock() - began, detail))

    def _give_up(
        self, running: dict[Unit, tuple[Running, float]], selector: selectors.BaseSelector
    ) -> None:
        for unit, (process, began) in tuple(running.items()):
            if self.clock() - began >= unit.seconds:
                selector.unregister(process)
                del running[unit]
                process.stop()
                detail = f"did not end within {unit.seconds / 60:g} min"
                self._report(Ended(unit, "late", None, self.clock() - began, detail))

    def _cut(
        self,
        waiting: list[Unit],
        running: dict[Unit, tuple[Running, float]],
        selector: selectors.BaseSelector,
    ) -> None:
        for unit, (process, began) in tuple(running.items()):
            selector.unregister(process)
            del running[unit]
            process.stop()
            self._report(Ended(unit, "cut", None, self.clock() - began, "time was up"))
        for unit in waiting:
            detail = "time was up before it began"
            self._report(Ended(unit, "cut", None, 0.0, detail, began=False))
        waiting.clear()

    def _report(self, ended: Ended) -> None:
        self.well[ended.unit.id] = self.report(ended)

    def _tell(
        self, total: int, waiting: Sequence[Unit], running: Mapping[Unit, tuple[Running, float]]
    ) -> None:
        elapsed = {unit: self.clock() - began for unit, (_, began) in running.items()}
        done = total - len(waiting) - len(running)
        left, unknown = estimate_left(waiting, elapsed, self.past, self.limits)
        words = [f"{done} of {total} parts done"]
        if running:
            words.append("running " + ", ".join(unit.id for unit in running))
        if unknown:
            words.append(f"no estimate: {unknown} have no earlier run")
        elif left > 0:
            words.append(f"about {max(1, round(left / 60))} min left, as on past nights")
        self.progress("; ".join(words))


def estimate_left(
    waiting: Iterable[Unit],
    running: Mapping[Unit, float],
    past: Mapping[str, Sequence[float]],
    limits: Limits,
) -> tuple[float, int]:
    """Seconds that are left if each unit takes its median of past nights, and of how many units
    nothing is known. `running` holds seconds since each began.

    The schedule is played through with cores alone; a unit that runs for longer than ever is taken
    to need a tenth more.
    """
    unknown = 0
    free = [0.0] * limits.cores
    for unit, elapsed in running.items():
        median = _median(past.get(unit.id, ()))
        unknown += median is None
        left = max((median or 0.0) - elapsed, elapsed / 10)
        for slot in range(min(unit.cores, len(free))):
            free[slot] = max(free[slot], left)
        free.sort()
    ready: dict[str, float] = {}
    for unit in waiting:
        median = _median(past.get(unit.id, ()))
        unknown += median is None
        taken = free[: max(1, min(unit.cores, len(free)))]
        start = max([taken[-1], *(ready.get(need, 0.0) for need in unit.needs)])
        end = start + (median or 0.0)
        ready[unit.id] = end
        free[: len(taken)] = [end] * len(taken)
        free.sort()
    return max(free), unknown


def _median(seconds: Sequence[float]) -> float | None:
    return statistics.median(seconds) if seconds else None
