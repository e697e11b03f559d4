"""A shell in a prepared guest: in the initramfs, or in a Debian root on a disk."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from errpath.errors import InfrastructureError
from errpath.guest.machine import Guest, ProgramOutput
from errpath.oracles.kmemleak import SCAN_FILE
from errpath.util.process import last_line

__all__ = ["ROOT_DISK", "SCRATCH_DISK", "TEST_DISK", "GuestShell", "enter_initramfs", "enter_root"]

# Serials of the disks.
ROOT_DISK = "root"
TEST_DISK = "test"
SCRATCH_DISK = "scratch"

_ENVIRONMENT = (
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    *("HOME=/root", "USER=root", "LOGNAME=root", "TERM=dumb", "LC_ALL=C", "SHELL=/bin/bash"),
    # The guest has no udev: libdevmapper makes the nodes in /dev/mapper itself.
    "DM_DISABLE_UDEV=1",
)
_ROOT = "/debian"
_DISKS = 'for d in /sys/block/vd*; do echo "$(cat $d/serial) /dev/${d##*/}"; done'
# busybox's shell, word by word: the kernel runs no scripts before there is a root. The links in
# /dev are udev's elsewhere; `<(command)` of bash needs them.
_MOUNT = f"""set -e
mkdir -p /lower /upper {_ROOT}
mount -t squashfs -o ro $DISK /lower
mount -t tmpfs tmpfs /upper
mkdir /upper/new /upper/work
mount -t overlay -o lowerdir=/lower,upperdir=/upper/new,workdir=/upper/work overlay {_ROOT}
mount -t proc proc {_ROOT}/proc
mount -t sysfs sysfs {_ROOT}/sys
mount -t debugfs debugfs {_ROOT}/sys/kernel/debug
# A suite that looks for leaks itself clears what it has found, and ours would find nothing: for it,
# kmemleak is a file that even root cannot write.
if [ -e {_ROOT}{SCAN_FILE} ]; then mount -o bind /lower/etc/issue {_ROOT}{SCAN_FILE}; fi
mount -o bind /dev {_ROOT}/dev
mkdir -p {_ROOT}/dev/pts {_ROOT}/dev/shm
mount -t devpts devpts {_ROOT}/dev/pts
mount -t tmpfs tmpfs {_ROOT}/dev/shm
mount -t tmpfs tmpfs {_ROOT}/tmp
mount -t tmpfs tmpfs {_ROOT}/run
# Programs of a test may talk over it; a kernel without INET has none.
ifconfig lo up 2> /dev/null || :
echo "127.0.0.1 localhost" > {_ROOT}/etc/hosts
ln -sfn /proc/self/fd /dev/fd
ln -sfn fd/0 /dev/stdin
ln -sfn fd/1 /dev/stdout
ln -sfn fd/2 /dev/stderr
"""


@dataclass(frozen=True)
class GuestShell:
    """Runs scripts in a guest."""

    guest: Guest
    # Words before a script's text.
    enter: tuple[str, ...]
    # Where the guest's agent finds what the shell has in /.
    root: str
    # Device by serial.
    disks: Mapping[str, str]
    # Runs before every script, in the same shell.
    first: str = ""

    def run(self, script: str, *, seconds: float) -> ProgramOutput:
        """Run a script to its end.

        Raises:
            AgentError: it did not end in time (ETIMEDOUT), or could not be started.
            GuestPoisonedError: the guest did not survive.
        """
        return self.guest.run([*self.enter, self.first + script], seconds=seconds)

    def check(self, script: str, *, seconds: float) -> str:
        """The output of a script that must not fail.

        Raises:
            InfrastructureError: it failed; the text has its last line.
        """
        done = self.run(script, seconds=seconds)
        if done.status != 0:
            printed = last_line(done.output)
            raise InfrastructureError(f"in the guest: {script.splitlines()[0]}: {printed}")
        return done.output

    def write(self, path: str, data: bytes | str, *, mode: int = 0o644) -> None:
        """Write a file below the shell's root."""
        self.guest.write_file(f"{self.root}{path}", data, mode=mode)


def _disks(guest: Guest) -> dict[str, str]:
    lines = guest.run(["sh", "-c", _DISKS]).output.splitlines()
    words = [line.split() for line in lines]
    return {pair[0]: pair[1] for pair in words if len(pair) == 2}


def enter_initramfs(guest: Guest) -> GuestShell:
    """busybox's shell where the agent is."""
    return GuestShell(guest, ("sh", "-c"), "", _disks(guest))


def enter_root(guest: Guest) -> GuestShell:
    """bash in the root on the disk `ROOT_DISK`, under an overlay in memory.

    Raises:
        InfrastructureError: there is no such disk, or the kernel cannot mount it.
    """
    disks = _disks(guest)
    if ROOT_DISK not in disks:
        raise InfrastructureError(f"the guest has no disk {ROOT_DISK}; it has {sorted(disks)}")
    done = guest.run(["sh", "-c", f"DISK={disks[ROOT_DISK]}\n{_MOUNT}"])
    if done.status != 0:
        raise InfrastructureError(f"the guest's root: {done.output.strip()}")
    # The agent ignores SIGPIPE, and what it starts would as well.
    env = ("/usr/bin/env", "-i", "--default-signal=PIPE", *_ENVIRONMENT)
    words = ("busybox", "chroot", _ROOT, *env, "/bin/bash", "-c")
    return GuestShell(guest, words, _ROOT, disks)
