"""The points of sweeps as a table: a row for each filesystem."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from errpath.faults.points import POINT_KINDS, USUAL
from errpath.results.records import CaseRecord, CaseStatus

__all__ = ["ONLY_BY_FORCE", "SweptUnit", "sweep_table"]

# Id of the issue of a forced failure that has no natural twin.
ONLY_BY_FORCE = "only-by-force"
_ANSWERS = ("pass", "known", "by force", "skipped", "failed")


@dataclass(frozen=True)
class SweptUnit:
    """What a unit of a sweep took."""

    filesystem: str
    # Seconds of wall time, the recording apart; of points that several units share, the first's.
    seconds: float
    # Functions that ran and are not failed.
    left_out: int
    # Points that have their turn on another day.
    rotated: int = 0


@dataclass
class _Row:
    kinds: Counter[str] = field(default_factory=Counter)
    answers: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    left_out: int = 0
    rotated: int = 0

    def words(self, name: str, kinds: Iterable[str]) -> tuple[str, ...]:
        counts = (
            self.kinds.total(),
            *(self.kinds[kind] for kind in kinds),
            *(self.answers[answer] for answer in _ANSWERS),
        )
        last = (self.rotated, self.left_out)
        return (name, *map(str, counts), *map(str, last), f"{self.seconds:.0f}")


def sweep_table(records: Iterable[CaseRecord], units: Iterable[SweptUnit]) -> str:
    """The table, and a last row with the sums; "" without a point. Kinds that have to be asked for
    have a column where they have points. `other day` are points that take turns, `left out` are
    functions, once for each event; `s` is wall time."""
    rows: dict[str, _Row] = {}
    for record in records:
        row = rows.setdefault(record.filesystem, _Row())
        row.kinds[record.event.rpartition("/")[2]] += 1
        row.answers[_answer(record)] += 1
    for unit in units:
        if unit.filesystem in rows:
            rows[unit.filesystem].seconds += unit.seconds
            rows[unit.filesystem].left_out += unit.left_out
            rows[unit.filesystem].rotated += unit.rotated
    if not rows:
        return ""
    total = _sum(rows)
    kinds = [kind for kind in POINT_KINDS if kind in USUAL or total.kinds[kind]]
    lines = [("filesystem", "points", *kinds, *_ANSWERS, "other day", "left out", "s")]
    lines += [row.words(name, kinds) for name, row in sorted(rows.items())]
    if len(rows) > 1:
        lines.append(total.words("all", kinds))
    widths = [max(len(line[at]) for line in lines) for at in range(len(lines[0]))]
    return "\n".join(
        "  ".join(
            word.ljust(width) if at == 0 else word.rjust(width)
            for at, (word, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in lines
    )


def _answer(record: CaseRecord) -> str:
    if record.status is CaseStatus.XFAIL:
        forced = record.issue is not None and record.issue.id == ONLY_BY_FORCE
        return "by force" if forced else "known"
    return {CaseStatus.PASS: "pass", CaseStatus.SKIP: "skipped"}.get(record.status, "failed")


def _sum(rows: Mapping[str, _Row]) -> _Row:
    total = _Row()
    for row in rows.values():
        total.kinds.update(row.kinds)
        total.answers.update(row.answers)
        total.seconds += row.seconds
        total.left_out += row.left_out
        total.rotated += row.rotated
    return total
