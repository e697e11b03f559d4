"""Mutants as cases, smaller variants of them, and what is known."""

from __future__ import annotations

from pathlib import Path

from errpath.analysis.fuzz import MutatedMount, mutant_case, smaller_variants
from errpath.cases.case import Outcome, StepOutcome
from errpath.images.crafted.catalogue import base_image
from errpath.images.crafted.mutant import Mutant
from errpath.runner.known_issue_files import load_known_issues
from errpath.runner.verdict import Status, judge
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


def test_the_suites_known_issues_all_have_a_report() -> None:
    findings = ROOT / "docs" / "findings"
    issues = load_known_issues(_KNOWN).issues
    assert issues
    for issue in issues:
        assert ROOT / issue.link == findings / f"{issue.id}.md"
        assert (ROOT / issue.link).is_file()
