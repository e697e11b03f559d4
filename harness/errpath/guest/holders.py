"""Who holds a pointer into an object of the guest, and who stores to a word, seen from QEMU's side.

A plugin of QEMU's TCG (guests/plugin/holders.c) sees every store of the guest's kernel. The guest
itself is what it is without it, only slower.
"""

from __future__ import annotations

import enum
import hashlib
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from errpath.errors import InfrastructureError
from errpath.guest.ram import GuestRam
from errpath.util import process
from errpath.util.cache import cache_root, scratch_directory, store_bytes
from errpath.util.deadline import Deadline
from errpath.util.resources import GUESTS

__all__ = [
    "Access",
    "Change",
    "What",
    "plugin_words",
    "read_accesses",
    "read_changes",
    "watch_instruction",
    "watch_word",
]

_SOURCE = GUESTS / "plugin" / "holders.c"
_FLAGS = ("-std=gnu11", "-O2", "-shared", "-fPIC", "-fvisibility=hidden", "-Wall", "-Wextra")
_FRAMES = 32
# Bytes of a kernel stack, as a power of two.
_STACK_BITS = 14
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


class What(enum.Enum):
    """What an `Access` is."""

    STORED = 2
    LOADED = 3
    # The instruction that is watched for is about to be executed.
    REACHED = 4


@dataclass(frozen=True)
class Access:
    """A store to the watched word, a load, or the watched instruction."""

    what: What
    pc: int
    # Virtual; 0 for an instruction.
    address: int
    # What the word holds after the store; what was loaded.
    value: int
    stack: int
    # As of a `Change`; () for loads.
    calls: tuple[int, ...] = ()
    jumps: tuple[int, ...] = ()

    @property
    def on_stack(self) -> bool:
        """Whether the address is on the stack in use."""
        return self.address >> _STACK_BITS == self.stack


Words = Callable[[GuestRam], Sequence[str]]


def plugin_words(address: int, size: int, out: Path) -> Words:
    """QEMU's words that have it watch an object of `size` bytes and write to the file `out`.

    Raises:
        InfrastructureError: the plugin does not compile.
        ToolMissingError: no compiler.
    """
    return _words(f"at={address:#x},size={size}", out)


def watch_word(address: int, out: Path, *, pc: int = 0, first: bool = False, end: int = 0) -> Words:
    """The same for the stores to the eight bytes at an address, and for each time that the
    instruction at `pc` is about to be executed before the one at `end` is; with `first`, the first
    of them only."""
    return _words(f"word={address:#x}{_until(pc, first=first, end=end)}", out)


def watch_instruction(pc: int, out: Path, *, first: bool = False, end: int = 0) -> Words:
    """The same for what the kernel loads before the instruction at `pc`: the last time that it is
    executed before the one at `end` is or, with `first`, the first."""
    return _words(_until(pc, first=first, end=end).removeprefix(","), out)


def _until(pc: int, *, first: bool, end: int) -> str:
    stop = f",end={end:#x}" if end else ""
    return f",pc={pc:#x}{',once=on' if first else ''}{stop}" if pc else ""


def _words(options: str, out: Path) -> Words:
    program = _plugin()
    return lambda ram: ("-plugin", f"file={program},ram={ram.fd},{options},out={out}")


def read_changes(out: Path) -> tuple[Change, ...]:
    """What the plugin wrote, in order; a record that was cut off is left out."""
    return tuple(Change(bool(held), *rest) for held, rest in _records(out))


def read_accesses(out: Path) -> tuple[Access, ...]:
    """What the plugin wrote of a word or an instruction, in order."""
    return tuple(Access(What(what), *rest) for what, rest in _records(out))


# The fields of a `Change` or an `Access` behind the first, in their order.
_Fields = tuple[int, int, int, int, tuple[int, ...], tuple[int, ...]]


def _records(out: Path) -> Iterator[tuple[int, _Fields]]:
    """What each record is (enum what of the plugin), and the rest of it."""
    data = out.read_bytes()
    whole = len(data) - len(data) % _RECORD.size
    for what, frames, pc, address, value, stack, *words in _RECORD.iter_unpack(data[:whole]):
        calls, jumps = words[:frames], words[_FRAMES : _FRAMES + frames]
        yield what, (pc, address, value, stack, tuple(calls), tuple(jumps))


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
