"""What kills a mutant: no failure of the kernel without it, whether or not that shows each time."""

from __future__ import annotations

from dataclasses import replace

import pytest

from errpath.analysis.mutation.score import is_new
from errpath.oracles.failure import LEAK, Failure
from errpath.runner.known_issues import FailurePattern, KnownIssue, KnownIssues
from errpath.runner.verdict import Status, Verdict
from suites.selftest.runner.simguest import make_case

_CASE = make_case("hfs-valid-mount-rw")
_LEAK = Failure(LEAK, "memory leak in hfs_btree_open", functions=("hfs_btree_open",))
_OTHER = Failure(LEAK, "memory leak in hfs_mdb_get", functions=("hfs_mdb_get",))
_KNOWN = KnownIssues(
    (
        KnownIssue(
            "nodes",
            link="docs/nodes.md",
            cases=("hfs-valid-*",),
            failure=FailurePattern(kind="leak", function="hfs_btree_open"),
        ),
    )
)


@pytest.mark.parametrize(
    ("failures", "stock", "known", "new"),
    [
        ((), (), KnownIssues(), False),
        ((_LEAK,), (), KnownIssues(), True),
        ((_LEAK,), (_LEAK,), KnownIssues(), False),
        ((_OTHER,), (_LEAK,), KnownIssues(), True),
        ((_LEAK,), (), _KNOWN, False),
        ((_OTHER,), (), _KNOWN, True),
        ((_LEAK, _OTHER), (), _KNOWN, True),
    ],
)
def test_what_is_new(
    failures: tuple[Failure, ...], stock: tuple[Failure, ...], known: KnownIssues, new: bool
) -> None:
    status = Status.FAIL if failures else Status.PASS
    fails_anyway = {_CASE.id: Verdict(_CASE, Status.FAIL, stock).signature} if stock else {}
    assert is_new(Verdict(_CASE, status, failures), fails_anyway, known, "microvm") is new


def test_what_is_known_of_one_guest_is_new_in_another() -> None:
    (issue,) = _KNOWN.issues
    known = KnownIssues((replace(issue, guest="kasan"),))
    verdict = Verdict(_CASE, Status.FAIL, (_LEAK,))
    assert not is_new(verdict, {}, known, "kasan")
    assert is_new(verdict, {}, known, "microvm")
