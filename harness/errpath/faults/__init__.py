"""Faults: what is made to fail in a mount, and how that is set up in the kernel.

In: a fault plan and the symbols of a guest. Out: entries of the error-injection list.
"""
