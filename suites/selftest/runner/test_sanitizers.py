"""Guests whose kernels check more: their canaries, and what only they see."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from errpath.cases.case import Device, MountCase
from errpath.cases.steps import Mount, Umount
from errpath.guest.definition import GuestDefinition, load_guest
from errpath.images.hfs import hfs
from errpath.kernel import KernelRequest, KernelStore
from errpath.oracles import canary, kmemleak
from errpath.oracles.failure import CORRUPTION, Failure
from errpath.oracles.report_canaries import canaries_of, find_reports
from errpath.runner.batch_runner import BatchRunner
from errpath.runner.preparation import load_report_canaries
from errpath.runner.testbed import Testbed, TestbedOptions
from errpath.runner.verdict import Status
from errpath.util.progress import silent
from suites.selftest.live_guests import RunCases

pytestmark = [pytest.mark.qemu, pytest.mark.kernel_build, pytest.mark.xdist_group("kasan")]

MakeTestbed = Callable[..., Testbed]

_KASAN = {"read-after-free", "write-after-free", "out-of-bounds", "double-free", "shift", "index"}
_LOCKDEP = {"rcu", "sleep-in-atomic", "free-timer", "free-work", "lock-inversion"}
# A node of a tree is read after it was freed, when the volume is unmounted.
_PLANT = "hfs-read-after-free.patch"


def _found(testbed: Testbed) -> Mapping[str, Failure]:
    guest, _ = testbed.guests.get_ready().booted()
    try:
        load_report_canaries(testbed, guest)
        return find_reports(guest, canaries_of(testbed.kernel.options()))
    finally:
        guest.close()
        testbed.close()


def _mounts(count: int) -> list[MountCase]:
    image = Device(hfs.volume().image())
    steps = (Mount("hfs"), Umount())
    return [MountCase(f"hfs-{number}", "hfs", image, steps) for number in range(count)]


def test_kasan_reports_every_bug_by_its_name(make_testbed: MakeTestbed) -> None:
    found = _found(make_testbed(guest="kasan"))
    assert found.keys() == _KASAN
    assert found["read-after-free"].functions[0] == "reports_read_after_free"


def test_kasan_sees_a_read_that_the_default_guest_does_not(run_cases: RunCases) -> None:
    (result,) = run_cases(_mounts(1), guest="kasan", patches=[_PLANT]).values()
    failure = result.verdict.failures[0]
    assert failure.kind is CORRUPTION
    assert failure.title == "KASAN: slab-use-after-free Read in hfs_btree_close"
    _, _, stacks = failure.evidence.partition("\n\nAllocated by task ")
    allocated, _, freed = stacks.partition("\n\nFreed by task ")
    assert " __hfs_bnode_create+0x" in allocated
    assert " hfs_btree_close+0x" in freed
    # The same read in a kernel that does not look, and no such read in one that does.
    (unseen,) = run_cases(_mounts(1), patches=[_PLANT]).values()
    assert unseen.verdict.status is Status.PASS, unseen.verdict.reasons
    sound = run_cases(_mounts(40), guest="kasan")
    assert {one.verdict.status for one in sound.values()} == {Status.PASS}


class _ReportsOnce(Testbed):
    """KASAN in its guests makes one report in a boot."""

    @functools.cached_property
    def machine(self) -> GuestDefinition:
        """Without the parameter that has it make all of them."""
        made = super().machine
        return made.with_boot_args(tuple(w for w in made.boot_args if w != "kasan_multi_shot"))


def test_silence_of_a_kernel_that_reports_once_is_no_verdict(tmp_path: Path) -> None:
    """The second bug is not reported."""
    request = KernelRequest(fragments=load_guest("kasan").fragments)
    progress = silent()
    testbed = _ReportsOnce(
        TestbedOptions(request, "kasan"),
        store=KernelStore(progress=progress),
        artefacts=tmp_path,
        progress=progress,
    )
    runner = BatchRunner(testbed.guest_source(("hfs",), ()), progress=progress)
    try:
        results = runner.run(_mounts(2))
    finally:
        runner.close()
        testbed.close()
    for result in results.values():
        assert result.verdict.status is Status.ERROR
        (failure,) = result.verdict.failures
        assert "canary: write-after-free (CONFIG_KASAN_GENERIC) was reported as" in failure.title


@pytest.mark.by_hand
@pytest.mark.parametrize("check", [kmemleak.fast_check, kmemleak.slow_check])
def test_kmemleak_finds_its_canaries_beside_the_quarantine(
    make_testbed: MakeTestbed, check: canary.Check
) -> None:
    """What was freed and stays in KASAN's quarantine hides no leak."""
    testbed = make_testbed(guest="kasan")
    prepared = testbed.guests.prepare(("hfs",), (), fast=check is kmemleak.fast_check)
    try:
        canary.check_with_canary(prepared.guest, check)
    finally:
        prepared.guest.close()
        testbed.close()


@pytest.mark.by_hand
def test_lockdep_reports_every_bug_by_its_name(make_testbed: MakeTestbed) -> None:
    assert _found(make_testbed(guest="lockdep")).keys() == _LOCKDEP


@pytest.mark.by_hand
def test_sound_mounts_are_green_in_lockdep(run_cases: RunCases) -> None:
    results = run_cases(_mounts(40), guest="lockdep")
    assert {one.verdict.status for one in results.values()} == {Status.PASS}
