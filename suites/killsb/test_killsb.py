"""Every event of a superblock's life on every block filesystem; see harness/killsb/matrix.py."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from harness.cases import MountCase
from harness.killsb.known import Answer, KnownIssues, load_known_issues
from harness.killsb.plugin import killsb_parameters
from harness.options import Choice
from harness.verdict import Verdict


@cache
def known_issues() -> KnownIssues:
    return load_known_issues(Path(__file__).parent.parent / "known-issues.yaml")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "case" in metafunc.fixturenames:
        metafunc.parametrize("case", killsb_parameters(metafunc.config))


def test_killsb(
    case: MountCase,
    verdict: Verdict,
    expect_pass: Callable[[], None],
    kernel_choice: Choice,
) -> None:
    kernel = kernel_choice.rig.kernel
    if not kernel.patches:
        answer = known_issues().judge(kernel.spec, verdict, today=datetime.date.today())
        if answer is not None and answer[0] == Answer.XFAIL:
            pytest.xfail(answer[1])
        if answer is not None:
            pytest.fail(answer[1], pytrace=False)
    expect_pass()
