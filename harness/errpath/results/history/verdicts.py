"""A run against its past: every case judged, and what two runs differ in."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence

from errpath.results.history import query
from errpath.results.history.store import History
from errpath.results.known import find_known
from errpath.results.records import CaseRecord, IssueRecord, TrackRecord
from errpath.results.regression import Night, judge_case
from errpath.results.run_records import Attempt, RunRow
from errpath.results.triage import Change, JudgedCase, summary_status
from errpath.runner.known_issues import KnownIssue

__all__ = ["compare", "judge_run"]


def judge_run(
    history: History,
    run: RunRow,
    *,
    known: Sequence[KnownIssue] = (),
    confirm: int = 2,
    tracks: Sequence[TrackRecord] | None = None,
    today: datetime.date | None = None,
) -> tuple[JudgedCase, ...]:
    """Every case of a run, the missing ones included.

    `tracks` are those that the run should have had; without it, those that it had. A track of which
    a unit is not done has no gone cases, only such that did not run.
    """
    day = today or datetime.date.fromtimestamp(run.started)
    grouped: dict[tuple[TrackRecord, str], list[Attempt]] = {}
    for attempt in query.attempts(history, run):
        grouped.setdefault((attempt.track, attempt.record.case), []).append(attempt)
    done: dict[TrackRecord, bool] = {}
    for unit in query.units(history, run):
        done[unit.track] = done.get(unit.track, True) and unit.status == "done"
    states = {kernel.name: kernel.state for kernel in history.kernels(run)}
    judged: list[JudgedCase] = []
    for track in sorted({*(tracks or ()), *done}):
        past = query.nights(history, track, before=run.started)
        here = {case: found for (t, case), found in grouped.items() if t == track}
        for case in sorted({*here, *query.previous_cases(history, track, before=run.started)}):
            records = tuple(attempt.record for attempt in here.get(case, ()))
            failures = [record for record in records if record.status.failing]
            issue = _issue(known, failures, track, day)
            state = states.get(track.kernel, "")
            night = Night(
                run.id,
                f"{state}:{run.harness}" if state else "",
                tuple(answer for record in records for answer in record.answers),
                frozenset(record.signature for record in failures),
                any(not record.failures for record in failures),
            )
            judgement = judge_case(
                night if records else None,
                past.get(case, ()),
                confirm=confirm,
                link=issue.link if issue is not None else "",
                known=issue is not None,
                complete=done.get(track, False),
            )
            trend = tuple(_answer(n) for n in reversed(past.get(case, ())))
            trend = (*trend, _answer(night)) if records else trend
            judged.append(JudgedCase(track, case, judgement, records, issue, trend))
    return tuple(judged)


def _issue(
    known: Sequence[KnownIssue],
    failures: Sequence[CaseRecord],
    track: TrackRecord,
    day: datetime.date,
) -> IssueRecord | None:
    """The known issue that covers every failure of a case: the suite's own, or the job's."""
    unexplained = [record for record in failures if record.issue is None]
    if unexplained:
        found = find_known(known, unexplained, track.kernel, track.guest, day)
        return IssueRecord(found.id, found.link, found.title) if found is not None else None
    return failures[0].issue if failures else None


def _answer(night: Night) -> str:
    if night.fails and night.passes:
        return "both"
    return summary_status(night.attempts)


def compare(
    before: Sequence[Attempt], after: Sequence[Attempt]
) -> tuple[tuple[Change, ...], Mapping[str, int]]:
    """What changed between two runs, and how many cases answered what in both.

    Cases meet by kernel name, guest, suite and id; where each run has one kernel only, its name
    does not matter: two kernels of different names can be compared.
    """
    single = all(len({a.track.kernel for a in side}) == 1 for side in (before, after))
    old, new = _by_place(before, single), _by_place(after, single)
    changes, same = [], dict[str, int]()
    for place in sorted({*old, *new}):
        was, now = old.get(place, []), new.get(place, [])
        words = [
            _answer(Night("", "", tuple(x for a in side for x in a.record.answers)))
            for side in (was, now)
        ]
        if words[0] == words[1]:
            same[words[0]] = same.get(words[0], 0) + 1
            continue
        failed = [a.record for a in (*now, *was) if a.record.reasons]
        track = (now or was)[0].track
        reason = failed[0].reasons[0] if failed else ""
        changes.append(Change(track, place[-1], words[0], words[1], reason))
    return tuple(changes), same


def _by_place(side: Sequence[Attempt], single: bool) -> dict[tuple[str, ...], list[Attempt]]:
    found: dict[tuple[str, ...], list[Attempt]] = {}
    for attempt in side:
        track = attempt.track
        kernel = "" if single else track.kernel
        place = (kernel, track.guest, track.suite, attempt.record.case)
        found.setdefault(place, []).append(attempt)
    return found
