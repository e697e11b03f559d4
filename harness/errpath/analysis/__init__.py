"""Analyses over runs: comparison, coverage, audit, fuzzing, benchmarks.

In: kernels to test and the runner. Out: tables and texts about them.
"""
