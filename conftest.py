"""Loads errpath's pytest plugin."""

pytest_plugins = ["harness.plugin"]
