"""A guest with nothing of errpath's but files that it is given: busybox and a script, no agent."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from errpath.guest import accel, initramfs
from errpath.guest.agent import find_busybox
from errpath.guest.definition import load_guest
from errpath.guest.qemu import QEMU
from errpath.kernel import BuiltKernel

# Run by busybox's init: the kernel runs no scripts (BINFMT_SCRIPT).
_SETUP = """/bin/busybox --install -s /bin
export PATH=/bin HOME=/
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mount -t tmpfs tmpfs /run
. /script 2>&1
reboot -f
"""
_INITTAB = "::sysinit:/bin/busybox sh /setup\n"


def run_plain_guest(
    kernel: BuiltKernel,
    script: str,
    files: Mapping[str, bytes],
    scratch: Path,
    *,
    boot_args: Sequence[str] | None = None,
    seconds: float = 600.0,
) -> str:
    """What the script prints on the console of a guest with `files`, which are all executable."""
    busybox = find_busybox()
    if busybox is None:
        pytest.skip("no static /bin/busybox (Debian package busybox-static)")
    definition = load_guest("microvm")
    entries = [
        *(initramfs.directory(name) for name in ("bin", "dev", "etc", "proc", "sys", "run")),
        initramfs.device("dev/console", 5, 1),
        initramfs.file("init", busybox.read_bytes(), mode=0o755),
        initramfs.file("etc/inittab", _INITTAB.encode()),
        initramfs.file("setup", _SETUP.encode()),
        initramfs.file("script", script.encode()),
        initramfs.symlink("bin/busybox", "/init"),
        *(initramfs.file(name, data, mode=0o755) for name, data in files.items()),
    ]
    archive = scratch / "initramfs"
    archive.write_bytes(initramfs.newc(entries))
    words = definition.boot_args if boot_args is None else boot_args
    chosen = accel.choose("auto")
    # reboot=t: a triple fault, which QEMU sees as the end.
    argv = [
        *(QEMU, "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"),
        *("-machine", definition.machine, "-accel", chosen, "-m", f"{definition.memory_mib}M"),
        *("-cpu", "host" if chosen == "kvm" else definition.cpu),
        *("-kernel", str(kernel.bzimage), "-initrd", str(archive)),
        *("-append", " ".join((*words, "reboot=t", "quiet"))),
        *("-serial", "stdio"),
    ]
    done = subprocess.run(
        argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=seconds, check=False
    )
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    return done.stdout.decode(errors="replace").replace("\r\n", "\n")
