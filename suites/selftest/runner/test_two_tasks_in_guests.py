"""Two tasks in a real kernel: what only their order shows, what hangs, what comes out each time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import pytest

from errpath.cases.case import Device, MountCase
from errpath.cases.lifecycle import Matrix
from errpath.cases.run import run_case
from errpath.cases.steps import FsOpen, Meanwhile, Mount, Remount, Step, Umount
from errpath.cases.volume_steps import Fsync, Stat, WriteFile
from errpath.filesystems.mkfs import image
from errpath.guest.definition import load_guest
from errpath.kernel import KernelRequest, KernelStore
from errpath.oracles.failure import HANG, WARNING
from errpath.oracles.modules import PLANT
from errpath.oracles.steps import order_of
from errpath.runner.batch_runner import BatchRunner
from errpath.runner.sweep import Sweeper
from errpath.runner.sweep_units import Recordings, SweepUnit
from errpath.runner.testbed import Testbed, TestbedOptions
from errpath.runner.verdict import Status, Verdict
from errpath.util.progress import silent

pytestmark = [pytest.mark.qemu, pytest.mark.xdist_group("guests")]

_DEVICE = Device(image("hfs"))


@pytest.fixture(scope="module")
def bed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Testbed]:
    definition = load_guest("microvm")
    options = TestbedOptions(KernelRequest(fragments=definition.fragments), plants=(PLANT.name,))
    progress = silent()
    artefacts = tmp_path_factory.mktemp("guests")
    made = Testbed(
        options, store=KernelStore(progress=progress), artefacts=artefacts, progress=progress
    )
    yield made
    made.close()


def _case(name: str, *steps: Step, seconds: float = 20.0) -> MountCase:
    return MountCase(name, "hfs", _DEVICE, steps, seconds=seconds)


def _verdicts(bed: Testbed, *cases: MountCase) -> Mapping[str, Verdict]:
    functions = tuple({one.fault.function for one in cases if one.fault is not None})
    runner = BatchRunner(
        bed.guest_source(("hfs",), functions),
        confirm=bed.guest_source(("hfs",), functions, confirm=True),
        progress=silent(),
        count=True,
    )
    try:
        return {name: result.verdict for name, result in runner.run(cases).items()}
    finally:
        runner.close()


def _failed(verdicts: Mapping[str, Verdict]) -> list[str]:
    return [name for name, verdict in verdicts.items() if verdict.status is not Status.PASS]


_PAIRS = Matrix().cases(("hfs",), ("h",))
_RACE = "killsb-hfs-h-fsync_remount-at-file_write_and_wait_range"


def test_only_the_ordered_pair_shows_a_race(make_testbed: Callable[..., Testbed]) -> None:
    bed = make_testbed(patches=["hfs-fsync-race.patch"])
    mount, write, fsync = Mount("hfs"), WriteFile("f", "x"), Fsync("f")
    read_only, writable = Remount(flags=("ro",)), Remount()
    inside = Remount(flags=("ro",), meanwhile=Meanwhile("hfs_reconfigure", (fsync,)))
    verdicts = _verdicts(
        bed,
        _case("one-after-the-other", mount, write, fsync, read_only, writable, fsync, Umount()),
        _case("the-other-way", mount, write, inside, fsync, Umount()),
        *_PAIRS,
    )
    assert _failed(verdicts) == [_RACE]
    (failure, *_) = verdicts[_RACE].failures
    assert failure.kind is WARNING
    assert "hfs_file_fsync" in failure.title
    # A sweep waits at every function that ran: only behind the pointer that hfs_file_fsync() takes
    # does it matter.
    unit = SweepUnit("hfs", "fsync-remount", "wait")
    points = [f"{unit.id}-{name}" for name in ("hfs_file_fsync", "hfs_writepages")]
    assert _failed(_swept(bed, unit, points)) == points[1:]


def _swept(bed: Testbed, unit: SweepUnit, points: list[str]) -> dict[str, Verdict]:
    sweeper = Sweeper(Recordings(bed))
    found = sweeper.run(sweeper.plan(unit, points)).results
    return {name: one.verdict for name, one in found.items()}


def test_a_stock_kernel_has_no_race(bed: Testbed) -> None:
    verdicts = _verdicts(bed, *(case for case in _PAIRS if case.id == _RACE))
    assert _failed(verdicts) == []
    outcome = verdicts[_RACE].outcome
    assert outcome is not None
    assert outcome.second_tasks
    # Nothing but a kernel thread writes the trees: it waits in the place of sync(2).
    unit = SweepUnit("hfs", "sync-grow", "wait")
    (verdict,) = _swept(bed, unit, [f"{unit.id}-hfs_btree_write"]).values()
    assert verdict.status is Status.PASS, verdict.reasons
    assert verdict.outcome is not None
    (second,) = verdict.outcome.second_tasks.values()
    # All files were made while it waited.
    assert (second.before, second.waited) == (14, False)


def test_a_second_task_that_hangs_is_told_as_what_it_is(bed: Testbed) -> None:
    stays = Mount("hfs", meanwhile=Meanwhile("hfs_fill_super", (WriteFile(PLANT.file, "stay x"),)))
    verdicts = _verdicts(
        bed, _case("stays", stays, seconds=3.0), _case("after", Mount("hfs"), Umount())
    )
    failure = verdicts["stays"].failures[0]
    assert failure.kind is HANG
    assert "plant_stay" in failure.title
    assert "the second task does not end, in write" in failure.detail
    assert verdicts["after"].status is Status.PASS


def test_a_place_where_nobody_comes_is_no_verdict(bed: Testbed) -> None:
    never = Mount("hfs", meanwhile=Meanwhile("hfs_reconfigure", (FsOpen("hfs"),)))
    spinning = Mount("hfs", meanwhile=Meanwhile("hfs_read_inode", (FsOpen("hfs"),)))
    verdicts = _verdicts(bed, _case("never", never, Umount()), _case("atomic", spinning, Umount()))
    assert verdicts["never"].reasons[0].startswith("never reached: no task came to hfs_reconfigure")
    assert verdicts["atomic"].reasons == (
        "no task can wait at hfs_read_inode: it is called where it may not sleep",
    )
    assert {one.status for one in verdicts.values()} == {Status.ERROR}


def test_the_order_is_the_same_each_time(bed: Testbed) -> None:
    dies = Umount(meanwhile=Meanwhile("generic_shutdown_super", (Mount("hfs"),)))
    lookup = Stat(
        "nosuch", expect="ENOENT", meanwhile=Meanwhile("d_alloc_parallel", (Umount(lazy=True),))
    )
    cases = (
        _case("umount-mount", Mount("hfs"), dies, Umount()),
        _case("lookup-umount", Mount("hfs"), lookup),
    )
    prepared = bed.guests.prepare(("hfs",), (), fast=True)
    seen: dict[str, set[str]] = {case.id: set() for case in cases}
    try:
        for number in range(5):
            for case in cases:
                outcome = run_case(prepared.guest, case, f"order-{number}")
                (second,) = outcome.second_tasks.values()
                assert [step.errno for step in second.steps] == [0]
                seen[case.id].add(order_of(case.steps[1], second))
    finally:
        prepared.guest.close()
    assert seen == {
        "umount-mount": {
            "umount waits at generic_shutdown_super; mount hfs rw waits for umount; umount goes on"
        },
        "lookup-umount": {"stat waits at d_alloc_parallel; umount lazy ends; stat goes on"},
    }
