"""A case as a C program: it compiles, holds the volume, and says why where there can be none."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from errpath.analysis.mail.program import standalone_program
from errpath.cases.case import Device, MountCase
from errpath.cases.steps import FsOpen, Meanwhile, Mount, Reconfigure, Remount, Step, Umount
from errpath.errors import UsageError
from errpath.faults.model import Alloc, Write
from errpath.faults.plan import FaultPlan
from errpath.images import Image, blank
from errpath.intake.repro_source import read_source

_IMAGE = Image.from_bytes(bytes(1024) + b"\1BD\0\0" + bytes(3066) + b"\xff", name="i")
_DEVICE = Device(_IMAGE)
_BDEV = FaultPlan("setup_bdev_super", "EIO")


def _case(*steps: Step, device: Device = _DEVICE) -> MountCase:
    return MountCase("x-case", "hfs", device, steps or (Mount(fstype="hfs"), Umount()))


_EVERY = (
    _case(),
    _case(Mount(fstype="hfs", flags=("ro", "noexec"), options='quiet,type="x\\"'), Umount()),
    _case(Mount(fstype="hfs", fail=_BDEV)),
    _case(FsOpen(fstype="hfs", options="codepage=cp437,quiet", flags=("ro",), until="options")),
    _case(FsOpen(fstype="hfs", flags=("nodev",)), Reconfigure(flags=("ro",)), Remount(), Umount()),
    _case(Mount(fstype="hfs", fail=Alloc()), device=Device(_IMAGE, readonly=True, block_size=4096)),
    _case(device=Device(blank(4096, "b"))),
    _case(Mount(fstype="hfs", fail=FaultPlan("hfs_fill_super", "EIO", times=2)), Umount()),
)


@pytest.mark.kernel_build
@pytest.mark.parametrize("shown", _EVERY)
def test_it_compiles_without_a_warning(shown: MountCase, tmp_path: Path) -> None:
    text = standalone_program(shown, "memory leak in f")
    (tmp_path / "p.c").write_text(text)
    argv = ["gcc", "-static", "-Wall", "-Wextra", "-Werror", "-O1", "-o", "p", "p.c"]
    done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    # errpath repro reads what it should show, and loads the module that it needs.
    source = read_source(text, rounds=1)
    assert (source.title, source.filesystems) == ("memory leak in f", ("hfs",))


def test_the_volume_is_in_it() -> None:
    text = standalone_program(_case(), "t")
    pieces = re.findall(r'\{ (0x[0-9a-f]+), "([0-9a-f]*)" \},', text)
    found = bytearray(int(re.findall(r"SIZE (\d+)", text)[0]))
    for at, data in pieces:
        found[int(at, 16) : int(at, 16) + len(data) // 2] = bytes.fromhex(data)
    assert bytes(found) == _IMAGE.read(0, _IMAGE.size)
    assert len(found) == 4096


def test_a_read_only_device_stands_for_a_forced_error() -> None:
    text = standalone_program(_case(Mount(fstype="hfs", fail=_BDEV)), "t")
    assert "BLKROSET, &(int){ 1 }" in text
    assert "setup_bdev_super() gives -EACCES" in text
    assert "BLKROSET, &" not in standalone_program(_case(), "t")
    assert "fail-nth" in standalone_program(_case(Mount(fstype="hfs", fail=Alloc())), "t")


def test_what_only_a_forced_call_shows_has_the_module_in_it() -> None:
    forced = Mount(fstype="hfs", fail=FaultPlan("hfs_fill_super", "EIO"))
    text = standalone_program(_case(forced, Mount(fstype="hfs"), Umount()), "t")
    assert "// fails hfs_fill_super," in text
    assert '__section("_error_injection_whitelist")' in text
    assert 'force("hfs_fill_super", "0xfffffffffffffffb", "1");' in text
    # The first mount alone fails.
    steps = text[text.index("static void steps") :]
    assert re.findall(r"fail\(\d\)|mount\(", steps)[:4] == [
        "fail(1)",
        "mount(",
        "fail(0)",
        "mount(",
    ]
    assert read_source(text, rounds=1).functions == ("hfs_fill_super",)
    # A read-only device refuses nothing that is mounted read-only.
    bdev = standalone_program(_case(Mount(fstype="hfs", fail=_BDEV, flags=("ro",))), "t")
    assert "// fails setup_bdev_super," in bdev
    for plain in (_case(), _case(Mount(fstype="hfs", fail=_BDEV))):
        text = standalone_program(plain, "t")
        assert "MODULE" not in text
        assert read_source(text, rounds=1).functions == ()


class _Own(Step, op="own"):
    """A step that no program has."""


@pytest.mark.parametrize(
    ("steps", "device", "why"),
    [
        ((Mount(fstype="hfs", fail=Write()),), None, "only a forced"),
        ((_Own(),), None, "its step 'own'"),
        ((Umount(meanwhile=Meanwhile("hfs_put_super", (Umount(),))),), None, "two tasks meet"),
        ((), Device(), "mounts no image"),
        ((), Device(node=(1, 2)), "several devices"),
        ((), Device(Image.from_bytes(b"\1" * 30000, name="big")), "30000 bytes of the volume"),
    ],
)
def test_why_there_is_none(steps: Sequence[Step], device: Device | None, why: str) -> None:
    with pytest.raises(UsageError, match=why):
        standalone_program(_case(*steps, device=device or Device(_IMAGE)), "t")
