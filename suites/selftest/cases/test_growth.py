"""Cases that make trees grow and shrink: what they write fits, and nothing of it is left."""

from __future__ import annotations

from errpath.cases.growth import growth_cases
from errpath.cases.volume_steps import Mkdir, Unlink, WriteFile

# Of HFS: bytes of a node that records and their offsets have, and of such: a file's record behind
# a key of 38 bytes, and one of an index.
_NODE = 512 - 14 - 2
_FILE = 38 + 102 + 2
_INDEX = 38 + 4 + 2


def test_what_was_made_is_removed() -> None:
    for case in growth_cases():
        made = {step.path for step in case.steps if isinstance(step, WriteFile | Mkdir)}
        removed = {step.path for step in case.steps if isinstance(step, Unlink)}
        assert made == removed
        assert all(len(path.rpartition("/")[2]) <= 31 for path in made)


def test_more_is_made_than_two_levels_of_hfs_hold() -> None:
    case = next(one for one in growth_cases() if one.filesystem == "hfs")
    files = [step for step in case.steps if isinstance(step, WriteFile)]
    leaves = len(files) // (_NODE // _FILE)
    assert leaves > _NODE // _INDEX
