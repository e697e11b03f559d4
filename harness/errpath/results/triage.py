"""A judged run: what every report of it shows. Plain data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from errpath.results.records import (
    CaseRecord,
    CaseStatus,
    IssueRecord,
    KernelRecord,
    TrackRecord,
)
from errpath.results.regression import Judgement, Kind
from errpath.results.run_records import RunRow, UnitRow

__all__ = [
    "ORDER",
    "Change",
    "Group",
    "JudgedCase",
    "JudgedRun",
    "RunSummary",
    "grouped",
    "summary_status",
]

# In which order kinds are reported: what needs attention comes first.
ORDER = (
    Kind.NEW_FAILURE,
    Kind.UNCONFIRMED,
    Kind.STILL_FAILING,
    Kind.FLAKY,
    Kind.KNOWN,
    Kind.FIXED,
    Kind.NEW_CASE,
    Kind.GONE,
    Kind.INFRASTRUCTURE,
    Kind.NOT_RUN,
    Kind.SKIPPED,
)


@dataclass(frozen=True)
class JudgedCase:
    """A case of one run with all that a report says of it."""

    track: TrackRecord
    case: str
    judgement: Judgement
    # In order; none for a case that did not run.
    attempts: tuple[CaseRecord, ...]
    known: IssueRecord | None = None
    # Answers of the last nights, the oldest first, tonight last: one of "pass", "fail", "both",
    # "xfail", "error", "skip".
    trend: tuple[str, ...] = ()

    @property
    def worst(self) -> CaseRecord | None:
        """The attempt to show."""
        order = (
            CaseStatus.FAIL,
            CaseStatus.XFAIL,
            CaseStatus.ERROR,
            CaseStatus.SKIP,
            CaseStatus.PASS,
        )
        return min(self.attempts, key=lambda r: order.index(r.status), default=None)


@dataclass(frozen=True)
class Group:
    """Cases that say the same."""

    # The track, or the kernels of several.
    where: str
    # How they fail; empty for what does not fail.
    what: str
    cases: tuple[JudgedCase, ...]


def grouped(cases: Iterable[JudgedCase]) -> tuple[Group, ...]:
    """The largest group first. What fails in one way is one finding, on however many kernels."""
    groups: dict[tuple[TrackRecord, str], list[JudgedCase]] = {}
    for case in cases:
        worst = case.worst
        what = (worst.signature or "; ".join(worst.reasons)) if worst is not None else ""
        place = replace(case.track, kernel="") if what else case.track
        groups.setdefault((place, what), []).append(case)
    found = [Group(_where(members), what, tuple(members)) for (_, what), members in groups.items()]
    return tuple(sorted(found, key=lambda group: -len(group.cases)))


def _where(cases: Sequence[JudgedCase]) -> str:
    kernels = tuple(dict.fromkeys(case.track.kernel for case in cases))
    track = cases[0].track
    return str(track if len(kernels) == 1 else replace(track, kernel=", ".join(kernels)))


def summary_status(attempts: Sequence[CaseStatus]) -> str:
    """One word for several attempts; "none" for none."""
    for status in (
        CaseStatus.FAIL,
        CaseStatus.XFAIL,
        CaseStatus.PASS,
        CaseStatus.ERROR,
        CaseStatus.SKIP,
    ):
        if status in attempts:
            return status.value
    return "none"


@dataclass(frozen=True)
class Change:
    """A case that two runs answer differently."""

    # Job, guest, suite and the kernel's name; of the later run.
    track: TrackRecord
    case: str
    # "pass", "fail", "xfail", "both", "error", "skip" or "none" (no attempt).
    before: str
    after: str
    # Why it is as it is after, or was as it was before.
    reason: str

    @property
    def kind(self) -> Kind | None:
        """What that is, where both answers say something about the kernel."""
        return {
            ("pass", "fail"): Kind.NEW_FAILURE,
            ("fail", "pass"): Kind.FIXED,
            ("xfail", "fail"): Kind.NEW_FAILURE,
            ("xfail", "pass"): Kind.FIXED,
            ("pass", "xfail"): Kind.KNOWN,
            ("fail", "xfail"): Kind.KNOWN,
            ("none", "xfail"): Kind.NEW_CASE,
            ("xfail", "none"): Kind.GONE,
            ("none", "fail"): Kind.NEW_CASE,
            ("none", "pass"): Kind.NEW_CASE,
            ("pass", "none"): Kind.GONE,
            ("fail", "none"): Kind.GONE,
        }.get((self.before, self.after))


@dataclass(frozen=True)
class RunSummary:
    """One run in a line: for an index and for trends."""

    id: str
    job: str
    # "running", "complete" or "partial".
    status: str
    # Seconds since 1970, and of wall time.
    started: float
    seconds: float
    # Cases by kind of judgement (the value of a `Kind`).
    counts: dict[str, int] = field(default_factory=dict)

    @property
    def cases(self) -> int:
        """Cases that ran."""
        missing = (Kind.GONE.value, Kind.NOT_RUN.value)
        return sum(number for kind, number in self.counts.items() if kind not in missing)

    @property
    def failing(self) -> int:
        """Cases that count as failing; a new case is not among them (its page shows it)."""
        kinds = (Kind.NEW_FAILURE, Kind.UNCONFIRMED, Kind.STILL_FAILING, Kind.KNOWN)
        return sum(self.counts.get(kind.value, 0) for kind in kinds)


@dataclass(frozen=True)
class JudgedRun:
    """One run with its cases, as reports show it."""

    run: RunRow
    kernels: tuple[KernelRecord, ...]
    units: tuple[UnitRow, ...]
    cases: tuple[JudgedCase, ...]
    # This run and those before it, the oldest first.
    trend: tuple[RunSummary, ...] = ()
    # Run id and directory name of the page of the run before; empty for none.
    previous: str = ""
    # The kernels of that run.
    kernels_before: tuple[KernelRecord, ...] = ()

    @property
    def counts(self) -> Counter[Kind]:
        """How many cases have each kind of judgement."""
        return Counter(case.judgement.kind for case in self.cases)

    @property
    def attention(self) -> tuple[JudgedCase, ...]:
        """What somebody should look at today."""
        return tuple(case for case in self.cases if case.judgement.attention)

    @property
    def ways(self) -> int:
        """In how many ways those cases fail."""
        found = {c.worst.signature for c in self.attention if c.worst is not None}
        return len(found)

    def kernel_before(self, kernel: KernelRecord) -> KernelRecord | None:
        """The kernel of the same name in the run before."""
        return next((k for k in self.kernels_before if k.name == kernel.name), None)

    @property
    def failing(self) -> bool:
        """Whether anything at all failed that is not known."""
        return any(c.judgement.failing and c.judgement.kind is not Kind.KNOWN for c in self.cases)

    @property
    def incomplete(self) -> bool:
        """Whether something that should have run gave no answer."""
        silent = (Kind.INFRASTRUCTURE, Kind.NOT_RUN)
        return self.run.status != "complete" or any(
            case.judgement.kind in silent for case in self.cases
        )

    def headline(self) -> str:
        """The run in one line."""
        counts = self.counts
        new = len(self.attention)
        words = [f"{new} to look at" if new else "nothing new"]
        if new > 1:
            words[0] += f" ({self.ways} way{'s' * (self.ways != 1)} of failing)"
        words += [f"{counts[kind]} {kind}" for kind in ORDER if counts[kind]]
        words.append(f"{counts[Kind.PASSING]} passing")
        if self.run.status == "partial":
            words.append(f"PARTIAL: {self.run.note}")
        return ", ".join(words)
