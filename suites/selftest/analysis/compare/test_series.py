"""A series, patch by patch: what does not build, and what breaks on the way."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from errpath.analysis.compare.compare import Request, Summary
from errpath.analysis.compare.judge import Comparison, State
from errpath.analysis.compare.series import split_series, walk_series
from errpath.cases.lifecycle import Planned
from errpath.errors import NO_ANSWER, BuildError
from errpath.kernel import KernelRequest
from errpath.runner.options import Choice
from errpath.runner.testbed import TestbedOptions
from errpath.util.progress import Progress, silent

_PLANNED = Planned("c", "hfs", "a", None)
_OUTCOMES = {1: State.CLEAN, 2: None, 3: State.REGRESSED, 4: State.NOT_RUN}


def _mail(number: int) -> str:
    return (
        f"From {number:040x} Mon Sep 17 00:00:00 2001\nFrom: A <a@b>\nSubject: [PATCH] s{number}\n"
        f"\nText.\n---\n--- a/f\n+++ b/f\n@@ -1 +1 @@\n-{number}\n+{number + 1}\n\n"
    )


def _fake(request: Request, progress: Progress) -> Summary:
    count = len(request.after.testbed.kernel.patches)
    assert request.before.testbed.kernel.patches == ()
    state = _OUTCOMES[count]
    if state is None:
        raise BuildError("f.c:1: error: x")
    one = Comparison(_PLANNED, state, note="an oops")
    return Summary((one,), "old", "new", "config", 1.0)


def test_every_kernel_but_the_last_is_compared_with_the_one_before_all(tmp_path: Path) -> None:
    cover = "From 0 Mon Sep 17 00:00:00 2001\nSubject: [PATCH 0/5] cover\n\nText.\n"
    series = tmp_path / "series.mbox"
    series.write_text(cover + "".join(map(_mail, range(1, 6))))
    before = Choice("before", TestbedOptions(KernelRequest()), ())
    after = replace(before, name="after")
    request = Request(before, after, (_PLANNED,), 1, tmp_path)
    steps = list(walk_series(request, split_series([series]), silent(), _fake))
    assert [step.line for step in steps] == [
        "1/5 s1: builds, nothing regressed",
        "2/5 s2: does not build: f.c:1: error: x",
        "3/5 s3: REGRESSED c: an oops",
        "4/5 s4: no answer: not every case ran",
    ]
    assert [step.status for step in steps] == [0, 1, 1, NO_ANSWER]
