"""Real guests: clones, the fast check, ledgers, and equal verdicts however cases are isolated."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from errpath.analysis.bench import PLANTED
from errpath.cases.case import Device, MountCase
from errpath.cases.run import run_case
from errpath.cases.steps import Mount, Umount
from errpath.cases.volume_steps import WriteFile
from errpath.faults.plan import FaultPlan
from errpath.filesystems import load_filesystem
from errpath.guest.definition import load_guest
from errpath.guest.machine import Guest, Machine
from errpath.guest.qmp import CloneError
from errpath.guest.snapshot import SnapshotStore
from errpath.images.hfs import hfs as hfs_images
from errpath.images.hfs import hfsplus as hfsplus_images
from errpath.kernel import KernelRequest, KernelStore
from errpath.kernel.layout import Layout
from errpath.kernel.log import find_crashes
from errpath.oracles import canary, kmemleak
from errpath.oracles.canary import CanaryMissedError
from errpath.oracles.counts import kept
from errpath.oracles.kmemleak import Record
from errpath.oracles.modules import CORRUPT, HOLD, PLANT, PLANTS
from errpath.oracles.resources import settle
from errpath.runner.batch_runner import BatchRunner
from errpath.runner.counting import read_counts
from errpath.runner.guest_factory import GuestFactory
from errpath.runner.guests import Boot, PreparedGuest
from errpath.runner.options import ISOLATIONS
from errpath.runner.testbed import Testbed, TestbedOptions, batch_size
from errpath.runner.verdict import Status, Verdict
from errpath.util.cache import cache_root
from errpath.util.progress import Progress, silent
from errpath.util.resources import GUESTS
from suites.selftest.paths import ROOT

pytestmark = [pytest.mark.qemu, pytest.mark.xdist_group("guests")]

_FILESYSTEMS = ("hfs", "hfsplus")
_FUNCTIONS = ("setup_bdev_super", "hfs_fill_super", "hfsplus_fill_super")
_LEAKING = GUESTS / "patches" / "hfs-kill-sb-leak.patch"


def _testbed(
    folder: Path,
    *,
    patch: Path | None = None,
    plants: tuple[str, ...] = (),
    count: bool = False,
) -> Testbed:
    request = KernelRequest(fragments=load_guest("microvm").fragments)
    if patch is not None:
        request = replace(request, patches=(patch,))
    progress = Progress()
    store = KernelStore(progress=progress)
    options = TestbedOptions(request, plants=plants, conservation=count)
    return Testbed(options, store=store, artefacts=folder, progress=progress)


@pytest.fixture(scope="module")
def testbed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Testbed]:
    one = _testbed(tmp_path_factory.mktemp("stock"))
    yield one
    one.close()


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Testbed]:
    """Its guests have the modules that plant faults."""
    one = _testbed(tmp_path_factory.mktemp("planted"), plants=tuple(PLANTS))
    yield one
    one.close()


@pytest.fixture(scope="module")
def leaking(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Testbed]:
    one = _testbed(tmp_path_factory.mktemp("leaking"), patch=_LEAKING)
    yield one
    one.close()


def _cases() -> tuple[MountCase, ...]:
    """Of each filesystem: a failure below, one in fill_super, and a mount that works."""
    found = []
    for name, image in (
        ("hfs", hfs_images.volume().image()),
        ("hfsplus", hfsplus_images.volume().image()),
    ):
        fs = load_filesystem(name)
        for point in ("setup_bdev_super", fs.fill_super):
            step = Mount(fs.fstype, fail=FaultPlan(point, "EIO"))
            found.append(MountCase(f"{name}-{point}", name, Device(image), (step,)))
        steps = (Mount(fs.fstype), Umount())
        found.append(MountCase(f"{name}-works", name, Device(image), steps))
    return tuple(found)


# -- clones --------------------------------------------------------------------------------------


def test_clones_share_nothing(testbed: Testbed) -> None:
    one, other = (testbed.guests.prepare(_FILESYSTEMS, _FUNCTIONS).guest for _ in range(2))
    try:
        one.write_file("/images/mine", b"one", mode=0o600)
        assert one.read_file("/images/mine") == b"one"
        assert other.run(["ls", "/images"]).output.split() == []
        outcomes = [run_case(guest, _cases()[0], "errpath-test") for guest in (one, other)]
        # Frozen at the same moment, they give out the same next pid.
        assert outcomes[0].steps == outcomes[1].steps
    finally:
        one.close()
        other.close()


def test_a_clone_is_ready_long_before_a_boot(testbed: Testbed) -> None:
    def seconds(make: Callable[[], Guest]) -> float:
        began = time.monotonic()
        make().close()
        return time.monotonic() - began

    def clone() -> Guest:
        return testbed.guests.prepare(_FILESYSTEMS, _FUNCTIONS).guest

    clone().close()
    # The best of a few: others may keep the machine busy.
    best = min(seconds(clone) for _ in range(5))
    boot = seconds(testbed.guests.boot)
    assert best * 4 < boot, f"clone {best:.2f} s, boot {boot:.2f} s"


_CHILD = """
import sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from suites.selftest.guest.test_guests import _testbed, _FILESYSTEMS, _FUNCTIONS
prepared = _testbed(Path(sys.argv[1])).guests.prepare(_FILESYSTEMS, _FUNCTIONS)
print("QEMU", prepared.guest._qemu._process.pid, prepared.artefacts, flush=True)
time.sleep(600)
"""


def test_a_clone_dies_with_its_harness_and_leaves_nothing(testbed: Testbed, tmp_path: Path) -> None:
    testbed.guests.prepare(_FILESYSTEMS, _FUNCTIONS).guest.close()
    root = str(ROOT)
    argv = [sys.executable, "-c", _CHILD, str(tmp_path), root]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        line = next(line for line in child.stdout if line.startswith("QEMU"))
        _, pid, artefacts = line.split()
        opened = [str(fd.readlink()) for fd in Path(f"/proc/{pid}/fd").iterdir()]
        memory = [name for name in opened if "memfd:errpath-ram" in name]
        assert memory, "the guest's RAM is in a file with a name"
        child.send_signal(signal.SIGKILL)
        child.wait()
    until = time.monotonic() + 10
    while Path(f"/proc/{pid}").exists() and time.monotonic() < until:
        os.sched_yield()
    assert not Path(f"/proc/{pid}").exists()
    # A guest's exchanges are written down when it is ended, and nobody has ended this one.
    names = {path.name for path in Path(artefacts).iterdir()}
    assert names == {"console.log", "qemu.argv", "qemu.log"}


def test_where_cloning_cannot_work_guests_are_booted(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: object, **__: object) -> Machine:
        raise CloneError("this QEMU cannot migrate")

    one = _testbed(tmp_path)
    one.guests = GuestFactory(
        one,
        artefacts=tmp_path,
        snapshots=SnapshotStore(Layout(cache_root()), progress=one.progress),
        progress=one.progress,
        resume=refuse,
    )
    for _ in range(2):
        prepared = one.guests.prepare(_FILESYSTEMS, _FUNCTIONS, fast=True)
        assert run_case(prepared.guest, _cases()[0], "errpath-test").fired == 1
        prepared.guest.close()
    one.close()
    said = capfd.readouterr().err
    assert said.count("booted for every use, not cloned: this QEMU cannot migrate") == 1


# -- the fast check ------------------------------------------------------------------------------


def _lost(records: tuple[Record, ...]) -> int:
    return sum(any(s.function == "errpath_plant_lose" for s in r.backtrace) for r in records)


def test_fast_finds_all_that_slow_finds(planted: Testbed) -> None:
    found = {}
    for fast in (True, False):
        prepared = planted.guests.prepare(_FILESYSTEMS, _FUNCTIONS, fast=fast)
        assert prepared.check is not None
        for number in range(PLANTED):
            prepared.guest.write_file(PLANT.file, "lose", task=f"lose-{number}")
        found[fast] = canary.check_with_canary(prepared.guest, prepared.check)
        prepared.guest.close()
    assert _lost(found[True]) == _lost(found[False]) == PLANTED
    assert {r.signature for r in found[False]} <= {r.signature for r in found[True]}
    # Nothing else is taken for a leak: every record is a planted one.
    assert len(found[True]) == PLANTED


def test_without_a_lowered_threshold_the_canary_tells(testbed: Testbed) -> None:
    prepared = testbed.guests.prepare(_FILESYSTEMS, _FUNCTIONS, fast=False)
    try:
        with pytest.raises(CanaryMissedError):
            canary.check_with_canary(prepared.guest, kmemleak.fast_check)
    finally:
        prepared.guest.close()


# -- isolation -----------------------------------------------------------------------------------


def _verdicts(
    testbed: Testbed, isolation: str, leak_check: str = "fast"
) -> dict[str, tuple[Status, int]]:
    """Status and number of leaked objects of each case."""
    testbed.options = replace(testbed.options, isolation=isolation, leak_check=leak_check)
    runner = BatchRunner(
        testbed.guest_source(_FILESYSTEMS, _FUNCTIONS),
        confirm=testbed.guest_source(_FILESYSTEMS, _FUNCTIONS, confirm=True),
        batch=batch_size(testbed.options),
        progress=silent(),
    )
    try:
        results = runner.run(_cases())
        broken = [r.verdict for r in results.values() if r.verdict.status is Status.ERROR]
        assert not broken, [f"{v.case.id}: {v.reasons}" for v in broken]
    finally:
        runner.close()
        testbed.options = replace(testbed.options, isolation="batch", leak_check="fast")
    return {
        name: (
            result.verdict.status,
            len(result.verdict.leak.records) if result.verdict.leak else 0,
        )
        for name, result in results.items()
    }


@pytest.mark.parametrize("isolation", ISOLATIONS)
def test_stock_verdicts_are_equal(testbed: Testbed, isolation: str) -> None:
    assert _verdicts(testbed, isolation) == {case.id: (Status.PASS, 0) for case in _cases()}


@pytest.mark.parametrize("isolation", ISOLATIONS)
def test_leaking_verdicts_are_equal(leaking: Testbed, isolation: str) -> None:
    lost = {"hfs-setup_bdev_super", "hfs-hfs_fill_super"}
    lost |= {"hfsplus-setup_bdev_super", "hfsplus-hfsplus_fill_super"}
    found = _verdicts(leaking, isolation)
    assert {name for name, (status, _) in found.items() if status is Status.FAIL} == lost
    assert {name for name, (_, records) in found.items() if records} == lost


def test_leaking_verdicts_are_equal_slowly(leaking: Testbed) -> None:
    assert _verdicts(leaking, "batch", "slow") == _verdicts(leaking, "batch", "fast")


@pytest.mark.parametrize("isolation", ["case", "batch"])
def test_cases_that_crash_or_hang_cost_nobody_else_a_verdict(
    tmp_path: Path, isolation: str
) -> None:
    one = _testbed(tmp_path, patch=GUESTS / "patches" / "hfs-crash-and-hang.patch")
    image = Device(hfs_images.volume().image())

    def mount(name: str, *flags: str) -> MountCase:
        steps = (Mount("hfs", flags=flags), Umount())
        return MountCase(name, "hfs", image, steps, seconds=3)

    cases = [
        mount("works-first"),
        mount("crashes", "ro"),
        mount("works-between"),
        mount("hangs", "sync"),
        mount("crashes-too", "ro"),
        mount("works-last"),
    ]
    one.options = replace(one.options, isolation=isolation)
    runner = BatchRunner(
        one.guest_source(_FILESYSTEMS, _FUNCTIONS),
        confirm=one.guest_source(_FILESYSTEMS, _FUNCTIONS, confirm=True),
        batch=batch_size(one.options),
        progress=silent(),
    )
    try:
        results = runner.run(cases)
    finally:
        runner.close()
        one.close()
    found = {
        name: (result.verdict.status, result.verdict.reasons[:1])
        for name, result in results.items()
    }
    crash = (Status.FAIL, found["crashes"][1])
    assert "kernel BUG at fs/hfs/super.c" in "".join(crash[1]) or "invalid opcode" in str(crash)
    assert found == {
        "works-first": (Status.PASS, ()),
        "crashes": crash,
        "works-between": (Status.PASS, ()),
        "hangs": (
            Status.FAIL,
            ("INFO: task hung in hfs_fill_super (the task did not end within 3 s)",),
        ),
        "crashes-too": crash,
        "works-last": (Status.PASS, ()),
    }


# -- the kernel log ------------------------------------------------------------------------------


def _printing(words: str) -> MountCase:
    steps = (WriteFile(PLANT.file, words),)
    return MountCase("prints", "hfs", Device(), steps)


def test_a_log_of_any_length_is_the_cases_own(planted: Testbed) -> None:
    """More than the kernel's ring buffer holds, read while the case runs."""
    guest = planted.guests.prepare(_FILESYSTEMS, _FUNCTIONS).guest
    try:
        outcome = run_case(guest, _printing("print 8000"), "errpath-prints")
        lines = outcome.kmsg.splitlines()
        numbers = [int(line.split()[2]) for line in lines if line.startswith("errpath_plant: line")]
        assert numbers == list(range(8000))
        assert len(outcome.kmsg) > 512 << 10
        assert (outcome.kmsg_lost, outcome.kmsg_before) == (0, "")
        assert outcome.kmsg_levels == "6" * len(lines)
    finally:
        guest.close()


