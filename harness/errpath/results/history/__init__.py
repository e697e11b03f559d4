"""Results over time, in one SQLite file.

In: records of a run. Out: the past of a case, and runs to compare.
"""
