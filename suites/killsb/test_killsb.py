"""Every event of a superblock's life on every block filesystem (`errpath.cases.lifecycle`)."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from errpath.cases.case import MountCase
from errpath.plugin.lifecycle import killsb_parameters


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "case" in metafunc.fixturenames:
        metafunc.parametrize("case", killsb_parameters(metafunc.config))


def test_killsb(case: MountCase, expect_pass: Callable[[], None]) -> None:
    expect_pass()
