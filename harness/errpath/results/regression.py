"""A case against its past: what is new, what is known, what the infrastructure failed. Pure.

Rules, in order:

* Infrastructure errors say nothing: only passes and failures count, tonight and in the past. With
  nothing but errors tonight the judgement is infrastructure.
* One kernel that both passed and failed a case shows that the case is flaky, and so do three
  changes of mind within the window, whatever the kernels. Three nights of nothing but failures end
  the benefit of the doubt.
* A failure after a pass is a new failure once `confirm` further attempts have failed as well, and
  until then unconfirmed. The repeats of a suspected leak in a fresh guest are such attempts.
* A failure that a known issue covers, of the suite (XFAIL) or of the job, is known, whatever the
  past.
* A failure after a failure is still failing; if it fails in a way not seen within the window, and
  in the same way in every attempt, it is also said to have changed.
"""

from __future__ import annotations

import enum
import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from errpath.results.records import CaseStatus

__all__ = ["WINDOW_NIGHTS", "Judgement", "Kind", "Night", "judge_case"]

# Nights of the past that are looked at.
WINDOW_NIGHTS = 14
# So many changes between pass and fail within the window make a case flaky.
_CHANGES = 3
# So many nights of nothing but failures, tonight included, make a flaky case a failing one.
_SOLID_NIGHTS = 3


class Kind(enum.StrEnum):
    """What is said of a case, in the order in which a reader wants it."""

    NEW_FAILURE = "new failure"
    UNCONFIRMED = "unconfirmed failure"
    STILL_FAILING = "still failing"
    FLAKY = "flaky"
    KNOWN = "known"
    FIXED = "fixed"
    NEW_CASE = "new case"
    GONE = "gone case"
    INFRASTRUCTURE = "infrastructure"
    NOT_RUN = "not run"
    SKIPPED = "skipped"
    PASSING = "passing"


@dataclass(frozen=True)
class Night:
    """All attempts at one case in one run."""

    # Id of the run.
    run: str
    # State of the kernel: two nights of equal state ran the same code.
    kernel: str
    attempts: tuple[CaseStatus, ...]
    # Signatures of the failing attempts.
    signatures: frozenset[str] = frozenset()
    # Whether a failing attempt was recorded before failures were kept: its signature was made in
    # another way and can be compared with none of today's.
    old_signatures: bool = False

    @property
    def fails(self) -> int:
        """How many attempts failed."""
        return sum(attempt.failing for attempt in self.attempts)

    @property
    def passes(self) -> int:
        """How many attempts passed."""
        return self.attempts.count(CaseStatus.PASS)

    @property
    def conclusive(self) -> bool:
        """Whether an attempt passed or failed, not all were errors."""
        return bool(self.fails or self.passes)


@dataclass(frozen=True)
class Judgement:
    """What is said of one case."""

    kind: Kind
    # Whether it failed tonight.
    failing: bool = False
    # Attempts that failed, of how many conclusive ones, over how many nights (tonight included).
    failed: int = 0
    of: int = 0
    nights: int = 1
    # Run since which it fails without a pass between; empty if that is tonight or unknown.
    since: str = ""
    # It fails in a way that the window has not seen.
    changed: bool = False
    # Further attempts tonight could say more.
    unsure: bool = False
    # Link of the known issue.
    link: str = ""

    @property
    def attention(self) -> bool:
        """Whether somebody should look at it today."""
        return self.kind is Kind.NEW_FAILURE or (
            self.failing
            and (self.kind is Kind.NEW_CASE or (self.kind is Kind.STILL_FAILING and self.changed))
        )

    def __str__(self) -> str:
        words = str(self.kind)
        if self.kind is Kind.FLAKY:
            words += f", {self.failed} of {self.of} over {_count(self.nights, 'night')}"
        elif self.kind is Kind.NEW_FAILURE:
            words += f", {self.failed} of {self.of}"
        elif self.kind is Kind.STILL_FAILING and self.changed:
            words += ", in a new way"
        elif self.kind is Kind.NEW_CASE:
            words += ", fails" if self.failing else ", passes"
        return f"{words} ({self.link})" if self.link else words