def test_a_cut_log_is_reported(planted: Testbed) -> None:
    guest = planted.guests.prepare(_FILESYSTEMS, _FUNCTIONS).guest
    try:
        outcome = run_case(guest, _printing("flood 8000"), "errpath-floods")
        lines = [x for x in outcome.kmsg.splitlines() if x.startswith("errpath_plant: line")]
        assert outcome.kmsg_lost > 0
        assert len(lines) + outcome.kmsg_lost == 8000
        assert lines[-1].startswith("errpath_plant: line 7999 of 8000")
    finally:
        guest.close()


def test_what_is_printed_between_cases_is_no_cases_own(planted: Testbed) -> None:
    guest = planted.guests.prepare(_FILESYSTEMS, _FUNCTIONS).guest
    try:
        run_case(guest, _cases()[0], "errpath-first")
        guest.write_file(PLANT.file, "print 3")
        outcome = run_case(guest, _cases()[0], "errpath-second")
        assert outcome.kmsg_before.count("errpath_plant: line") == 3
        assert outcome.kmsg_before_levels.count("6") >= 3
        assert "errpath_plant" not in outcome.kmsg
    finally:
        guest.close()


# -- conservation --------------------------------------------------------------------------------


def _kept(guest: Guest, what: str, times: int = 32) -> set[str]:
    """What so many keep of what is kept once before."""
    guest.write_file(PLANT.file, f"keep {what}", task="keeper")
    settle(guest)
    before = read_counts(guest)
    for _ in range(times):
        guest.write_file(PLANT.file, f"keep {what}", task="keeper")
    settle(guest)
    (found,) = kept(before, [read_counts(guest)], {})
    # Pages move by a few by chance.
    return {str(resource) for resource, count in found.items() if count >= times - 8}


