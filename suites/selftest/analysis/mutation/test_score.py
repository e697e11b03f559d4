"""Statements of fs/hfs that were left out once without a word of any oracle: each is noticed, and
a mutant that changes nothing is not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from errpath.analysis.mutation.mutants import controls
from errpath.analysis.mutation.results import Fate, read_results
from errpath.analysis.mutation.rungs import CaseRung
from errpath.analysis.mutation.score import Score
from errpath.analysis.mutation.sources import mutants_of
from errpath.cases.lifecycle import plan
from errpath.errors import UsageError
from errpath.kernel import KernelStore
from errpath.runner.testbed import Testbed
from errpath.util.progress import silent

pytestmark = [
    *(pytest.mark.qemu, pytest.mark.kernel_build, pytest.mark.by_hand),
    pytest.mark.xdist_group("guests"),
]

# What is left out, and the kinds of failures that may tell. docs/selftests.md names the others.
_MUTANTS = {
    "fs/hfs/bfind.c:hfs_find_exit:hfs_bnode_put(fd->bnode);": {"kernel log"},
    "fs/hfs/mdb.c:hfs_mdb_put:hfs_btree_close(HFS_SB(sb)->cat_tree);": {"leak", "resource leak"},
    "fs/hfs/mdb.c:hfs_mdb_put:brelse(HFS_SB(sb)->mdb_bh);": {"resource leak"},
}


def test_each_is_killed_by_what_should_see_it(
    make_testbed: Callable[..., Testbed], tmp_path: Path
) -> None:
    testbed = make_testbed()
    store = KernelStore(progress=silent())
    every = {one.id: one for one in mutants_of(store, testbed.kernel, "hfs")}
    assert _MUTANTS.keys() <= every.keys()
    # A mount that works, and one of a broken volume.
    cases = tuple(one.case for one in plan(("hfs",), ("c", "d")) if one.case is not None)
    score = Score(testbed.options, "hfs", (CaseRung("suites", "hfs", cases),), tmp_path, silent())
    (control,) = controls("fs/hfs/super.c", 1)
    mutants = [control, *(every[name] for name in _MUTANTS)]
    judged = score.run(mutants, jobs=2)
    assert [(one.mutant, one.fate) for one in judged] == [
        (control.id, Fate.SURVIVED.value),
        *((name, Fate.KILLED.value) for name in _MUTANTS),
    ]
    wrong = [one for one in judged[1:] if one.oracle not in _MUTANTS[one.mutant]]
    assert wrong == []
    # A second run takes them from the file; one that would judge otherwise is refused.
    assert score.run(mutants, jobs=2) == judged
    assert len(read_results(score.results)) == len(mutants)
    other = Score(testbed.options, "hfs", (), tmp_path, silent())
    with pytest.raises(UsageError, match="judged by another tests"):
        other.run(mutants, jobs=1)
