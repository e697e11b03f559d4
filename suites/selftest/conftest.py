"""What all of errpath's own tests share: how hypothesis runs, and rewriting golden files."""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, settings

from suites.selftest.definitions import define
from suites.selftest.disk import disk
from suites.selftest.live_guests import make_testbed, run_cases
from suites.selftest.wheel import installed, wheel

__all__ = ["define", "disk", "installed", "make_testbed", "run_cases", "wheel"]

# A shared machine may take any time for one example: a deadline would only fail the innocent.
settings.register_profile("errpath", deadline=None, suppress_health_check=[HealthCheck.too_slow])
# The same examples on every run: a red build is reproduced by running it again.
settings.register_profile(
    "errpath-ci", settings.get_profile("errpath"), derandomize=True, print_blob=True
)
settings.load_profile("errpath-ci" if os.environ.get("CI") else "errpath")


@pytest.fixture(autouse=True)
def _no_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pytest that a test starts prints the same everywhere: on CI its summary is longer."""
    for name in ("CI", "BUILD_NUMBER"):
        monkeypatch.delenv(name, raising=False)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-golden",
        action="store_true",
        help="rewrite the expected part of the golden files instead of comparing with it",
    )