@pytest.mark.parametrize(
    ("what", "oracle"),
    [
        ("object", "slab objects: kmalloc-512"),
        ("buffer", "buffer heads: buffer_head"),
        ("inode", "inodes: debugfs_inode_cache"),
        ("dentry", "dentries: dentry"),
        ("page", "pages: of the page allocator"),
        ("module", "module references: errpath_plant"),
    ],
)
def test_each_oracle_alone_finds_what_is_kept(planted: Testbed, what: str, oracle: str) -> None:
    guest = planted.guests.prepare(_FILESYSTEMS, _FUNCTIONS, fast=True).guest
    try:
        assert _kept(guest, what) == {oracle}
        # Something points to all of it: kmemleak has nothing to say.
        assert canary.check_with_canary(guest, kmemleak.fast_check) == ()
    finally:
        guest.close()


def test_a_page_without_a_file_is_lost_only_while_its_buffers_are_in_use(planted: Testbed) -> None:
    """What truncation leaves behind, drop_caches does not see; reclaim does."""
    prepared = planted.guests.prepare(_FILESYSTEMS, _FUNCTIONS, fast=True)
    guest = prepared.guest

    def buffers() -> int:
        guest.write_file("/proc/sys/vm/drop_caches", "3")
        lines = guest.read_file("/proc/slabinfo").decode().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("buffer_head "))

    try:
        before = buffers()
        for _ in range(32):
            guest.write_file(PLANT.file, "keep orphan", task="keeper")
        assert buffers() - before >= 31
        assert _kept(guest, "orphan") == set()
        assert buffers() - before <= 1
        both = {"buffer heads: buffer_head", "pages: of the page allocator"}
        assert _kept(guest, "used") == both
    finally:
        guest.close()


