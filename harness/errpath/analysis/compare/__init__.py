"""Comparison of two kernels over the same cases, and bisection by it.

In: cases and two kernels. Out: FIXED, REGRESSED and their kind for each case, and a mail.
"""
