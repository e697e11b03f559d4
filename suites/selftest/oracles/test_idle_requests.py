"""What takes the place of a bio of squashfs and is lost is seen, though idle requests of the disk
had pointers to that place (guests/common/quiet.c)."""

from __future__ import annotations

import random
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from errpath.guest.disk import Disk
from errpath.kernel import KernelStore
from errpath.oracles import canary
from errpath.oracles.modules import PLANT
from errpath.runner.options import GuestOptions, RunOptions, choices
from errpath.runner.testbed import Testbed
from errpath.util.progress import silent

pytestmark = [
    pytest.mark.qemu,
    pytest.mark.kernel_build,
    pytest.mark.xdist_group("kernel_build"),
]

_FILES = 16
# bios of 17 to 26 pages are objects of 512 bytes.
_BLOCK = 128 << 10
_READ = """set -e
disk=$(grep -l files /sys/block/*/serial | cut -d/ -f4)
mkdir -p /files
mount -t squashfs -o ro /dev/$disk /files
cat /files/* > /dev/null
umount /files
echo -n lose > /sys/kernel/debug/errpath_plant
"""


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """Files that do not compress: each block is read by a bio of as many pages."""
    if shutil.which("mksquashfs") is None:
        pytest.skip("no mksquashfs (Debian package squashfs-tools)")
    tree = tmp_path / "tree"
    tree.mkdir()
    noise = random.Random(1)
    for number in range(_FILES):
        (tree / str(number)).write_bytes(noise.randbytes(_BLOCK - 4096 * (number % 14)))
    out = tmp_path / "image"
    argv = [
        "mksquashfs",
        str(tree),
        str(out),
        "-quiet",
        "-no-progress",
        "-no-fragments",
        "-b",
        str(_BLOCK),
    ]
    subprocess.run(argv, check=True, stdout=subprocess.DEVNULL)
    return out


def test_what_takes_a_bios_place(image: Path, tmp_path: Path) -> None:
    chosen = choices(RunOptions(guest=GuestOptions()))[0].testbed
    options = replace(chosen, plants=(PLANT.name,), disks=(Disk("files", path=image),))
    store = KernelStore(progress=silent())
    testbed = Testbed(options, store=store, artefacts=tmp_path / "guests", progress=silent())
    prepared = testbed.guests.prepare(("squashfs",), ())
    try:
        for _ in range(3):
            done = prepared.guest.run(["sh", "-c", _READ], seconds=120)
            assert done.status == 0, done.output
            checked = canary.check_beside_canary(prepared.guest, prepared.check)
            assert [record.size for record in checked.records] == [512]
            assert not checked.blind
    finally:
        prepared.guest.close()
        testbed.close()
