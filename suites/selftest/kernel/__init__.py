"""Selftests of `harness.kernel`."""
