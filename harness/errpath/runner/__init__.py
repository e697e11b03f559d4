"""Cases to verdicts: test bed, batches, confirmation, attribution, known issues.

In: cases, and options that choose kernel and guest. Out: a `Result` for every case.
"""