@pytest.fixture(scope="module")
def profiling(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Testbed]:
    """As a run that counts boots it."""
    folder = tmp_path_factory.mktemp("profiling")
    one = _testbed(folder, plants=tuple(PLANTS), count=True)
    yield one
    one.close()


@pytest.mark.parametrize(
    ("what", "call"),
    [
        # The kernel has it in its own books: no page is missing.
        ("table", "*table = alloc_page("),
        ("page", "return alloc_page("),
        ("object", "return kzalloc(512"),
    ],
)
def test_allocations_are_named_by_their_line(profiling: Testbed, what: str, call: str) -> None:
    source = (GUESTS / "modules" / "plant" / "errpath_plant.c").read_text().splitlines()
    (line,) = (number for number, text in enumerate(source, 1) if call in text)
    where = f"errpath_plant.c:{line} [errpath_plant] func:keep_{what}"
    guest = profiling.guests.prepare(_FILESYSTEMS, _FUNCTIONS, fast=True).guest
    try:
        assert _kept(guest, what) == {f"allocations: {where}"}
        assert canary.check_with_canary(guest, kmemleak.fast_check) == ()
    finally:
        guest.close()


@pytest.mark.parametrize("what", ["vmalloc", "inode", "buffer"])
def test_what_functions_of_the_kernel_allocate_is_named_by_them(
    profiling: Testbed, what: str
) -> None:
    guest = profiling.guests.prepare(_FILESYSTEMS, _FUNCTIONS, fast=True).guest
    try:
        found = _kept(guest, what)
        assert found
        assert all(one.startswith("allocations: ") for one in found)
    finally:
        guest.close()


