"""pytest plugins: options, fixtures, batching, results. Thin: decisions are made below.

In: pytest's hooks. Out: verdicts as test outcomes, records, the `guest` fixture.
"""
