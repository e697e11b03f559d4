"""Sweeps on a real kernel: the points that there are, and bugs planted behind some of them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from errpath.cases.case import MountCase
from errpath.cases.steps import Mount, Umount
from errpath.cases.sweeping import sequence
from errpath.errors import UsageError
from errpath.faults.model import Alloc, Call, Fault, Read
from errpath.filesystems import load_filesystem
from errpath.runner.batch_runner import BatchRunner
from errpath.runner.result import Result
from errpath.runner.sweep import Sweeper, SweepResult
from errpath.runner.sweep_units import Recordings, SweepUnit
from errpath.runner.testbed import Testbed
from errpath.runner.verdict import Status
from errpath.util.progress import silent

pytestmark = pytest.mark.qemu


def _sweep(testbed: Testbed, kind: str, *points: str) -> SweepResult:
    sweeper = Sweeper(Recordings(testbed))
    unit = SweepUnit("hfs", "mount-ro", kind)
    return sweeper.run(sweeper.plan(unit, [f"{unit.id}-{point}" for point in points]))


def _leaks(result: SweepResult) -> dict[str, set[int]]:
    """Sizes of what was lost, by the name of the point."""
    found = {}
    for case_id, one in result.results.items():
        leak = one.verdict.leak
        if one.verdict.status is Status.FAIL and leak is not None:
            name = case_id.removeprefix(f"{result.plan.unit.id}-")
            found[name] = {record.size for record in leak.records}
    return found


def test_planted_bugs_are_found_at_the_points_that_lead_to_them(
    make_testbed: Callable[..., Testbed],
) -> None:
    testbed = make_testbed(patches=["hfs-sweep-leaks.patch"])
    allocations = _leaks(_sweep(testbed, "alloc"))
    # The inode of either tree cannot be allocated: the tree itself is lost.
    tree = "hfs_fill_super>hfs_mdb_get>hfs_btree_open>hfs_alloc_inode"
    assert {tree, f"{tree}#2"} <= allocations.keys()
    # Nor is there memory for what is allocated then: 5000 bytes, rounded up, are lost as well.
    assert not any(8192 in sizes for sizes in allocations.values())
    behind = _leaks(_sweep(testbed, "behind-alloc"))
    more = [pair for pair, sizes in behind.items() if 8192 in sizes]
    assert more
    assert all("&" in pair and pair.endswith("hfs_btree_open") for pair in more)
    calls = _leaks(_sweep(testbed, "call"))
    # kmalloc() rounds up: 700 bytes to 1024, 300 to 512.
    assert 1024 in calls["hfs_btree_open#2"]
    assert "hfs_btree_open" not in calls
    # Nothing else is read before the MDB is known.
    assert 512 in next(iter(_leaks(_sweep(testbed, "io")).values()))
    # Nor is there memory for what is lost then: 1100 bytes, rounded up, are lost in its place.
    ((pair, sizes),) = _leaks(_sweep(testbed, "behind-io")).items()
    assert sizes == {2048}
    assert pair.startswith("hfs_fill_super>hfs_mdb_get>")
    assert "&" in pair
    # A field that is divided by; one more and one less are as good as the volume's own value.
    names = ("drClpSiz=0", "drClpSiz+1", "drClpSiz-1", "drAlBlkSiz=0")
    result = _sweep(testbed, "image", *names)
    broken = [result.results[f"{result.plan.unit.id}-{name}"].verdict for name in names]
    assert [one.status for one in broken] == [Status.FAIL, *[Status.PASS] * 3]
    assert "divide error in hfs_mdb_get" in broken[0].reasons[0]


def test_a_sweep_of_a_stock_mount_finds_nothing(make_testbed: Callable[..., Testbed]) -> None:
    testbed = make_testbed()
    for kind in ("alloc", "io"):
        result = _sweep(testbed, kind)
        assert len(result.results) > 4
        assert {one.verdict.status for one in result.results.values()} == {Status.PASS}


def _run(testbed: Testbed, faults: dict[str, Fault]) -> dict[str, Result]:
    steps = sequence(load_filesystem("hfs"), "mount-ro")
    cases = [
        MountCase(name, "hfs", steps.device, steps.failing(fault)) for name, fault in faults.items()
    ]
    names = tuple(dict.fromkeys(fault.function for fault in faults.values()))
    runner = BatchRunner(testbed.guest_source(("hfs",), (), points=names), progress=silent())
    try:
        return runner.run(cases)
    finally:
        runner.close()


def test_faults_as_a_suite_gives_them(make_testbed: Callable[..., Testbed]) -> None:
    faults: dict[str, Fault] = {
        "by-name": Call("hfs_btree_open", "NULL", nth=2),
        "in-the-kernel": Call("setup_bdev_super", "ENOSPC"),
        "below": Call("__bread_gfp", "NULL", caller="hfs_mdb_get"),
        "below-nobody": Call("hfs_btree_open", "NULL", caller="ext4_fill_super"),
        "third-allocation": Alloc(nth=3),
        "read": Read(),
        "never": Read(nth=1000),
        "unknown": Call("hfs_no_such_function"),
    }
    results = {name: one.verdict for name, one in _run(make_testbed(), faults).items()}

    def errno(name: str) -> int:
        outcome = results[name].outcome
        assert outcome is not None
        return outcome.steps[0].errno

    # hfs has one errno for whatever is wrong with a volume.
    assert (errno("by-name"), errno("in-the-kernel"), errno("read")) == (22, 28, 22)
    assert errno("third-allocation") == 12
    assert errno("below") == 22
    for name in ("by-name", "in-the-kernel", "third-allocation", "read", "below"):
        assert results[name].status is Status.PASS, results[name].reasons
    assert results["never"].reasons == (
        "never reached: the fault (1000th read request = -EIO) did not fire",
    )
    assert "did not fire" in results["below-nobody"].reasons[0]
    assert "hfs_no_such_function: not in the running kernel" in results["unknown"].reasons[0]
    assert results["unknown"].status is Status.ERROR


def test_each_step_has_a_fault_of_its_own(make_testbed: Callable[..., Testbed]) -> None:
    device = sequence(load_filesystem("hfs"), "mount-ro").device
    faults = (Alloc(), Read(), Call("hfs_fill_super", "EROFS"), Read(nth=1000))

    def case(name: str, *some: Fault) -> MountCase:
        steps = [Mount("hfs", flags=("ro",), fail=fault, any_errno=True) for fault in some]
        return MountCase(name, "hfs", device, (*steps, Mount("hfs", flags=("ro",)), Umount()))

    cases = (case("three", *faults[:3]), case("one-misses", *faults[::3]))
    runner = BatchRunner(
        make_testbed().guest_source(("hfs",), (), points=("hfs_fill_super", "")), progress=silent()
    )
    try:
        results = runner.run(cases)
    finally:
        runner.close()
    good = results["three"].verdict
    assert good.status is Status.PASS, good.reasons
    assert good.outcome is not None
    got = [(step.errno, step.fired) for step in good.outcome.steps]
    assert got == [(12, 1), (22, 1), (30, 1), (0, None), (0, None)]
    bad = results["one-misses"].verdict
    assert bad.status is Status.ERROR
    assert bad.reasons[0].endswith("the fault (1000th read request = -EIO) did not fire")


def test_a_point_that_is_not_there_is_one_line(make_testbed: Callable[..., Testbed]) -> None:
    unit = SweepUnit("hfs", "mount-ro", "call")
    sweeper = Sweeper(Recordings(make_testbed()))
    with pytest.raises(UsageError, match=r"-nobody: no such point; expected one of the \d+ of"):
        sweeper.plan(unit, [f"{unit.id}-nobody"])
    with pytest.raises(UsageError, match=r"-hfs_bnode_put: not failed: hfs_bnode_put gives"):
        sweeper.plan(unit, [f"{unit.id}-hfs_bnode_put"])


def test_what_only_force_breaks_has_no_natural_twin(make_testbed: Callable[..., Testbed]) -> None:
    unit = SweepUnit("ext2", "mount-ro", "call")
    sweeper = Sweeper(Recordings(make_testbed()))
    case_id = f"{unit.id}-ext2_get_group_desc"
    result = sweeper.run(sweeper.plan(unit, [case_id]))
    # ext2_fill_super() uses what it gives without a look: no descriptor is missing by itself.
    assert (
        "NULL pointer dereference in ext2_fill_super" in result.results[case_id].verdict.reasons[0]
    )
    assert result.twins[case_id].case_id == ""
