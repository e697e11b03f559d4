"""KTAP (Documentation/dev-tools/ktap.rst) of a judged run, as the kernel's own kunit.py reads it.

One test per track, one subtest per case. A failure stays `not ok` though it be flaky, or known to
the job alone: what is said of it stands in a diagnostic line before it. One that a known issue of
the suite explains is `ok` with the directive XFAIL, as in kselftest.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import groupby

from errpath.results.regression import Kind
from errpath.results.triage import JudgedCase, JudgedRun, summary_status

__all__ = ["render"]

# Not part of a line: it would end the description or the line.
_UNFIT = re.compile(r"[#\x00-\x1f\x7f]+")


def render(run: JudgedRun) -> str:
    """The whole document. Gone cases are left out: they are no tests any more."""
    cases = [case for case in run.cases if case.judgement.kind is not Kind.GONE]
    tracks = [(track, list(group)) for track, group in groupby(cases, lambda case: case.track)]
    lines = ["KTAP version 1", f"# {_plain(f'errpath {run.run.id}: {run.headline()}')}"]
    lines.append(f"1..{len(tracks)}")
    for number, (track, group) in enumerate(tracks, 1):
        lines += ["  KTAP version 1", f"  # Subtest: {_plain(str(track))}", f"  1..{len(group)}"]
        good = True
        for at, case in enumerate(group, 1):
            result = _result(case)
            good = good and result.startswith("ok")
            lines += [f"  # {_plain(line)}" for line in _described(case)]
            lines.append(f"  {result.format(at=at, name=_plain(case.case))}")
        lines.append(f"{'ok' if good else 'not ok'} {number} {_plain(str(track))}")
    return "\n".join(lines) + "\n"


def _result(case: JudgedCase) -> str:
    """The result line, with places for number and name."""
    status = summary_status([record.status for record in case.attempts])
    reason = _plain(case.worst.reasons[0] if case.worst and case.worst.reasons else "")
    reason = reason.replace("{", "(").replace("}", ")")
    issue = _plain(case.known.title if case.known is not None else reason)
    issue = issue.replace("{", "(").replace("}", ")")
    return {
        "pass": "ok {at} {name}",
        "fail": "not ok {at} {name}",
        "xfail": f"ok {{at}} {{name}} # XFAIL {issue}",
        "skip": f"ok {{at}} {{name}} # SKIP {reason}",
        "error": f"not ok {{at}} {{name}} # ERROR {reason}",
        "none": "not ok {at} {name} # ERROR it did not run",
    }[status]


def _described(case: JudgedCase) -> Iterable[str]:
    if case.judgement.kind is Kind.PASSING:
        return
    yield f"{case.case}: {case.judgement}"
    if case.worst is not None:
        yield from case.worst.reasons
        if case.worst.rerun:
            yield f"rerun: {case.worst.rerun}"


def _plain(text: str) -> str:
    return _UNFIT.sub(" ", text).strip()
