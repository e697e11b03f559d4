"""The in-guest agent's program and the initramfs around it."""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path

from elftools.elf.elffile import ELFFile

from errpath.guest import initramfs
from errpath.guest.program import guest_program
from errpath.util.cache import cache_root, store_bytes

__all__ = ["BUSYBOX", "agent_program", "build_initramfs", "find_busybox"]

# The host's static busybox, for `errpath shell` and for commands in the guest.
BUSYBOX = Path("/bin/busybox")

# Applets that a guest gets links for.
_APPLETS = [
    "sh",
    "ls",
    "cat",
    "echo",
    "mount",
    "umount",
    "dmesg",
    "ps",
    "kill",
    "mkdir",
    "rm",
    "cp",
    "mv",
    "ln",
    "grep",
    "sed",
    "awk",
    "head",
    "tail",
    "hexdump",
    "losetup",
    "insmod",
    "rmmod",
    "lsmod",
    "df",
    "stat",
    "sync",
    "sleep",
    "vi",
    "less",
    "find",
    "xargs",
    "dd",
    "blockdev",
    "mknod",
    "uname",
    "wc",
    "sort",
    "id",
    "true",
    "false",
    "touch",
    "poweroff",
    "reboot",
]


def agent_program() -> bytes:
    """The agent, compiled once for its sources and compiler.

    Raises:
        ToolMissingError: no compiler.
        InfrastructureError: it does not compile; the text names the first error.
    """
    return guest_program("agent", libraries=("jansson",))


def find_busybox() -> Path | None:
    """A static busybox of the host, or None."""
    if not BUSYBOX.is_file():
        return None
    with BUSYBOX.open("rb") as file:
        program = ELFFile(file)
        static = all(segment["p_type"] != "PT_INTERP" for segment in program.iter_segments())
    return BUSYBOX if static else None


def build_initramfs() -> Path:
    """The guest's initramfs in the cache, named by its content; made once in a process."""
    return _initramfs_in(cache_root())


@functools.cache
def _initramfs_in(root: Path) -> Path:
    entries = [
        *(initramfs.directory(name) for name in ("dev", "proc", "sys", "images", "mnt", "bin")),
        initramfs.device("dev/console", 5, 1),
        initramfs.device("dev/null", 1, 3),
        initramfs.file("init", agent_program(), mode=0o755),
    ]
    busybox = find_busybox()
    if busybox is not None:
        entries.append(initramfs.file("bin/busybox", busybox.read_bytes(), mode=0o755))
        entries += [initramfs.symlink(f"bin/{applet}", "busybox") for applet in _APPLETS]
    data = initramfs.newc(entries)
    name = hashlib.sha256(data).hexdigest()[:32]
    return store_bytes(root / "initramfs" / f"{name}.cpio", data)
