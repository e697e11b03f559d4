"""kmemleak as mm/kmemleak.c has it, over objects that nothing refers to.

Rules: the first scan that sees an object only notes its checksum; an object is reported when it is
unreferenced and was older than the minimum age when the scan began; what was reported stays listed
until it is freed or greyed by `clear`; once disabled, a scan is refused with EPERM.
"""

from __future__ import annotations

import errno
from dataclasses import dataclass, field

__all__ = ["HZ", "KmemleakModel", "RefusedError"]

HZ = 250
_MIN_AGE = 5 * HZ
_FIRST_JIFFIES = 4294892296


class RefusedError(Exception):
    """A write that the kernel does not take."""

    def __init__(self, number: int) -> None:
        super().__init__(errno.errorcode[number])
        self.number = number


@dataclass
class _Object:
    address: int
    size: int
    comm: str
    pid: int
    jiffies: int
    backtrace: tuple[str, ...]
    seen: bool = False
    reported: bool = False
    grey: bool = False


@dataclass
class KmemleakModel:
    """One boot's kmemleak and its clock."""

    # SLUB's per-CPU sheaves keep stale pointers: what they point to counts as referenced.
    sheaves: bool = False
    disabled: bool = False
    # Whether task stacks are scanned; nothing here has its only reference there.
    stack: bool = True
    jiffies: int = _FIRST_JIFFIES
    # What was done, in order: "scan", "sleep 5.05", "read", "clear", "quiesce".
    history: list[str] = field(default_factory=list)
    _objects: list[_Object] = field(default_factory=list)
    _next: int = 0xFFFF888003C00000
    _scan_began: int = 0

    def leak(self, size: int, comm: str, pid: int, backtrace: tuple[str, ...]) -> int:
        """Lose an object; its address."""
        self._next += 0x1000
        self._objects.append(_Object(self._next, size, comm, pid, self.jiffies, backtrace))
        return self._next

    def free(self, address: int) -> None:
        """The object turns out to have been in use."""
        self._objects = [known for known in self._objects if known.address != address]

    def free_by(self, function: str) -> None:
        """Free whatever `function` allocated."""
        self._objects = [
            known for known in self._objects if not any(function in s for s in known.backtrace)
        ]

    def sleep(self, seconds: float) -> None:
        self.history.append(f"sleep {seconds:g}")
        self.jiffies += round(seconds * HZ)

    @property
    def monotonic_ms(self) -> int:
        """Since an hour after boot."""
        return 3_600_000 + (self.jiffies - _FIRST_JIFFIES) * 1000 // HZ

    def quiesce(self) -> None:
        self.history.append("quiesce")

    def write(self, command: str) -> None:
        """What is written to the debugfs file.

        Raises:
            RefusedError: kmemleak is disabled, or knows no such command.
        """
        self.history.append(command)
        if command == "clear":
            for known in self._objects:
                known.grey = known.grey or self._listed(known)
        elif command in ("stack=on", "stack=off"):
            self.stack = command == "stack=on"
        elif command == "scan":
            if self.disabled:
                raise RefusedError(errno.EPERM)
            self._scan()
        else:
            raise RefusedError(errno.EINVAL)

    def read(self) -> str:
        """All records, however many reads that takes."""
        self.history.append("read")
        return "".join(_text(known) for known in self._objects if self._listed(known))

    def _scan(self) -> None:
        # A scan takes a tick at least.
        self._scan_began = self.jiffies
        self.jiffies += 1
        for known in self._objects:
            if known.seen and self._unreferenced(known):
                known.reported = True
            known.seen = True

    def _unreferenced(self, known: _Object) -> bool:
        old_enough = known.jiffies + _MIN_AGE <= self._scan_began
        return old_enough and not known.grey and not self.sheaves

    def _listed(self, known: _Object) -> bool:
        return known.reported and self._unreferenced(known)


def _text(known: _Object) -> str:
    zeros = " ".join(["00"] * 16)
    frames = "".join(f"    {frame}\n" for frame in known.backtrace)
    return (
        f"unreferenced object 0x{known.address:08x} (size {known.size}):\n"
        f'  comm "{known.comm}", pid {known.pid}, jiffies {known.jiffies}\n'
        f"  hex dump (first 16 bytes):\n    {zeros}  ................\n"
        f"  backtrace (crc 0):\n{frames}"
    )
