"""How soon a suite answers on kernels on which everything goes wrong in one way."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from errpath.util.progress import Progress
from errpath.util.resources import GUESTS, PYTEST_WORDS, suite_path

__all__ = ["BROKEN", "BrokenTimes", "bench_broken", "broken_table", "read_run"]

# Name → pytest's words for such a kernel.
BROKEN = {
    "every mount hangs": ("--patch", str(GUESTS / "patches" / "every-mount-hangs.patch")),
    "every mount oopses": ("--patch", str(GUESTS / "patches" / "every-mount-oopses.patch")),
    "every mount leaks": ("--patch", str(GUESTS / "patches" / "every-mount-leaks.patch")),
    # No process 1: the kernel panics, and the agent never answers.
    "does not boot": ("--append", "rdinit=/nowhere"),
}
# One case that has all made that guests need, so that it is not timed.
_WARM_UP = "hfs-valid-mount-ro"
_SUITE = "hfs"
_RED = re.compile(rb"^first failure: |\] FAILED|::\S+ FAILED|^!+ .*Exit: ")
_COUNTS = re.compile(rb"(\d+) (passed|failed|errors?|xfailed)")


@dataclass(frozen=True)
class BrokenTimes:
    """What one kernel took."""

    name: str
    # Seconds from the start of pytest to the first failure that it printed; None for none.
    first: float | None
    whole: float
    # Tests by pytest's word for their outcome, and its exit status.
    outcomes: dict[str, int]
    status: int


def bench_broken(words: Sequence[str], directory: Path, progress: Progress) -> list[BrokenTimes]:
    """Run the suite on each kernel; `words` are pytest's for all of them."""
    found = []
    with progress.step("broken kernels", total=len(BROKEN)) as step:
        for number, (name, own) in enumerate(BROKEN.items()):
            step.update(number, note=name)
            every = [*words, *own, "--artefacts", str(directory)]
            for _ in _pytest([*every, "--case", _WARM_UP]):
                pass
            found.append(read_run(name, _pytest(every)))
    return found


def read_run(
    name: str, lines: Iterable[bytes | int], clock: Callable[[], float] = time.monotonic
) -> BrokenTimes:
    """What a run of pytest took: its lines as they come, then its exit status."""
    began = clock()
    first: float | None = None
    outcomes: dict[str, int] = {}
    status = 0
    for line in lines:
        if isinstance(line, int):
            status = line
            continue
        if first is None and _RED.search(line):
            first = clock() - began
        if counts := _COUNTS.findall(line):
            outcomes = {word.decode(): int(number) for number, word in counts}
    return BrokenTimes(name, first, clock() - began, outcomes, status)


def _pytest(words: Sequence[str]) -> Iterator[bytes | int]:
    """The lines of a run of pytest over the suite as they come, then its exit status."""
    argv = [sys.executable, "-m", "pytest", *PYTEST_WORDS, suite_path(_SUITE)]
    argv += ["-v", "--tb=no", "-p", "no:cacheprovider", *words]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment
    ) as process:
        assert process.stdout is not None
        yield from process.stdout
    yield process.returncode


def broken_table(found: Sequence[BrokenTimes]) -> str:
    """For people."""
    lines = [f"{'':20}{'first failure':>15}{'whole':>10}  tests"]
    for one in found:
        first = "none" if one.first is None else f"{one.first:.1f} s"
        outcomes = ", ".join(f"{count} {word}" for word, count in one.outcomes.items())
        printed = outcomes or f"exit status {one.status}"
        lines.append(f"{one.name:20}{first:>15}{one.whole:>8.1f} s  {printed}")
    return "\n".join(lines)
