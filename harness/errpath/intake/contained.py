"""One run of a reproducer in a guest, and what the oracles see after it.

The guest is a clone for this run alone: whatever the program does to it, no other run sees.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass

from errpath.errors import ErrpathError, GuestPoisonedError
from errpath.guest.machine import Guest
from errpath.guest.program import guest_program
from errpath.intake.reproducer import Reproducer
from errpath.kernel.log import find_crashes
from errpath.oracles import canary, kmemleak
from errpath.oracles.canary import Check, Checked
from errpath.oracles.failure import HANG, LEAK, Failure
from errpath.oracles.frames import first_named, stack_frames
from errpath.oracles.kernel_log import log_failures
from errpath.oracles.leaks import leak_failures
from errpath.runner.guests import PreparedGuest

__all__ = ["Attempt", "run_contained"]

_CONTAIN, _PROGRAM = "/contain", "/repro-program"
# Of wall time, beside the program's own seconds: for a slow guest to end everything that was
# started, and with the leak check for the whole attempt.
_MORE_SECONDS, _ALL_SECONDS = 60.0, 110.0
# How a program ended whose container did not say it.
_NO_WORD = "without a word of its container"
_LAST = re.compile(r"\ncontain: status=(-?\d+) signal=(\d+) late=(\d) stuck=(\d)\n$")
_STUCK = re.compile(r"(?m)^contain: task (\d+) does not end\n((?:\[<.*\n)*)")
# What a program does to a small guest, and no bug of a kernel: it had all the memory.
_EXHAUSTED = re.compile(
    r"System is deadlocked on memory|Out of memory and no killable|Attempted to kill init"
)


# Checks a guest for leaks, beside a canary.
LeakCheck = Callable[[Guest, Check], Checked]


@dataclass(frozen=True)
class Attempt:
    """One run."""

    failures: tuple[Failure, ...] = ()
    # Why it says nothing; empty for a run that does.
    error: str = ""
    # Of wall time, from when there is a guest.
    seconds: float = 0.0
    # What the program printed, its beginning, and how it ended.
    output: str = ""
    ended: str = ""

    @property
    def leaks(self) -> bool:
        """Whether a leak was found."""
        return any(failure.kind is LEAK for failure in self.failures)


def run_contained(
    make: Callable[[], PreparedGuest],
    reproducer: Reproducer,
    *,
    seconds: int,
    slow: bool = False,
    slowness: float = 1.0,
    checked: LeakCheck = canary.check_beside_canary,
) -> Attempt:
    """Run it in a fresh guest, which takes `slowness` times as long for everything as the default
    one. A leak is a suspicion unless the check is `slow`; `checked` is how the check's canary is
    looked for."""
    try:
        prepared = make()
    except ErrpathError as error:
        return Attempt(error=f"no guest: {error}")
    began = time.monotonic()
    try:
        check = kmemleak.slow_check if slow else prepared.check
        prepared.guest.end_after(seconds + _ALL_SECONDS * slowness)
        more = seconds + _MORE_SECONDS * slowness
        attempt = _run(prepared, reproducer, seconds, more, lambda guest: checked(guest, check))
    finally:
        prepared.guest.close()
    return Attempt(
        attempt.failures,
        attempt.error,
        time.monotonic() - began,
        attempt.output,
        attempt.ended,
    )


def _run(
    prepared: PreparedGuest,
    reproducer: Reproducer,
    seconds: int,
    more: float,
    check: Callable[[Guest], Checked],
) -> Attempt:
    guest = prepared.guest
    if prepared.broken:
        return Attempt(error="; ".join(prepared.broken.values()))
    output = ended = ""
    try:
        guest.write_file(_CONTAIN, guest_program("repro"), mode=0o755)
        guest.write_file(_PROGRAM, reproducer.program, mode=0o755)
        before = len(guest.dmesg())
        run = guest.run([_CONTAIN, str(seconds), _PROGRAM], seconds=more)
        output, ended, stuck = _read_output(run.output)
        crashes = find_crashes(guest.dmesg()[before:])
        failures = [*log_failures(crashes), *stuck]
        if ended == _NO_WORD and not failures:
            # Nothing was run, as far as anybody knows, or it still runs: that is no clean attempt.
            return Attempt(error=_no_container(output), output=output, ended=ended)
        if not stuck and not any(crash.fatal for crash in crashes):
            checked = check(guest)
            failures += leak_failures(checked.records)
            if checked.blind and not failures:
                return Attempt(error=checked.blind, output=output, ended=ended)
        return Attempt(tuple(failures), output=output, ended=ended)
    except GuestPoisonedError as error:
        return _after_loss(guest, error, output)
    except ErrpathError as error:
        return Attempt(error=str(error), output=output, ended=ended)


def _no_container(output: str) -> str:
    """Why a container did not say how its program ended."""
    lines = output.strip().splitlines()
    why = f": {lines[-1][:200]}" if lines else ""
    return f"the container said nothing of the program's end{why} (namespaces? --guest repro)"


def _after_loss(guest: Guest, error: GuestPoisonedError, output: str) -> Attempt:
    """What the console of a guest that went away says."""
    crashes = guest.console.crashes() if guest.console is not None else ()
    if not crashes or all(_EXHAUSTED.search(crash.title) for crash in crashes):
        return Attempt(error=f"the guest did not survive it: {error}", output=output)
    return Attempt(log_failures(crashes), output=output, ended="the guest went down")


def _read_output(text: str) -> tuple[str, str, list[Failure]]:
    """What the program printed, how it ended, and the tasks that do not end."""
    last = _LAST.search(text)
    if last is None:
        return text, _NO_WORD, []
    status, signal, late, stuck = map(int, last.groups())
    # As a shell reports it: the container's own child sees the program's signal.
    signal = signal or max(0, status - 128)
    ended = f"signal {signal}" if signal else f"status {status}"
    failures = [_hang(stack) for _, stack in _STUCK.findall(text)] if stuck else []
    if stuck and not failures:
        failures = [_hang("")]
    return text[: last.start()], "ended when time was up" if late else ended, failures


def _hang(stack: str) -> Failure:
    lines = [line.split("] ", 1)[-1] for line in stack.splitlines()]
    functions = tuple(frame.function for frame in stack_frames("\n".join(lines)))
    named = first_named(functions)
    return Failure(
        HANG,
        f"INFO: task hung in {named}" if named else "INFO: task hung",
        functions=functions,
        detail="a task of the reproducer does not end when it is killed",
        evidence=stack,
    )
