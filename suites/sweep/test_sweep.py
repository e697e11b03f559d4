"""Every call, allocation and block request of a superblock's life fails once.

The points are found by the run itself (`errpath.runner.sweep`): each is a subtest.
"""

from __future__ import annotations

import pytest

from errpath.plugin.sweep import Swept, sweep_parameters


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "unit" in metafunc.fixturenames:
        metafunc.parametrize("unit", sweep_parameters(metafunc.config))


def test_sweep(swept: Swept, subtests: pytest.Subtests) -> None:
    for point in swept.points:
        with subtests.test(point=point.verdict.case.id):
            swept.expect_pass(point)
