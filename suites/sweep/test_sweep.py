"""Every call, allocation and block request of a superblock's life fails once.

The points are found by the run itself (`errpath.runner.sweep`): each is a subtest.
"""

from __future__ import annotations

from functools import partial

import pytest

from errpath.plugin.sweep import Swept, sweep_parameters
from errpath.results.records import CaseStatus
from errpath.runner.options import Choice
from errpath.runner.result import Result
from errpath.runner.verdict import Status
from suites.known import expect_pass_or_known


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "unit" in metafunc.fixturenames:
        metafunc.parametrize("unit", sweep_parameters(metafunc.config))


def test_sweep(swept: Swept, subtests: pytest.Subtests, kernel_choice: Choice) -> None:
    for point in swept.points:
        status = CaseStatus.FAIL
        with subtests.test(point=point.verdict.case.id):
            try:
                expect_pass = partial(_expect_pass, swept, point)
                expect_pass_or_known(kernel_choice, point.verdict, expect_pass)
                status = CaseStatus.PASS
            except pytest.xfail.Exception:
                status = CaseStatus.SKIP
                raise
            finally:
                swept.record(point, status)


def _expect_pass(swept: Swept, point: Result) -> None:
    if point.verdict.status is not Status.PASS:
        pytest.fail(swept.report(point), pytrace=False)