def judge_case(
    tonight: Night | None,
    past: Sequence[Night],
    *,
    confirm: int = 2,
    link: str = "",
    known: bool = False,
    complete: bool = True,
) -> Judgement:
    """Judge a case.

    `past` is newest first; the window is cut here. `confirm` is how many further attempts a new
    failure needs; `known` says that a known issue covers tonight's failure, and `link` is its.
    `complete` says whether tonight's run of its suite went to the end: only then a case without an
    attempt is gone.
    """
    window = [night for night in past[:WINDOW_NIGHTS] if night.conclusive]
    if tonight is None or not tonight.attempts:
        return Judgement(Kind.GONE if complete and past else Kind.NOT_RUN)
    if not tonight.conclusive:
        skipped = all(attempt is CaseStatus.SKIP for attempt in tonight.attempts)
        return Judgement(Kind.SKIPPED) if skipped else Judgement(Kind.INFRASTRUCTURE, unsure=True)
    if not tonight.fails:
        return _passed(tonight, window, new=not past)
    return _failed(tonight, window, confirm, link, known=known or bool(link))


def _passed(tonight: Night, window: Sequence[Night], *, new: bool) -> Judgement:
    if new:
        return Judgement(Kind.NEW_CASE)
    if _flaky(tonight, window):
        return _counted(Kind.FLAKY, tonight, window)
    if window and window[0].fails:
        return Judgement(Kind.FIXED, since=_since(window))
    return Judgement(Kind.PASSING)


def _failed(
    tonight: Night, window: Sequence[Night], confirm: int, link: str, *, known: bool
) -> Judgement:
    solid = not tonight.passes
    if known:
        return _counted(Kind.KNOWN, tonight, (), failing=True, link=link)
    if _flaky(tonight, window) and not _failing_for_long(tonight, window):
        return _counted(Kind.FLAKY, tonight, window, failing=True)
    if not window:
        # Also a case of which nothing conclusive is known yet.
        unsure = solid and tonight.fails <= confirm
        return _counted(Kind.NEW_CASE, tonight, (), failing=True, unsure=unsure)
    if solid and window[0].fails:
        seen: set[str] = set().union(*(night.signatures for night in window))
        comparable = not any(night.old_signatures for night in (tonight, *window))
        changed = comparable and len(tonight.signatures) == 1 and not tonight.signatures & seen
        return Judgement(
            Kind.STILL_FAILING,
            failing=True,
            failed=tonight.fails,
            of=tonight.fails + tonight.passes,
            since=_since(window),
            changed=changed and tonight.fails > confirm,
            unsure=changed and tonight.fails <= confirm,
        )
    unsure = tonight.fails <= confirm
    kind = Kind.UNCONFIRMED if unsure else Kind.NEW_FAILURE
    return _counted(kind, tonight, (), failing=True, unsure=unsure)


def _counted(
    kind: Kind,
    tonight: Night,
    window: Sequence[Night],
    *,
    failing: bool = False,
    unsure: bool = False,
    link: str = "",
) -> Judgement:
    nights = (tonight, *window)
    return Judgement(
        kind,
        failing=failing,
        failed=sum(night.fails for night in nights),
        of=sum(night.fails + night.passes for night in nights),
        nights=len(nights),
        unsure=unsure,
        link=link,
    )


def _flaky(tonight: Night, window: Sequence[Night]) -> bool:
    nights = (tonight, *window)
    if any(night.fails and night.passes for night in nights):
        return True
    by_kernel: dict[str, set[bool]] = {}
    for night in nights:
        if night.kernel:
            by_kernel.setdefault(night.kernel, set()).add(bool(night.fails))
    if any(len(answers) > 1 for answers in by_kernel.values()):
        return True
    answers = [bool(night.fails) for night in nights]
    return sum(a != b for a, b in itertools.pairwise(answers)) >= _CHANGES


def _failing_for_long(tonight: Night, window: Sequence[Night]) -> bool:
    nights = (tonight, *window)[:_SOLID_NIGHTS]
    return len(nights) == _SOLID_NIGHTS and not any(night.passes for night in nights)


def _since(window: Sequence[Night]) -> str:
    """The oldest run of the unbroken row of failures before tonight."""
    row = list(itertools.takewhile(lambda night: night.fails and not night.passes, window))
    return row[-1].run if row else ""


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")
