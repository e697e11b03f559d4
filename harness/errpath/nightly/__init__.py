"""Regression jobs: kernels, guests and suites, night after night.

In: a job file. Out: a judged run in the history, pages, messages.
"""
