"""HFS and HFS+ on disk: structures, B-trees, writers, expected contents.

In: entries and sizes. Out: images that mount, and what a walk through them must read.
"""
