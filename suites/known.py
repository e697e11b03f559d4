"""What both suites do with a verdict: a known issue of this kernel is an expected failure, and a
failure where it no longer shows."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from errpath.runner.known_cases import Answer, KnownIssues, load_known_issues
from errpath.runner.options import Choice
from errpath.runner.verdict import Verdict

__all__ = ["expect_pass_or_known"]


@cache
def _known_issues() -> KnownIssues:
    return load_known_issues(Path(__file__).parent / "known-issues.yaml")


def expect_pass_or_known(choice: Choice, verdict: Verdict, expect_pass: Callable[[], None]) -> None:
    """End the test: xfail for a known issue of a kernel without patches, else `expect_pass`."""
    kernel = choice.testbed.kernel
    if not kernel.patches:
        answer = _known_issues().judge(
            kernel.spec,
            verdict,
            today=datetime.date.today(),
            counted=choice.testbed.conservation,
        )
        if answer is not None and answer[0] == Answer.XFAIL:
            pytest.xfail(answer[1])
        if answer is not None:
            pytest.fail(answer[1], pytrace=False)
    expect_pass()
