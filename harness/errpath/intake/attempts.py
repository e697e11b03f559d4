"""Several runs of a reproducer on one kernel, each in a clone of its own; leaks confirmed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from errpath.errors import ErrpathError
from errpath.intake.contained import Attempt, run_contained
from errpath.intake.likeness import same
from errpath.intake.reproducer import Reproducer
from errpath.intake.reproduction import Outcome, Reproduction, outcome_of
from errpath.intake.symbolise import with_inlined
from errpath.kernel import BuiltKernel, Symbolizer
from errpath.oracles.failure import LEAK, Failure
from errpath.results.testbeds import Testbeds
from errpath.runner.guests import PreparedGuest
from errpath.runner.options import Choice
from errpath.runner.testbed import Testbed
from errpath.util.progress import Progress

__all__ = [
    "ATTEMPTS",
    "REPRO_GUEST",
    "ROUNDS",
    "SECONDS",
    "SLOW_GUEST",
    "confirm_leaks",
    "loadable",
    "reproduce",
    "run_attempts",
]

# The guest, and with it the kernel, that reproducers need.
REPRO_GUEST = "repro"
# The same with KASAN and UBSAN, and with the time that they take.
SLOW_GUEST = "repro-kasan"
# Runs of a reproducer, seconds of each at most, and rounds of one that repeats itself for ever.
ATTEMPTS, SECONDS, ROUNDS = 3, 10, 20
# Slow checks that may confirm what fast ones suspect.
_CONFIRMATIONS = 2


def reproduce(
    choice: Choice,
    reproducer: Reproducer,
    directory: Path,
    progress: Progress,
    *,
    attempts: int,
    seconds: int,
    output: bool = False,
    built: Callable[[BuiltKernel], None] = lambda kernel: None,
) -> Reproduction:
    """All attempts on one kernel, what they come to; never an exception for what went wrong.
    `built` is called with the kernel before the first attempt."""
    wanted = reproducer.filesystems
    testbeds = Testbeds({choice.name: choice}, directory / "guests", progress)

    def tell(number: int, attempt: Attempt) -> None:
        seen = attempt.error or "; ".join(f.title for f in attempt.failures) or "nothing"
        ended = f"{attempt.ended}, " if attempt.ended else ""
        progress.say(
            f"{choice.name}: attempt {number + 1} of {attempts}: {seen} "
            f"({ended}{attempt.seconds:.1f} s)"
        )
        if output and attempt.output.strip():
            progress.say(attempt.output.rstrip())

    try:
        testbed = testbeds.get(choice.name, wanted[0] if wanted else "")
        filesystems, missing = loadable(testbed, wanted)
        built(testbed.kernel)
        for line in missing:
            progress.say(line)
        done = run_attempts(
            testbed, reproducer, filesystems, attempts=attempts, seconds=seconds, tell=tell
        )
    except ErrpathError as error:
        return Reproduction(Outcome.ERROR, 0, 0, error=str(error))
    finally:
        testbeds.close()
    return outcome_of(done, reproducer.title, reproducer.expected)


def run_attempts(
    testbed: Testbed,
    reproducer: Reproducer,
    filesystems: Sequence[str],
    *,
    attempts: int,
    seconds: int,
    tell: Callable[[int, Attempt], None] = lambda number, attempt: None,
) -> list[Attempt]:
    """So many runs. A leak that no slow check confirms is left out of all of them."""

    def make(*, fast: bool) -> PreparedGuest:
        return testbed.guests.prepare(filesystems, reproducer.functions, fast=fast)

    def run(*, slow: bool) -> Attempt:
        return run_contained(
            lambda: make(fast=not slow),
            reproducer,
            seconds=seconds,
            slow=slow,
            slowness=testbed.definition.slowness,
        )

    done = []
    for number in range(attempts):
        attempt = run(slow=False)
        tell(number, attempt)
        done.append(attempt)
    done = confirm_leaks(done, lambda: run(slow=True))
    return _told_apart(done, reproducer, lambda: testbed.symbolizer(filesystems))


def _told_apart(
    attempts: Sequence[Attempt], reproducer: Reproducer, symbolizer: Callable[[], Symbolizer]
) -> list[Attempt]:
    """The attempts; where one shows something that seems not to be what was reported, with the
    functions that were inlined on its stack: one of them may be what the report is named after."""

    def is_same(failure: Failure) -> bool:
        return same(failure, reproducer.title, reproducer.expected)

    if all(is_same(f) for attempt in attempts for f in attempt.failures if not f.follows):
        return list(attempts)
    with symbolizer() as symbols:
        return [
            replace(
                attempt,
                failures=tuple(
                    f if f.follows or is_same(f) else with_inlined(f, symbols.frames)
                    for f in attempt.failures
                ),
            )
            for attempt in attempts
        ]


def confirm_leaks(attempts: Sequence[Attempt], again: Callable[[], Attempt]) -> list[Attempt]:
    """The attempts without leaks that further runs under the slow check do not show."""
    suspected = {f.signature for a in attempts for f in a.failures if f.kind is LEAK}
    confirmed: set[str] = set()
    for _ in range(_CONFIRMATIONS if suspected else 0):
        slow = again()
        confirmed |= {f.signature for f in slow.failures if f.kind is LEAK}
        if suspected <= confirmed:
            break
    return [
        replace(
            attempt,
            failures=tuple(
                f for f in attempt.failures if f.kind is not LEAK or f.signature in confirmed
            ),
        )
        for attempt in attempts
    ]


def loadable(testbed: Testbed, filesystems: Sequence[str]) -> tuple[tuple[str, ...], list[str]]:
    """The filesystems whose modules this kernel has, and why it has not the others.

    Raises:
        ErrpathError: the kernel cannot be built.
    """
    testbed.check()
    missing: dict[str, ErrpathError] = dict(testbed.build(filesystems))
    found = tuple(name for name in filesystems if name not in missing)
    return found, [f"{name} is not loaded: {error}" for name, error in missing.items()]
