"""The finding hfs-nls-reference, way by way: what a context keeps that ends so, and that the
proposed patch makes it give that back, and nothing twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from errpath.cases.case import Device, MountCase
from errpath.cases.mounting import mount_step
from errpath.cases.steps import Step, Umount
from errpath.filesystems import load_filesystem
from errpath.guest.definition import load_guest
from errpath.images import blank
from errpath.images.hfs import hfs as hfs_images
from errpath.images.hfs import hfsplus as hfsplus_images
from errpath.kernel import KernelRequest, KernelStore
from errpath.runner.batch_runner import BatchRunner
from errpath.runner.testbed import Testbed, TestbedOptions
from errpath.runner.verdict import Status
from errpath.util.progress import Progress, silent
from suites.selftest.paths import ROOT

pytestmark = [pytest.mark.qemu, pytest.mark.kernel_build, pytest.mark.xdist_group("guests")]

_PATCH = ROOT / "docs" / "findings" / "hfs-nls-reference.patch"
_IMAGES = {
    "hfs": hfs_images.volume().image(),
    "hfsplus": hfsplus_images.volume().image(),
}


def _cases() -> tuple[MountCase, ...]:
    cases = []
    for name, valid in _IMAGES.items():
        fs = load_filesystem(name)
        good = tuple((key, value) for key, value in fs.good_options)
        bad = (*good, (fs.bad_option[0], fs.bad_option[1]))
        mounted = mount_step(fs, "mount", "rw", options=good)
        device = Device(valid)
        ways: dict[str, tuple[Device, tuple[Step, ...]]] = {
            "refused": (device, (mount_step(fs, "mount", "rw", options=bad, expect="EINVAL"),)),
            "closed": (
                device,
                (mount_step(fs, "fsopen", "rw", options=good, until="options"),),
            ),
            "mounted_already": (
                device,
                (
                    mounted,
                    mount_step(fs, "fsopen", "ro", options=good, expect="EBUSY"),
                    Umount(),
                ),
            ),
            "setup_fails": (
                Device(valid, readonly=True),
                (mount_step(fs, "mount", "rw", options=good, expect="EACCES"),),
            ),
            "fill_super_fails": (
                Device(blank(valid.size, name=f"{name}-blank")),
                (mount_step(fs, "mount", "rw", options=good, expect="EINVAL"),),
            ),
            "umount": (device, (mounted, Umount())),
        }
        cases += [MountCase(f"{name}-{way}", name, on, steps) for way, (on, steps) in ways.items()]
    return tuple(cases)


def _lost(folder: Path, *patches: Path) -> dict[str, set[str]]:
    """What each case that passes loses."""
    progress = Progress()
    request = KernelRequest(fragments=load_guest("microvm").fragments, patches=patches)
    store = KernelStore(progress=progress)
    testbed = Testbed(TestbedOptions(request), store=store, artefacts=folder, progress=progress)
    try:
        runner = BatchRunner(
            testbed.guest_source(tuple(_IMAGES), ()), progress=silent(), count=True
        )
        try:
            results = runner.run(_cases())
        finally:
            runner.close()
    finally:
        testbed.close()
    verdicts = [result.verdict for result in results.values()]
    assert {verdict.status for verdict in verdicts} <= {Status.PASS, Status.FAIL}
    return {
        verdict.case.id: {failure.resource for failure in verdict.failures}
        for verdict in verdicts
        if verdict.status is Status.FAIL
    }


def test_which_ways_out_lose_references(tmp_path: Path) -> None:
    both = {"module references: nls_cp437", "module references: nls_iso8859_1"}
    one = {"module references: nls_iso8859_1"}
    assert _lost(tmp_path) == {
        **dict.fromkeys(
            ("hfs-refused", "hfs-closed", "hfs-mounted_already", "hfs-setup_fails"), both
        ),
        **dict.fromkeys(("hfsplus-refused", "hfsplus-closed", "hfsplus-mounted_already"), one),
    }


def test_the_proposed_patch_gives_all_of_them_back(tmp_path: Path) -> None:
    assert _lost(tmp_path, _PATCH) == {}
