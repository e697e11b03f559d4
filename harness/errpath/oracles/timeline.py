"""The life of a lost object: allocated, held by, given up by, and where its last reference went.

From what QEMU saw of every store of the guest's kernel (`errpath.guest.holders`), by source lines.
Pure.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from errpath.guest.holders import Access, Change
from errpath.oracles.frames import base_name, first_named, is_helper

__all__ = [
    "Frame",
    "Holder",
    "Place",
    "Resolve",
    "Timeline",
    "call_chain",
    "is_of_filesystem",
    "is_own",
    "make_reference_timeline",
    "make_timeline",
    "of_filesystem",
    "own_place",
]


class Frame(Protocol):
    """One source position; `errpath.kernel.symbols.symbolizer.Frame` is one."""

    @property
    def function(self) -> str:
        """The function's name."""

    @property
    def file(self) -> str:
        """The file, below the root of the kernel's source."""

    @property
    def line(self) -> int:
        """The line in the file, from 1."""


# An absolute address, and whether it is the instruction itself → frames, innermost first.
Resolve = Callable[[int], Sequence[Frame]]
# A file and a line of it → the statement that begins there; "" where that is not known.
Source = Callable[[str, int], str]

_SLAB = ("mm/slub.c", "mm/slab_common.c", "mm/slab.h")
_KMEMLEAK = "mm/kmemleak.c"
_MADE = re.compile(r"_*(?:create|alloc|link)_object\w*|kmemleak_alloc\w*")
_FREED = re.compile(r"k[vz]?free\w*|kmem_cache_free\w*|vfree\w*|kvfree\w*|kfree_sensitive")
# Code that stores for whoever calls it: lists, trees, allocators, copies.
_GENERIC = (
    "include/",
    "lib/",
    "arch/",
    "mm/slub.c",
    "mm/slab",
    "mm/util.c",
    "mm/kmemleak.c",
    "mm/vmalloc.c",
    "kernel/rcu/",
    "kernel/locking/",
)
# The VFS has no directory of its own below fs/, iomap apart.
_FILESYSTEM = re.compile(r"fs/(?!iomap/)\w+/")
# Of the plugin's number of a stack.
_STACK_BITS = 14
# `sb->s_fs_info = fc->s_fs_info;`: what is stored to.
_TARGET = re.compile(r"^(?:[\w\s]*?\s)?(\*?(?:\w|->|\.|\[[^\]]*\]|\(\w+\)->)+)\s*=[^=]")
_LINKED = re.compile(r"\(\s*(&?[^,()]+(?:\([^()]*\))?[^,()]*)")


@dataclass(frozen=True)
class Place:
    """A position in the source, and what stands there."""

    function: str
    file: str
    line: int
    # The statement, in one line; "" where the source is not to be had.
    text: str = ""

    def __str__(self) -> str:
        return f"{self.function} ({self.file}:{self.line})" if self.line else self.function


@dataclass(frozen=True)
class Holder:
    """A word outside of any stack that pointed into the object for some time."""

    # As the source calls it, such as `fc->s_fs_info`.
    name: str
    address: int
    stored: Place
    # None while it still points there.
    gone: Place | None = None
    # It went because what holds it was freed, not because something else was stored.
    freed: bool = False
    # It went in another task than that of the allocation: a worker, an RCU callback.
    elsewhere: bool = False
    # Where among all changes it came, and went.
    began: int = 0
    ended: int = 0

    @property
    def with_all(self) -> bool:
        """Whether it went with all of what it was in, which was freed, or cleared: nobody asked
        what was in this word."""
        return self.freed or (self.gone is not None and self.gone.text.startswith("memset("))


@dataclass(frozen=True)
class Timeline:
    """One object from its allocation on."""

    address: int
    # Bytes.
    size: int
    allocated: Place
    # In the order in which they came.
    holders: tuple[Holder, ...]
    # Who freed the object, in order; none for a leaked one.
    frees: tuple[Place, ...] = ()
    # The filesystem's functions on the stack of the allocation, innermost first.
    way: tuple[str, ...] = ()

    @property
    def of_references(self) -> bool:
        """Whether it is of memory that no function allocated, such as the data of a module: what
        is lost are references to it. What still points there, such as the core's list of all, is
        as it should be."""
        return not self.allocated.line

    @property
    def last(self) -> Holder | None:
        """The holder that went last; None where one still points there, or none ever did."""
        gone = [one for one in self.holders if one.gone is not None]
        if not gone or (len(gone) < len(self.holders) and not self.of_references):
            return None
        return max(gone, key=lambda one: one.ended)

    @property
    def lost(self) -> Place:
        """Where the last reference disappeared: where it was given up, or, where only a stack ever
        held it, in the function that allocated it."""
        last = self.last
        return last.gone if last is not None and last.gone is not None else self.allocated

    @property
    def remaining(self) -> tuple[Holder, ...]:
        """Those that still point there: in memory that nothing reaches."""
        if self.of_references and self.last is not None:
            return ()
        return tuple(one for one in self.holders if one.gone is None)


def make_timeline(
    changes: Sequence[Change],
    address: int,
    size: int,
    allocator: Sequence[str],
    resolve: Resolve,
    source: Source,
) -> Timeline | None:
    """The timeline of the last object that was allocated at an address; None where none was.

    `allocator` are the functions of the stack that allocated it, innermost first, as kmemleak has
    them: without those that were inlined.
    """
    decoded = [_Decoded(change, tuple(call_chain(change, resolve))) for change in changes]
    births = [
        n
        for n, one in enumerate(decoded)
        if one.born and one.change.value == address and one.allocates(allocator)
    ]
    if not births:
        return None
    start = births[-1]
    birth = decoded[start]
    holders, frees = _holders(decoded[start:], start, address, size, birth.change.stack, source)
    return Timeline(address, size, birth.place(source), holders, frees, of_filesystem(birth.chain))