def _holding(what: str) -> MountCase:
    """A mount of hfs of which something is held beyond its end."""
    steps = (
        Mount("hfs"),
        WriteFile(HOLD.file, f"{what} hfs"),
        Umount(),
    )
    return MountCase(f"holds-{what}", "hfs", Device(hfs_images.volume().image()), steps)


def test_a_device_that_stays_held_fails_its_case_and_nothing_else_tells(planted: Testbed) -> None:
    runner = BatchRunner(
        planted.guest_source(_FILESYSTEMS, _FUNCTIONS),
        confirm=planted.guest_source(_FILESYSTEMS, _FUNCTIONS, confirm=True),
        progress=silent(),
    )
    try:
        verdicts = {k: r.verdict for k, r in runner.run([_holding("device"), *_cases()]).items()}
    finally:
        runner.close()
    held = verdicts.pop("holds-device")
    assert held.reasons == ("the block device is still held after the case (-EBUSY)",)
    assert (held.leak, len(held.failures)) == (None, 1)
    assert {verdict.status for verdict in verdicts.values()} == {Status.PASS}


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("super", r"superblock of hfs still listed \(loop\d, dead\)"),
        ("inode", r"in slab hfs_inode_cache|at kmem_cache_destroy"),
    ],
)
def test_what_is_left_once_is_found_at_the_end_alone(
    planted: Testbed, what: str, said: str
) -> None:
    """No count grows with repeats, and something points to all of it."""

    def boot() -> PreparedGuest:
        prepared = planted.guests.prepare(_FILESYSTEMS, _FUNCTIONS, fast=True)
        outcome = run_case(prepared.guest, _holding(what), "errpath-holds")
        assert [step.errno for step in outcome.steps] == [0, 0, 0]
        assert not outcome.device_errno
        return prepared

    guest = boot().guest
    try:
        assert canary.check_with_canary(guest, kmemleak.fast_check) == ()
    finally:
        guest.close()
    verdicts = _counted(boot, _cases())
    (left,) = [v.failures for v in verdicts.values() if v.status is Status.FAIL]
    assert all(re.search(said, failure.line) for failure in left), [one.line for one in left]


