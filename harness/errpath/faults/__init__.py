"""Faults: what is made to fail in a mount, and how the kernel is told.

In: a fault plan and the symbols of a guest. Out: entries of the error-injection list.
"""