def make_reference_timeline(
    changes: Sequence[Change],
    address: int,
    size: int,
    owner: str,
    resolve: Resolve,
    source: Source,
) -> Timeline | None:
    """Who held pointers into memory that is never freed, such as the data of a module of which
    references are lost; None where none is. `owner` is what it is called."""
    decoded = [_Decoded(change, tuple(call_chain(change, resolve))) for change in changes]
    stacks = Counter(change.stack for change in changes)
    task = stacks.most_common(1)[0][0] if stacks else 0
    holders, _ = _holders(decoded, 0, address, size, task, source)
    return Timeline(address, size, Place(owner, "", 0), holders) if holders else None


def _holders(
    decoded: Sequence[_Decoded], start: int, address: int, size: int, stack: int, source: Source
) -> tuple[tuple[Holder, ...], tuple[Place, ...]]:
    """The words that pointed into an object, in the order in which they began to, and who freed
    it. `start` is the number of the first change, `stack` is that of the task in question."""
    found: dict[int, Holder] = {}
    done: list[Holder] = []
    frees: list[Place] = []
    for number, one in enumerate(decoded, start):
        change = one.change
        inside = address <= change.address < address + size
        # What is on the stack goes by itself; QEMU may have taken it for another's.
        if one.noted or inside or change.address >> _STACK_BITS == stack:
            continue
        if one.slab and change.held:
            # A free object is in a list of its slab's.
            if any(_FREED.fullmatch(frame.function) for frame in one.chain):
                frees.append(one.place(source))
            continue
        if change.held:
            place = one.place(source)
            name = _name(place) or f"the word at {change.address:#x}"
            found[change.address] = Holder(name, change.address, place, began=number)
        elif (holder := found.pop(change.address, None)) is not None:
            gone = one.place(source)
            done.append(
                replace(
                    holder,
                    gone=gone,
                    freed=one.slab,
                    elsewhere=change.stack != stack,
                    ended=number,
                )
            )
    every = sorted((*done, *found.values()), key=lambda holder: holder.began)
    return tuple(every), tuple(frees)


@dataclass(frozen=True)
class _Decoded:
    """A change with the source positions of its stack, innermost first."""

    change: Change
    chain: tuple[Frame, ...]

    @property
    def noted(self) -> bool:
        """Whether kmemleak stored it, for itself."""
        return any(frame.file == _KMEMLEAK for frame in self.chain[:8])

    @property
    def born(self) -> bool:
        return self.change.held and any(
            frame.file == _KMEMLEAK and _MADE.fullmatch(frame.function) for frame in self.chain
        )

    def allocates(self, functions: Sequence[str]) -> bool:
        """Whether this stack is that of an allocation, as far as kmemleak wrote it down."""
        named = first_named(functions)
        return any(base_name(frame.function) == named for frame in self.chain)

    @property
    def slab(self) -> bool:
        """Whether the slab allocator stored it: into free objects, or over one that it frees."""
        return any(frame.file in _SLAB for frame in self.chain[:8])

    def place(self, source: Source) -> Place:
        """The first position that is of whoever wanted the store."""
        return own_place(self.chain, source)


def is_own(frame: Frame) -> bool:
    """Whether a position is of whoever wanted a store, and not of code that stores for others."""
    return not (frame.file.startswith(_GENERIC) or is_helper(frame.function))


def own_place(
    chain: Sequence[Frame], source: Source, own: Callable[[Frame], bool] = is_own
) -> Place:
    """The first position of a stack that is of whoever wanted what the innermost did."""
    for frame in chain:
        if own(frame):
            text = source(frame.file, frame.line)
            return Place(base_name(frame.function), frame.file, frame.line, text)
    if not chain:
        return Place("unknown", "", 0)
    # All are of generic code: the outermost is nearest to who wanted it.
    last = chain[-1]
    return Place(base_name(last.function), last.file, last.line)


def is_of_filesystem(place: Place | Frame) -> bool:
    """Whether a position is of a filesystem, and not of the VFS."""
    return _FILESYSTEM.match(place.file) is not None


def of_filesystem(chain: Sequence[Frame]) -> tuple[str, ...]:
    """The functions of a stack that are a filesystem's, and not of the VFS, in its order."""
    own = filter(is_of_filesystem, chain)
    return tuple(dict.fromkeys(base_name(frame.function) for frame in own))


def call_chain(change: Change | Access, resolve: Resolve) -> Iterator[Frame]:
    """The source positions of a store's stack, innermost first, inlined functions too."""
    frames = tuple(resolve(change.pc))
    yield from frames
    for number, call in enumerate(change.calls):
        # A function that ended in a jump to the one that is shown has left no call.
        jump = change.jumps[number] if number < len(change.jumps) else 0
        tail = tuple(resolve(jump)) if jump else ()
        if tail and frames and tail[-1].function != frames[-1].function:
            yield from tail
        frames = tuple(resolve(call))
        yield from frames


def _name(place: Place) -> str:
    """What a statement stores to."""
    if match := _TARGET.match(place.text):
        return match[1].strip()
    if match := _LINKED.search(place.text):
        return f"{match[1].strip()} (in {place.text.partition('(')[0].split()[-1]})"
    return ""
