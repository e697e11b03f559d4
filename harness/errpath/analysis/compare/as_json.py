"""A comparison as JSON, for scripts and CI."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from errpath import __version__
from errpath.analysis.compare.judge import Comparison, Require, exit_status, summarize, table
from errpath.analysis.compare.mail import Subject, short_patch_id, tag_earned

__all__ = ["as_json"]


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
