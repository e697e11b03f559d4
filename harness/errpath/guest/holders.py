"""Who holds a pointer into an object of the guest, watched from QEMU's side.

A plugin of QEMU's TCG (guests/plugin/holders.c) sees every store of the guest's kernel. The guest
itself is what it is without it, only slower.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from errpath.errors import InfrastructureError
from errpath.guest.ram import GuestRam
from errpath.util import process
from errpath.util.cache import cache_root, scratch_directory, store_bytes
from errpath.util.deadline import Deadline
from errpath.util.resources import GUESTS

__all__ = ["Change", "plugin_words", "read_changes"]

_SOURCE = GUESTS / "plugin" / "holders.c"
_FLAGS = ("-std=gnu11", "-O2", "-shared", "-fPIC", "-fvisibility=hidden", "-Wall", "-Wextra")
_FRAMES = 32
# struct record of the plugin.
_RECORD = struct.Struct(f"<II4Q{2 * _FRAMES}Q")


@dataclass(frozen=True)
class Change:
    """A word of the guest's memory that began or ceased to point into the object."""

    held: bool
    # The instruction that stored.
    pc: int
    # The word's virtual address, and its contents afterwards.
    address: int
    value: int
    # Which kernel stack was in use: its address divided by its size.
    stack: int
    # Call instructions, innermost first; and the last jump behind each, 0 where there was none.
    calls: tuple[int, ...]
    jumps: tuple[int, ...] = ()


def plugin_words(address: int, size: int, out: Path) -> Callable[[GuestRam], Sequence[str]]:
    """QEMU's words that have it watch an object of `size` bytes and write to the file `out`.

    Raises:
        InfrastructureError: the plugin does not compile.
        ToolMissingError: no compiler.
    """
    program = _plugin()

    def words(ram: GuestRam) -> Sequence[str]:
        options = f"ram={ram.fd},at={address:#x},size={size},out={out}"
        return ("-plugin", f"file={program},{options}")

    return words


def read_changes(out: Path) -> tuple[Change, ...]:
    """What the plugin wrote, in order; a record that was cut off is left out."""
    data = out.read_bytes()
    whole = len(data) - len(data) % _RECORD.size
    changes = []
    for held, frames, pc, address, value, stack, *words in _RECORD.iter_unpack(data[:whole]):
        calls, jumps = words[:frames], words[_FRAMES : _FRAMES + frames]
        changes.append(Change(bool(held), pc, address, value, stack, tuple(calls), tuple(jumps)))
    return tuple(changes)


def _plugin() -> Path:
    """The plugin, compiled once for its source."""
    source = _SOURCE.read_bytes()
    compiler = process.run(["gcc", "--version"]).stdout
    digest = hashlib.sha256(source + compiler + " ".join(_FLAGS).encode()).hexdigest()
    cached = cache_root() / "plugins" / f"{digest[:32]}.so"
    if not cached.exists():
        with scratch_directory() as scratch:
            out = scratch / "plugin.so"
            argv: list[str | Path] = ["gcc", *_FLAGS, "-o", out, _SOURCE]
            done = process.run(argv, check=False, deadline=Deadline.after(60, "the plugin"))
            if done.returncode:
                lines = done.stderr.decode(errors="replace").splitlines()
                first = next((line for line in lines if "error" in line), "does not compile")
                raise InfrastructureError(f"guests/plugin/holders.c: {first}")
            store_bytes(cached, out.read_bytes(), mode=0o755)
    return cached
