"""The report of a case, and the folder that it leaves."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from errpath.cases.case import Device, MountCase, Outcome, StepOutcome
from errpath.cases.steps import FsOpen, Mount
from errpath.errors import InfrastructureError
from errpath.faults.model import Alloc, Both, Read
from errpath.faults.plan import FaultPlan
from errpath.images import blank
from errpath.oracles.kmemleak import parse_records
from errpath.oracles.ownership import Call, OwnershipTrace, parse_graph
from errpath.oracles.timeline import Holder, Place, Timeline
from errpath.results.artefacts import write_artefacts
from errpath.results.reports.crash_story import error_in
from errpath.results.reports.text import ownership_lines, render
from errpath.runner.lifetime import Lifetime
from errpath.runner.result import Result
from errpath.runner.verdict import Leak, infrastructure_error, judge
from suites.selftest import golden
from suites.selftest.runner.simsession import SimDecoder

_LEAK = """\
unreferenced object 0xffff88800449f900 (size 64):
  comm "errpath-000001", pid 49, jiffies 4294894047
  hex dump (first 32 bytes):
    00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00  ................
  backtrace (crc e464689e):
    hfs_init_fs_context+0xdd/0x100 [hfs]
    alloc_fs_context+0x122/0x200
"""
_HEADERS = ("Fault", "Fired", "Errno", "Kmsg", "Confirmed", "Device", "Error")


def _case(fault: str, device: str) -> MountCase:
    image = blank(4096, name="hfs-blank")
    devices = {
        "": Device(image),
        "readonly": Device(image, readonly=True),
        "held": Device(image, held=True),
        "node": Device(node=(240, 7)),
    }
    steps = (
        Mount("hfs", fail=FaultPlan(fault, "EIO") if fault else None, expect="EIO"),
        FsOpen("hfs", flags=("ro", "nosuid")),
    )
    return MountCase("hfs-a-case", "hfs", devices[device], steps)


def _result(case: golden.Golden) -> Result:
    headers = case.headers
    mount = _case(headers.get("Fault", ""), headers.get("Device", ""))
    if "Error" in headers:
        return Result(infrastructure_error(mount, headers["Error"]))
    outcome = Outcome(
        "errpath-000001",
        34,
        (
            StepOutcome(int(headers.get("Errno", "5")), "mount"),
            StepOutcome(0, "fsmount", ("w hfs: odd",)),
        ),
        fired=int(headers.get("Fired", "1")),
        kmsg=headers.get("Kmsg", ""),
    )
    records = parse_records(case.input)
    confirmed = int(headers.get("Confirmed", "2"))
    verdict = judge(mount, outcome, Leak(records, confirmed, 2) if records else None)
    trace = case.sections["trace"]
    return Result(verdict, story=parse_graph(trace) if trace else None)


@golden.golden_cases("report")
def test_reports(path: Path, request: pytest.FixtureRequest) -> None:
    case = golden.load(path, headers=_HEADERS, sections=("input", "trace"))
    text = render(
        _result(case), SimDecoder(), rerun="errpath run hfs-a-case", folder=Path("results/hfs")
    )
    golden.check(case, text, request)


_RECORD = """\
unreferenced object 0xffff888003c2ec00 (size 512):
  comm "errpath-000001", pid 34, jiffies 4294894026
  backtrace (crc 0):
    hfs_init_fs_context+0x1f/0x90 [hfs]
