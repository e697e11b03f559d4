"""What is kept of a run when its guests are gone: plain records, the same in files and store.

A `CaseRecord` is one attempt at one case. A `TrackRecord` says where it ran: job, kernel by the
name that the job gives it (the kernel behind the name changes from night to night), guest, suite.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, is_dataclass
from typing import Any, TypeVar

from errpath.oracles.failure import Failure, join_signatures

__all__ = [
    "CaseRecord",
    "CaseStatus",
    "IssueRecord",
    "KernelRecord",
    "PatchRecord",
    "ShardRecord",
    "TrackRecord",
    "count_repeats",
    "from_json",
    "to_json",
]

T = TypeVar("T")


class CaseStatus(enum.StrEnum):
    """Outcome of one attempt. ERROR is a failure of the infrastructure, never the kernel's; XFAIL
    is a failure of the kernel's that a known issue explains."""

    PASS = "pass"
    FAIL = "fail"
    XFAIL = "xfail"
    ERROR = "error"
    SKIP = "skip"

    @property
    def conclusive(self) -> bool:
        """Whether it says anything about the kernel."""
        return self is CaseStatus.PASS or self.failing

    @property
    def failing(self) -> bool:
        """Whether the kernel failed, expected or not."""
        return self in (CaseStatus.FAIL, CaseStatus.XFAIL)


@dataclass(frozen=True)
class IssueRecord:
    """The known issue that explains a failure."""

    id: str
    # Where it is being dealt with; empty where the test does not say.
    link: str = ""
    # What it is, in one line.
    title: str = ""


@dataclass(frozen=True)
class CaseRecord:
    """One attempt at one case."""

    # The case's id; for a test without a case, its node id.
    case: str
    status: CaseStatus
    # One line each, the worst first; empty for a pass.
    reasons: tuple[str, ...] = ()
    # What makes two failures the same failure; empty for a pass. That of `failures`, unless given.
    signature: str = ""
    # Seconds that the case itself took, boot and leak check apart.
    seconds: float = 0.0
    # Where it belongs in a matrix; empty for a test without a case.
    filesystem: str = ""
    # Point of failure: the function that failed, or what was wrong.
    event: str = ""
    errno: str = ""
    # Of `repeats` runs alone in a fresh guest, so many showed the same leak.
    confirmed: int = 0
    repeats: int = 0
    # The one-line command that runs it again.
    rerun: str = ""
    # Its folder of artefacts; empty if it left none.
    artefacts: str = ""
    # Which test holds it, so that it can be selected again.
    nodeid: str = ""
    # What the oracles found, the worst first; none in a record from before they were kept.
    failures: tuple[Failure, ...] = ()
    # Of an XFAIL.
    issue: IssueRecord | None = None
    # In which order the tasks of a case of two met, one line for each step that waited.
    orders: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "status", CaseStatus(self.status))
        object.__setattr__(self, "reasons", tuple(self.reasons))
        object.__setattr__(self, "orders", tuple(self.orders))
        made = tuple(f if isinstance(f, Failure) else Failure.from_json(f) for f in self.failures)
        object.__setattr__(self, "failures", made)
        if not self.signature:
            object.__setattr__(self, "signature", join_signatures(made))
        issue: Any = self.issue
        if isinstance(issue, Mapping):
            object.__setattr__(self, "issue", from_json(IssueRecord, issue))

    @property
    def answers(self) -> tuple[CaseStatus, ...]:
        """What the attempt and its repeats in a fresh guest answered."""
        return count_repeats(self.status, self.confirmed, self.repeats)


def count_repeats(status: CaseStatus, confirmed: int, repeats: int) -> tuple[CaseStatus, ...]:
    """A failure that was looked at again, as so many failures and passes."""
    if not status.failing:
        return (status,)
    again = (status,) * confirmed + (CaseStatus.PASS,) * (repeats - confirmed)
    return (status, *again)


@dataclass(frozen=True)
class PatchRecord:
    """One patch on a kernel."""

    # As `git patch-id --stable` gives it: the same wherever the lines have moved to.
    id: str
    # Its file's name.
    name: str
    # Of the file's bytes, hexadecimal.
    sha256: str = ""


@dataclass(frozen=True)
class KernelRecord:
    """A kernel as it was tested."""

    # The job's name for it.
    name: str
    # The spec that was resolved, such as "debian:7.2".
    spec: str
    # Same state, same sources and configuration, modules included; empty if it was not built.
    state: str = ""
    # `uname -r`.
    release: str = ""
    # For people: where it is from, what was done to it.
    description: str = ""
    # Commit where the source is a git tree.
    commit: str = ""
    # SHA-256 of the final .config.
    config_hash: str = ""
    patches: tuple[PatchRecord, ...] = ()
    # What errpath does on other kernels and cannot do on this one, with the reason, one a line.
    missing: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        made = tuple(p if isinstance(p, PatchRecord) else PatchRecord(**p) for p in self.patches)
        object.__setattr__(self, "patches", made)
        object.__setattr__(self, "missing", tuple(self.missing))


@dataclass(frozen=True)
class ShardRecord:
    """Part `index` (from 1) of `total` of a suite."""

    index: int = 1
    total: int = 1

    def __post_init__(self) -> None:
        if self.total < 1 or not 1 <= self.index <= self.total:
            raise ValueError(f"shard {self.index}/{self.total}: expected I/N with 1 <= I <= N")

    def __str__(self) -> str:
        return f"{self.index}/{self.total}"


@dataclass(frozen=True, order=True)
class TrackRecord:
    """Where a case has its past: the same job, kernel name, guest and suite."""

    job: str
    kernel: str
    guest: str
    suite: str

    def __str__(self) -> str:
        return " · ".join((self.job, self.kernel, self.guest, self.suite))


def to_json(record: Any) -> dict[str, Any]:
    """A record as JSON values; fields that have their default are left out."""
    values = {field.name: (getattr(record, field.name), field.default) for field in fields(record)}
    return {name: _plain(value) for name, (value, default) in values.items() if value != default}


def _plain(value: Any) -> Any:
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, Failure):
        return value.to_json()
    if isinstance(value, IssueRecord):
        return to_json(value)
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    return [_plain(one) for one in value] if isinstance(value, tuple) else value


def from_json(kind: type[T], values: Mapping[str, Any]) -> T:
    """The record that `to_json` wrote. Keys of a later version are passed over.

    Raises:
        ValueError: a key is missing or a value is impossible.
    """
    known = {field.name for field in fields(kind)}  # type: ignore[arg-type]
    try:
        return kind(**{name: value for name, value in values.items() if name in known})
    except TypeError as error:
        raise ValueError(str(error)) from None
