"""Mutants as cases, smaller variants of them, and what is known."""

from __future__ import annotations

from pathlib import Path

import pytest

from errpath.analysis.fuzz import MutatedMount, mutant_case, smaller_variants
from errpath.cases.case import Outcome, StepOutcome
from errpath.errors import DefinitionError
from errpath.images.crafted.catalogue import base_image
from errpath.images.crafted.mutant import Mutant
from errpath.kernel.log import find_crashes
from errpath.oracles.kmemleak import parse_records
from errpath.runner.known_texts import KnownIssue, find_issue, load_known_issues
from errpath.runner.verdict import Leak, Status, Verdict, judge
from suites.selftest.paths import ROOT

_MUTANT = Mutant(base_image("hfs"), ((1024, b"xx"), (2048, b"yyyy")), size=2050)
_CASE = mutant_case("hfs", MutatedMount(_MUTANT), 1)
_KNOWN = Path(__file__).parents[2] / "hfs" / "known_issues.yaml"


def test_a_mutant_travels_as_what_is_changed() -> None:
    device = _CASE.device
    request = device.as_request("base")
    assert request["size"] == 2050
    # The second piece reaches over the end of the device and is cut there.
    assert request["extents"] == [[1024, 2], [2048, 2]]
    assert device.blob == b"xxyy"
    # The image that is kept beside a report is what the device held.
    assert device.content == _MUTANT.image().renamed("hfs")


def test_a_mount_may_fail_and_ends_the_case() -> None:
    outcome = Outcome("task", 1, steps=(StepOutcome(22, "mount"),))
    assert judge(_CASE, outcome, None).status is Status.PASS
    # But what was mounted must be left again.
    steps = (*(StepOutcome(0, "x"),) * 3, StepOutcome(16, "umount"))
    verdict = judge(_CASE, Outcome("task", 1, steps=steps), None)
    assert verdict.reasons == ("umount: umount: -EBUSY; expected success",)


def test_smaller_variants_begin_with_the_smallest() -> None:
    variants = [(v.mutant.pieces, v.mutant.size) for v in smaller_variants(MutatedMount(_MUTANT))]
    one, other = _MUTANT.pieces
    assert variants[0] == ((), 2050)
    assert set(variants) == {
        ((), 2050),
        ((one,), None),
        ((other,), None),
        ((one,), 2050),
        ((other,), 2050),
        ((one, other), None),
    }


def _verdict(**values: object) -> Verdict:
    return Verdict(_CASE, Status.FAIL, ("x",), **values)  # type: ignore[arg-type]


def test_known_issues_explain_only_what_they_match() -> None:
    issues = (
        KnownIssue("loop", "hang", "hfs_mdb_get"),
        KnownIssue("leak", "leak", "hfs_btree_open"),
    )
    hung = Outcome("t", 1, hung=True, stack="hfs_mdb_get+0x68/0x670 [hfs]\n")
    assert find_issue(_verdict(outcome=hung), issues) == "loop"
    record = parse_records(
        "unreferenced object 0xffff888004360100 (size 96):\n"
        '  comm "t", pid 1, jiffies 4294894130\n'
        "  backtrace (crc 0):\n"
        "    hfs_btree_open+0x10/0x20 [hfsplus]\n"
    )
    leaked = Leak(record, 2, 2)
    assert find_issue(_verdict(leak=leaked), issues) == "leak"
    # A crash beside a known leak is not explained by it.
    crashes = find_crashes("kernel BUG at fs/hfs/inode.c:476!")
    assert find_issue(_verdict(leak=leaked, crashes=crashes), issues) == ""
    assert find_issue(_verdict(), issues) == ""


def test_a_hang_behind_a_known_crash_is_part_of_it() -> None:
    issues = (KnownIssue("bug", "crash", r"kernel BUG at fs/hfs/inode\.c"),)
    hung = Outcome("t", 1, hung=True, stack="wb_wait_for_completion+0x3b/0x80\n")
    crashes = find_crashes("kernel BUG at fs/hfs/inode.c:476!")
    assert find_issue(_verdict(outcome=hung, crashes=crashes), issues) == "bug"
    assert find_issue(_verdict(outcome=hung), issues) == ""
    # A warning does not make a task hang.
    warning = find_crashes("WARNING: fs/hfs/bnode.c:520 at hfs_bnode_create+0x6b/0x240 [hfs]")
    warned = (KnownIssue("warned", "crash", "hfs_bnode_create"),)
    assert find_issue(_verdict(crashes=warning), warned) == "warned"
    assert find_issue(_verdict(outcome=hung, crashes=warning), warned) == ""


def test_the_suites_known_issues_all_have_a_report() -> None:
    findings = ROOT / "docs" / "findings"
    for issue in load_known_issues(_KNOWN):
        assert (findings / f"{issue.finding}.md").is_file()


def test_a_wrong_pattern_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text("issues:\n  - {finding: a, shows: hang, pattern: '('}\n")
    with pytest.raises(DefinitionError, match="pattern"):
        load_known_issues(path)
