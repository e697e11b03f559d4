"""Entry point of pytest (`pytest11`): loads errpath's plugins."""

__all__ = ["pytest_plugins"]

pytest_plugins = ["errpath.plugin.cases", "errpath.plugin.results", "errpath.plugin.lifecycle"]
