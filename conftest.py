"""Loads errpath's pytest plugins."""

pytest_plugins = ["errpath.plugin.cases", "errpath.plugin.results", "errpath.plugin.lifecycle"]
