"""Every event of a superblock's life on every block filesystem; see harness/killsb/matrix.py."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from harness.cases import MountCase
from harness.killsb.plugin import killsb_parameters
from harness.options import Choice
from harness.verdict import Verdict
from suites.known import expect_pass_or_known


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "case" in metafunc.fixturenames:
        metafunc.parametrize("case", killsb_parameters(metafunc.config))


def test_killsb(
    case: MountCase,
    verdict: Verdict,
    expect_pass: Callable[[], None],
    kernel_choice: Choice,
) -> None:
    expect_pass_or_known(kernel_choice, verdict, expect_pass)