def _counted(boot: Boot, cases: Sequence[MountCase]) -> dict[str, Verdict]:
    """Verdicts of a run that counts."""
    runner = BatchRunner(boot, progress=silent(), count=True)
    try:
        verdicts = {name: result.verdict for name, result in runner.run(cases).items()}
    finally:
        runner.close()
    assert runner.notes == []
    return verdicts


def _failed(verdicts: Mapping[str, Verdict]) -> dict[str, set[str]]:
    """What is not given back, by the ids of the cases that fail."""
    assert {verdict.status for verdict in verdicts.values()} <= {Status.PASS, Status.FAIL}
    failed = [verdict for verdict in verdicts.values() if verdict.status is Status.FAIL]
    return {one.case.id: {failure.resource for failure in one.failures} for one in failed}


def test_a_superblock_that_each_case_leaves_is_blamed_on_it(planted: Testbed) -> None:
    boot = planted.guest_source(_FILESYSTEMS, _FUNCTIONS)
    failed = _failed(_counted(boot, [*_cases(), _holding("super")]))
    assert set(failed) == {"holds-super"}
    assert "superblocks: hfs" in failed["holds-super"]


def test_references_that_are_given_back_too_often_are_seen(profiling: Testbed) -> None:
    """The count falls: no plant that keeps something would show it."""
    steps = (WriteFile(PLANT.file, "keep module"), WriteFile(PLANT.file, "drop module"))
    image = hfs_images.volume().image()
    level = MountCase("keeps-and-drops", "hfs", Device(image), steps)
    falls = MountCase("drops", "hfs", Device(image), steps[1:])

    def boot() -> PreparedGuest:
        prepared = profiling.guests.prepare(_FILESYSTEMS, _FUNCTIONS, fast=True)
        for _ in range(8):
            prepared.guest.write_file(PLANT.file, "keep module")
        return prepared

    verdicts = _counted(boot, [level, falls])
    assert _failed(verdicts) == {"drops": {"module references: errpath_plant"}}
    assert verdicts["drops"].failures[0].line == (
        "given back too often: module references: errpath_plant (2 fewer after 2 repeats)"
    )


def test_a_buffer_that_is_not_given_back_is_named(tmp_path: Path) -> None:
    """kmemleak cannot see it: the page still points to its buffers."""
    patch = GUESTS / "patches" / "hfs-lost-buffer.patch"
    one = _testbed(tmp_path, patch=patch, count=True)
    try:
        boot = one.guest_source(_FILESYSTEMS, _FUNCTIONS)
        failed = _failed(_counted(boot, _cases()))
        assert set(failed) == {"hfs-works"}
        assert any("func:alloc_buffer_head" in resource for resource in failed["hfs-works"])
    finally:
        one.close()


def test_nothing_is_lost_by_these_cases_on_a_stock_kernel(
    testbed: Testbed, profiling: Testbed
) -> None:
    for one in (testbed, profiling):
        boot = one.guest_source(_FILESYSTEMS, _FUNCTIONS)
        assert _failed(_counted(boot, _cases())) == {}


# -- corruption of memory ------------------------------------------------------------------------


def _corrupting(words: str) -> MountCase:
    steps = (WriteFile(CORRUPT.file, words),)
    return MountCase("corrupts", "hfs", Device(), steps)


@pytest.mark.parametrize(
    ("words", "title"),
    [
        ("double-free", "Object already free"),
        ("write-after-free", "Poison overwritten"),
        ("overrun", "Right Redzone overwritten"),
    ],
)
def test_corruption_is_seen_when_it_happens(planted: Testbed, words: str, title: str) -> None:
    guest = planted.guests.prepare(_FILESYSTEMS, _FUNCTIONS).guest
    try:
        outcome = run_case(guest, _corrupting(words), "errpath-corrupt")
        crash = find_crashes(outcome.kmsg)[0]
        assert (crash.kind, crash.fatal) == ("slab", True)
        assert re.fullmatch(rf"BUG errpath_corrupt \(.*\): {title}", crash.title)
        assert "corrupt_allocate" in crash.allocated
        assert "corrupt_free" in crash.freed or words == "overrun"
    finally:
        guest.close()
