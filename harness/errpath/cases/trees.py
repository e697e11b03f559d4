"""What ordinary use does to the trees of HFS and HFS+: the cases of every family."""

from __future__ import annotations

from collections.abc import Iterator

from errpath.cases.attributes import attribute_cases
from errpath.cases.broken_off import broken_off_cases
from errpath.cases.case import MountCase
from errpath.cases.damaged import damaged_cases
from errpath.cases.forks import fork_cases
from errpath.cases.growth import growth_cases
from errpath.cases.mounts_given_up import given_up_cases
from errpath.cases.private_directory import private_directory_cases

__all__ = ["tree_cases"]


def tree_cases() -> Iterator[MountCase]:
    """Those of trees that grow and shrink, of files with both forks, of the private metadata
    directory, of changes that are broken off, of a damaged node, of extended attributes, and of
    mounts that are given up."""
    yield from growth_cases()
    yield from fork_cases()
    yield from private_directory_cases()
    yield from broken_off_cases()
    yield from damaged_cases()
    yield from attribute_cases()
    yield from given_up_cases()
