"""Oracles: what a case left behind. kmemleak and its canary, resources, superblocks, ownership.

In: a guest and outcomes of its cases. Out: leak records, resource leaks, the ownership trace.
"""
