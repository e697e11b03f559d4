"""Selftests of `errpath.kernel`."""
