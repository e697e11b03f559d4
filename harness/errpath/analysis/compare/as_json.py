"""A comparison as JSON, for scripts and CI."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from errpath import __version__
from errpath.analysis.compare.backports import SeriesRow
from errpath.analysis.compare.backports import exit_status as backports_status
from errpath.analysis.compare.judge import Comparison, Require, exit_status, summarize, table
from errpath.analysis.compare.mail import Subject, short_patch_id, tag_earned

__all__ = ["as_json", "series_as_json"]


def as_json(subject: Subject, comparisons: Sequence[Comparison]) -> str:
    """Kernels, patches, the exit status of each requirement, and every case with its state.

    A case has `state` (as in the table), `bad_before` of `runs_before`, `bad_after` of `runs_after`
    `note`, one line, and `report`, all of what the kernel that is bad said. `tag_earned` is whether
    a Tested-by may be given.
    """
    values: dict[str, Any] = {
        "errpath": __version__,
        "before": subject.before,
        "after": subject.after,
        "config": subject.config,
        "patches_before": [_patch(path) for path in subject.patches_before],
        "patches": [_patch(path) for path in subject.patches],
        "seconds": round(subject.seconds, 1),
        "repeats": subject.repeats,
        "status": {one.value: exit_status(comparisons, one) for one in Require},
        "tag_earned": tag_earned(comparisons),
        "table": table(summarize(comparisons), every=False),
        "cases": [_case(one) for one in comparisons],
    }
    return json.dumps(values, indent=1) + "\n"


def series_as_json(patches: Sequence[Path], found: Sequence[SeriesRow]) -> str:
    """Patches, the exit status, and every series: `has_bug` (yes, no or ?), shown by `bad_cases` of
    `asked_cases` that the patch mends on any series, `applies` (exact, offset, fuzz or not), and
    how many cases are `fixed`, `still` bad, `regressed` or without a verdict."""
    values: dict[str, Any] = {
        "errpath": __version__,
        "patches": [_patch(path) for path in patches],
        "status": backports_status(found),
        "series": [
            {
                "name": row.name,
                "kernel": row.kernel,
                "has_bug": row.bug.value,
                "bad_cases": row.shown,
                "asked_cases": row.asked,
                "applies": row.fitting.fit.value,
                "fixed": row.fixed,
                "still": row.still,
                "regressed": row.regressed,
                "no_verdict": row.no_verdict,
                "note": row.note,
            }
            for row in found
        ],
    }
    return json.dumps(values, indent=1) + "\n"


def _patch(path: Path) -> dict[str, str]:
    return {"name": path.name, "patch_id": short_patch_id(path)}


def _case(one: Comparison) -> dict[str, object]:
    return {
        "case": one.planned.id,
        "filesystem": one.planned.filesystem,
        "event": one.planned.event,
        "state": one.state.value,
        "bad_before": one.bad_before,
        "runs_before": one.runs_before,
        "bad_after": one.bad_after,
        "runs_after": one.runs_after,
        "note": one.note,
        "report": one.report,
    }
