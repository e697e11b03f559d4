"""Cases to verdicts: test bed, batches, confirmation, counts, known issues.

In: cases, and options that choose kernel and guest. Out: a `Result` for every case.
"""
