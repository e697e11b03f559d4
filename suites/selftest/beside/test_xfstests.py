"""A planted leak in the real xfstests: found, and named, where its own check says passed.

By hand, with the network the first time (a Debian root): ERRPATH_RUNNERS is a directory with a
checkout `xfstests`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from errpath.beside.suite_guests import SuiteGuests
from errpath.beside.suite_run import SuiteRun
from errpath.beside.suites import SuiteStatus
from errpath.beside.xfstests import check_answer
from errpath.kernel.source.patches import given_patches
from errpath.oracles.failure import LEAK
from errpath.oracles.kmemleak import SCAN_FILE
from errpath.results.records import CaseStatus
from errpath.runner.options import GuestOptions, KernelOptions, RunOptions, choices
from errpath.util.progress import silent
from suites.selftest.paths import ROOT

_SECONDS = 900.0
# Renames with RENAME_NOREPLACE, which leak with the patch.
_LEAKS = "generic/024"
# Renames without.
_CLEAN = "generic/023"

# kmemleak as the kernel has it: not hidden, and with task stacks, on which there is what a program
# that waits has not stored elsewhere. Nothing waits for `check`.
_AS_ITSELF = f"""umount {SCAN_FILE} && echo stack=on > {SCAN_FILE} &&
sed -i /LOGGER_PROG/d /suite/local.config"""
_OWN = f"cd /suite && USE_KMEMLEAK=yes exec bash ./check {_LEAKS}"


@pytest.fixture
def guests(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SuiteGuests]:
    """hfsplus with the patch that is the parameter."""
    tree = Path(os.environ.get("ERRPATH_RUNNERS", "")) / "xfstests"
    if not os.environ.get("ERRPATH_RUNNERS") or not tree.is_dir():
        pytest.skip("no checkout xfstests in ERRPATH_RUNNERS")
    choice = choices(RunOptions(guest=GuestOptions(guest="debian"), kernel=KernelOptions()))[0]
    patches = given_patches([str(ROOT / "guests" / "patches" / request.param)])
    kernel = replace(choice.testbed.kernel, patches=patches)
    made = SuiteGuests(
        "xfstests",
        replace(choice, testbed=replace(choice.testbed, kernel=kernel)),
        ["hfsplus"],
        tree=tree,
        disk_mib=1024,
        artefacts=tmp_path,
        progress=silent(),
    )
    yield made
    made.close()


@pytest.mark.qemu
@pytest.mark.kernel_build
@pytest.mark.by_hand
@pytest.mark.parametrize("guests", ["hfsplus-rename-leak.patch"], indirect=True)
def test_a_leak_is_found_by_name(guests: SuiteGuests) -> None:
    run = SuiteRun(guests.suite(), guests.guest, guests.enter, seconds=_SECONDS)
    try:
        assert run.run(_CLEAN, [_LEAKS]).status is CaseStatus.PASS
        leak = run.run(_LEAKS)
    finally:
        run.close()
    assert leak.answer is not None
    assert leak.answer.status is SuiteStatus.PASS
    assert [failure.kind for failure in leak.failures] == [LEAK]
    assert "hfsplus_rename" in leak.failures[0].title
    assert (leak.confirmed, leak.repeats) == (1, 1)


@pytest.mark.qemu
@pytest.mark.kernel_build
@pytest.mark.by_hand
@pytest.mark.parametrize("guests", ["hfsplus-rename-kept.patch"], indirect=True)
def test_what_its_own_check_does_not_see(guests: SuiteGuests) -> None:
    """USE_KMEMLEAK=yes in the same guest, with kmemleak as the kernel has it, says passed."""
    run = SuiteRun(guests.suite(), guests.guest, guests.enter, seconds=_SECONDS)
    try:
        kept = run.run(_LEAKS)
    finally:
        run.close()
    assert kept.answer is not None
    assert kept.answer.status is SuiteStatus.PASS
    assert kept.status is CaseStatus.FAIL
    assert any("[hfsplus] func:hfsplus_rename" in one.resource for one in kept.failures)
    prepared = guests.guest(False)
    try:
        shell = guests.enter(prepared)
        guests.suite().prepare(shell)
        shell.check(_AS_ITSELF, seconds=60.0)
        said = check_answer(_LEAKS, shell.run(_OWN, seconds=_SECONDS).output)
    finally:
        prepared.guest.close()
    assert said.status is SuiteStatus.PASS, said.output
