"""Programs of syzkaller: those that need no descriptions become C; others are for syz-prog2c."""

from __future__ import annotations

import base64
import os
import subprocess
import zlib
from pathlib import Path

import pytest

from errpath.errors import UsageError
from errpath.images.crafted.catalogue import base_image
from errpath.intake.reproducer import load_reproducer
from errpath.intake.syz_program import translate

_PLAIN = r"""
# https://syzkaller.appspot.com/bug?id=1
# {Threaded:false}
mkdir(&(0x7f0000000000)='./dir\x00', 0x1ff)
r0 = open(&(0x7f0000000040)='./dir/a"b\x41f\x00', 0x42, 0x180)
write(r0, &(0x7f0000000080)="616263", 0x3)
pwrite64(r0, &(0x7f00000000c0)=ANY=[@ANYBLOB="7878"], 0x2, 0x3)
close(r0)
close(0xffffffffffffffff)
"""


def _run(made_from: Path, directory: Path) -> subprocess.CompletedProcess[str]:
    program = directory / "program"
    program.write_bytes(load_reproducer(made_from, rounds=1).program)
    program.chmod(0o755)
    return subprocess.run(
        [program], cwd=directory, capture_output=True, text=True, timeout=20, check=False
    )


def test_plain_calls_are_made(tmp_path: Path) -> None:
    (tmp_path / "repro.syz").write_text(_PLAIN)
    assert _run(tmp_path / "repro.syz", tmp_path).returncode == 0
    assert (tmp_path / "dir" / 'a"bAf').read_bytes() == b"abcxx"


def test_the_heap_is_away_from_the_data_area(tmp_path: Path) -> None:
    """The data area is 16 MiB at 0x20000000, mapped over what is there."""
    (tmp_path / "repro.c").write_text(
        "#include <unistd.h>\nint main(void) { return (unsigned long)sbrk(0) >> 32 ? 0 : 9; }\n"
    )
    assert _run(tmp_path / "repro.c", tmp_path).returncode == 0


def test_an_image_travels_with_the_program(tmp_path: Path) -> None:
    image = base_image("hfs")
    packed = base64.b64encode(zlib.compress(image.to_bytes())).decode()
    text = (
        "syz_mount_image$hfs(&(0x7f0000000000), &(0x7f0000000040)='./file0\\x00', 0x4, "
        "&(0x7f0000000080)={[{@quiet}, {@uid={'uid', 0x3d, 0xee00}}, "
        "{@part={'part', 0x3d, 'x'}}]}, 0x1, 0x2d4, "
        f'&(0x7f0000000100)="${packed}")\n'
    )
    found = translate(text, "repro.syz")
    assert found.files == {"image0": b"".join(data for _, data in image.extents)}
    assert '"quiet,uid=60928,part=x\\x00"' in found.text
    assert 'memcpy((void *)0x20000000UL, "hfs\\x00""", sizeof("hfs\\x00"""));' in found.text
    # Without rights it only says so: the loop devices of this host are not touched.
    (tmp_path / "repro.syz").write_text(text)
    made = load_reproducer(tmp_path / "repro.syz", rounds=1)
    assert made.filesystems == ("hfs",)
    assert image.extents[0][1][:64] in made.program


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("syz_open_dev$loop(0x0)", "syz_open_dev"),
        ("ioctl(r0, 0x1, &(0x7f0000000000)={0x1, 0x2})", "argument '&(0x7f0000000000)={0x1, 0x2}'"),
        ("this is no call", "'this is no call'"),
        ("syz_mount_image$hfs(0x0)", "syz_mount_image with 1 arguments"),
    ],
)
def test_what_needs_descriptions_says_so(
    line: str, reason: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    if line.startswith("syz_mount_image"):
        line = line.replace("(0x0)", '(&(0x7f0000000100)="$eJwDAAAAAAE=")')
    with pytest.raises(UsageError) as caught:
        translate(f"{line}\n", "r.syz")
    assert str(caught.value) in (
        f"r.syz: {reason}: needs syzkaller's descriptions; expected syz-prog2c on PATH, or the C "
        "reproducer",
        "syz_mount_image: an empty image; expected one packed by zlib",
    )


def test_syzkallers_own_translator_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in = tmp_path / "syz-prog2c"
    stand_in.write_text(
        '#!/bin/sh\ntest "$1" = -prog && cat "$2" >&2 && echo "int main(void) { return 5; }"\n'
    )
    stand_in.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    (tmp_path / "repro.syz").write_text("syz_init_net_socket(0x0)\n")
    assert _run(tmp_path / "repro.syz", tmp_path).returncode == 5
    stand_in.write_text("#!/bin/sh\nexit 3\n")
    with pytest.raises(UsageError, match="expected a program for syz-prog2c"):
        load_reproducer(tmp_path / "repro.syz", rounds=1)
