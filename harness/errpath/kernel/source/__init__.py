"""Kernel sources: specs, trees, git revisions, tarballs, Debian packages, patches.

In: a kernel spec and patch files. Out: a `SourceTree` with a digest.
"""
