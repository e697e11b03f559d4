"""The first bad kernel, over a list or over git's history. Pure, but for asking git.

git does the choosing (`rev-list --bisect-all`), so that merges count as they should, but never
`git bisect` itself: nothing in the user's tree is checked out or written.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from errpath.errors import UsageError
from errpath.util.process import ProgramError, run

__all__ = ["Answer", "Ask", "Found", "bisect_list", "bisect_revisions"]


class Answer(enum.Enum):
    """The result of the cases on one kernel."""

    GOOD = "good"
    BAD = "bad"
    # It does not build or boot, or the infrastructure failed: no answer.
    SKIP = "no answer"


Ask = Callable[[str], Answer]


@dataclass(frozen=True)
class Found:
    """The first bad kernel; several where those between them give no answer."""

    first_bad: tuple[str, ...]
    # What was asked, in order.
    asked: tuple[tuple[str, Answer], ...]


class _Questions:
    """Asks every kernel once."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self.asked: dict[str, Answer] = {}

    def __call__(self, kernel: str) -> Answer:
        if kernel not in self.asked:
            self.asked[kernel] = self._ask(kernel)
        return self.asked[kernel]

    def found(self, first_bad: Sequence[str]) -> Found:
        return Found(tuple(first_bad), tuple(self.asked.items()))


def bisect_list(kernels: Sequence[str], ask: Ask) -> Found:
    """Kernels in their order: good ones, then bad ones.

    Raises:
        UsageError: the first is not good or the last is not bad; then there is nothing to look for.
    """
    if len(kernels) < 2:
        raise UsageError("bisect: expected at least two kernels")
    question = _Questions(ask)
    _check_ends(kernels[0], kernels[-1], question)
    good, bad = 0, len(kernels) - 1
    while True:
        between = [n for n in range(good + 1, bad) if question.asked.get(kernels[n]) is None]
        if not between:
            return question.found([kernels[n] for n in range(good + 1, bad + 1)])
        middle = (good + bad) / 2
        at = min(between, key=lambda n: abs(n - middle))
        answer = question(kernels[at])
        if answer is Answer.GOOD:
            good = at
        elif answer is Answer.BAD:
            bad = at


def bisect_revisions(tree: Path, good: str, bad: str, ask: Ask) -> Found:
    """Commits of a git tree between a good and a bad revision; `ask` gets whole commit ids.

    Raises:
        UsageError: no such revision, or the bad one does not come after the good one.
    """
    first, last = _commit(tree, good), _commit(tree, bad)
    question = _Questions(ask)
    if not _git(tree, "rev-list", "-n1", f"{first}..{last}"):
        raise UsageError(f"bisect: {bad} has nothing that {good} has not; expected good, then bad")
    _check_ends(first, last, question)
    goods = [first]
    while True:
        # Every candidate with the number of commits it would rule out, the best first.
        lines = _git(tree, "rev-list", "--bisect-all", last, "--not", *goods)
        candidates = [line.split()[0] for line in lines]
        open_ones = [commit for commit in candidates if commit not in question.asked]
        if not open_ones:
            return question.found(candidates)
        answer = question(open_ones[0])
        if answer is Answer.GOOD:
            goods.append(open_ones[0])
        elif answer is Answer.BAD:
            last = open_ones[0]


def _check_ends(good: str, bad: str, question: _Questions) -> None:
    for kernel, wanted in ((good, Answer.GOOD), (bad, Answer.BAD)):
        answer = question(kernel)
        if answer is not wanted:
            raise UsageError(f"bisect: {kernel} is {answer.value}; expected {wanted.value}")


def _commit(tree: Path, revision: str) -> str:
    try:
        return _git(tree, "rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}")[0]
    except ProgramError:
        raise UsageError(f"{tree}: no such revision: {revision}") from None


def _git(tree: Path, *words: str) -> list[str]:
    return run(["git", "--no-optional-locks", "-C", tree, *words]).text.splitlines()
