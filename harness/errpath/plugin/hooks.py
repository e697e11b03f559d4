"""Hooks of errpath's own, for conftest files and other plugins."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from errpath.results.testbeds import TestbedFactory

__all__ = ["pytest_errpath_testbed_factory"]


@pytest.hookspec(firstresult=True)
def pytest_errpath_testbed_factory(config: pytest.Config) -> TestbedFactory | None:
    """What makes the test beds of this run; None for those on kernels of the cache."""
