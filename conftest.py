"""Loads errpath's pytest plugins."""

pytest_plugins = ["harness.plugin", "harness.resultplugin", "harness.killsb.plugin"]