"""


def _leaking(guest: Path | None) -> Result:
    case = replace(_case("setup_bdev_super", ""), id="hfs-a/case: one")
    outcome = Outcome("errpath-000001", 34, (StepOutcome(5, "mount"), StepOutcome(0, "x")), fired=1)
    return Result(judge(case, outcome, Leak(parse_records(_RECORD), 2, 2)), guest)


def test_the_folder_holds_what_is_known(tmp_path: Path) -> None:
    guest = tmp_path / "guest-1"
    guest.mkdir()
    (guest / "console.log").write_bytes(b"Linux\xff")
    (guest / "qemu.argv").write_text("qemu\n")
    folder = write_artefacts(_leaking(guest), tmp_path / "results", SimDecoder())
    assert folder == tmp_path / "results" / "hfs-a_case__one"
    assert (folder / "console.log").read_bytes() == b"Linux\xff"
    # What the guest did not write is not made up.
    assert not (folder / "qemu.log").exists()
    plan = json.loads((folder / "plan.json").read_text())
    assert plan["id"] == "hfs-a/case: one"
    assert plan["fault"] == {"function": "setup_bdev_super", "retval": -5, "times": 1}
    assert plan["device"]["image"] == plan["image"] == "hfs-blank"
    outcome = json.loads((folder / "outcome.json").read_text())
    assert outcome["steps"][0] == {"errno": 5, "syscall": "mount", "log": [], "fired": None}
    assert (folder / "kmemleak.raw").read_text() == _RECORD
    assert "fs/hfs/super.c:414" in (folder / "kmemleak.decoded").read_text()
    image = (folder / "image.img").stat()
    assert image.st_size == 4096
    # Sparse: a blank image takes no room.
    assert image.st_blocks == 0


def test_an_error_without_an_outcome_leaves_its_plan(tmp_path: Path) -> None:
    result = Result(infrastructure_error(_case("f", "node"), "no boot"))
    folder = write_artefacts(result, tmp_path, None)
    assert [path.name for path in folder.iterdir()] == ["plan.json"]
    assert json.loads((folder / "plan.json").read_text())["device"] == {"node": [240, 7]}


def test_a_folder_that_cannot_be_made_is_the_rigs_failure(tmp_path: Path) -> None:
    (tmp_path / "results").touch()
    with pytest.raises(InfrastructureError, match=r"Not a directory; expected room for artefacts"):
        write_artefacts(_leaking(None), tmp_path / "results", None)


def test_a_full_disk_is_the_rigs_failure(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    argv = ["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", str(disk)]
    if os.geteuid() != 0 or subprocess.run(argv, capture_output=True, check=False).returncode:
        pytest.skip("mounting a tmpfs needs root and the right to mount")
    try:
        (disk / "fill").write_bytes(bytes(8192))
        with pytest.raises(
            InfrastructureError, match="No space left on device; expected room for artefacts"
        ):
            write_artefacts(_leaking(None), disk, SimDecoder())
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_what_has_changed_on_the_volume_is_kept(tmp_path: Path) -> None:
    result = _leaking(None)
    outcome = result.verdict.outcome
    assert outcome is not None
    changed = replace(outcome, changed=((512, b"x" * 512),))
    written = replace(result, verdict=replace(result.verdict, outcome=changed))
    folder = write_artefacts(written, tmp_path, SimDecoder())
    assert json.loads((folder / "outcome.json").read_text())["changed"] == [[512, 512]]
    before = (folder / "image.img").read_bytes()
    after = (folder / "image-after.img").read_bytes()
    assert after == before[:512] + b"x" * 512 + before[1024:]


@pytest.mark.parametrize(
    ("end", "look"),
    [
        # As of gfs2meta's context without free; another context of the case is mounted.
        ("put_fs_context", "free of hfs's fs_context_operations"),
        # As of adfs: the superblock owned it.
        ("destroy_super_work", "kill_sb of hfs"),
    ],
)
def test_the_hook_that_should_have_freed_is_of_who_held_it_last(end: str, look: str) -> None:
    stored, gone = Place("hfs_init_fs_context", "fs/hfs/super.c", 1), Place(end, "fs/x.c", 2)
    holder = Holder("fc->fs_private", 1, stored, gone, freed=True)
    lifetime = Lifetime(Timeline(1, 64, stored, (holder,)))
    calls = (Call(0, "sget_fc"), Call(0, "kill_block_super"), Call(0, "put_fs_context"))
    leak, *_ = parse_records(_LEAK)
    case, trace = _case("setup_bdev_super", ""), OwnershipTrace(calls)
    lines = ownership_lines(case, [leak], trace, SimDecoder(), lifetime)
    assert f"  look at    {look}" in lines


def test_the_function_that_saw_the_error_is_on_both_stacks() -> None:
    case = replace(_case("", ""), id="sweep-erofs-mount-ro-alloc-fill_super>read_superblock")
    way = ("bread", "read_superblock", "fill_super")
    assert error_in(case, way) == "read_superblock"
    assert error_in(case, ("load_log", "fill_log")) == ""
    # Without a chain in its name, it is how the trace has the forced function called: before, too.
    forced = _case("load_label", "")
    assert error_in(forced, way) == ""
    names = ((0, "fill_super"), (1, "bread"), (1, "read_superblock"), (2, "load_label"))
    trace = OwnershipTrace(tuple(Call(*one) for one in names))
    assert error_in(forced, way, trace) == "read_superblock"
    assert error_in(forced, ("bread", "fill_super"), trace) == "fill_super"


@pytest.mark.parametrize(
    ("file", "allocator", "look"),
    [
        # The superblock's list of inodes went with it: as of jfs.
        ("fs/super.c", "read_superblock", "fill_super"),
        # The filesystem dropped the reference itself.
        ("fs/hfs/btree.c", "read_superblock", "gone (fs/hfs/btree.c:2)"),
        # So it did, but who had it allocated saw the error: as of xfs.
        ("fs/hfs/btree.c", "other", "other"),
    ],
)
def test_what_the_vfs_frees_was_lost_where_the_error_was_seen(
    file: str, allocator: str, look: str
) -> None:
    stored = Place("read_superblock", "fs/hfs/super.c", 1)
    holder = Holder("&inode->i_sb_list", 1, stored, Place("gone", file, 2), freed=True)
    timeline = Timeline(1, 64, stored, (holder,), way=(allocator, "get", "fill_super"))
    case = replace(_case("", ""), id="sweep-hfs-mount-ro-alloc-fill_super>other")
    (leak,) = parse_records(_LEAK)
    lines = ownership_lines(case, [leak], None, SimDecoder(), Lifetime(timeline))
    assert lines[-1] == f"  look at    {look}"


def test_two_faults_of_a_step_have_fired_as_often_as_both_did() -> None:
    step = Mount("hfs", fail=Both(Read(nth=1), Alloc(nth=2)), expect="EIO")
    outcome = Outcome("errpath-000001", 34, (StepOutcome(0, "mount", fired=1),), fired=1)
    verdict = judge(replace(_case("", ""), steps=(step,)), outcome, None)
    text = render(Result(verdict), None, rerun="errpath run", folder=None)
    assert text.count("(fired 1 times)") == 2
