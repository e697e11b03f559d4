"""Asks for an installed errpath: its plugin comes by pytest's entry point, not from here."""

from __future__ import annotations

import pytest


@pytest.hookimpl(tryfirst=True)
def pytest_addoption(pluginmanager: pytest.PytestPluginManager) -> None:
    if not pluginmanager.hasplugin("errpath"):
        raise pytest.UsageError(
            "errpath's plugin is not loaded; expected errpath to be installed in this environment: "
            "pip install -e ."
        )
