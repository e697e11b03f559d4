"""Where a value came from by which the kernel went wrong: who stored it last. Pure.

An oops names the instruction that followed a bad pointer, a warning the one behind a condition.
What was loaded before it (`errpath.guest.holders`) tells the word from which the value came; the
stores to that word tell who put it there.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from errpath.guest.holders import Access, What
from errpath.oracles.failure import Failure
from errpath.oracles.frames import base_name, is_helper
from errpath.oracles.timeline import Frame, Place, Resolve, Source, call_chain, own_place

__all__ = ["Crash", "Origin", "choose_load", "crash_of", "make_origin"]

_RIP = re.compile(
    r"(?m)^RIP: [0-9a-f]+:(?P<name>[A-Za-z_][\w.]*)\+0x(?P<offset>[0-9a-f]+)/0x(?P<size>[0-9a-f]+)"
    r"(?: \[(?P<module>[\w-]+)(?: [0-9a-f]+)?\])?"
)
_ADDRESS = re.compile(
    r"(?:address:? |non-canonical address |maybe for address )(?:0x)?([0-9a-f]{1,16})\b"
)
_CONDITION = re.compile(r"(?m)^(?:WARNING: |kernel BUG at )")
_REGISTER = re.compile(r"\bR[0-9A-Z]{1,2}: ([0-9a-f]{16})\b")
# What lies this far behind a pointer may be a member of what it points to.
_MEMBER_MAX = 1 << 14
_NEAR_NULL = 1 << 16
_FREES = re.compile(r"_*k[vz]?free\w*|_*kmem_cache_free\w*|_*vfree\w*|slab_free\w*|rcu_free\w*")
_SLAB = ("mm/slub.c", "mm/slab_common.c", "mm/slab.h")
# Functions of the way that are reported.
_WAY_MAX = 6


@dataclass(frozen=True)
class Crash:
    """The instruction at which the kernel found something wrong."""

    function: str
    offset: int
    size: int
    module: str | None
    # The pointer that could not be followed; None where a condition was false.
    pointer: int | None


@dataclass(frozen=True)
class Origin:
    """The word that held a bad value, and who stored it."""

    value: int
    # Where it was loaded, and what the source says there.
    loaded: Place
    # Who stored it; None where it was stored before the case.
    stored: Place | None
    # The functions on the stack of the store, innermost first, without helpers.
    way: tuple[str, ...] = ()
    # The memory that holds the word was freed, which is what stored the value.
    freed: bool = False


def crash_of(failure: Failure) -> Crash | None:
    """The instruction and the pointer of a failure's report; None where it has none."""
    text = failure.evidence
    match = _RIP.search(text)
    if match is None:
        return None
    pointer = None
    if not _CONDITION.search(text):
        pointer = _pointer(text)
        if pointer is None:
            return None
    elif is_helper(match["name"]):
        # The condition is of whoever called it.
        return None
    return Crash(
        match["name"], int(match["offset"], 16), int(match["size"], 16), match["module"], pointer
    )


def _pointer(text: str) -> int | None:
    """The pointer whose member could not be reached."""
    match = _ADDRESS.search(text)
    if match is None:
        return None
    address = int(match[1], 16)
    if address < _NEAR_NULL:
        return 0
    near = [
        value
        for value in (int(word, 16) for word in _REGISTER.findall(text))
        if 0 <= address - value < _MEMBER_MAX
    ]
    return max(near, default=address)


def choose_load(accesses: Sequence[Access], crash: Crash, resolve: Resolve) -> Access | None:
    """Of the loads before an instruction, in order, the one that brought the bad value; None where
    none did."""
    loads = [one for one in accesses if one.what is What.LOADED and not one.on_stack]
    wanted = base_name(crash.function)

    def inside(one: Access) -> bool:
        return any(base_name(frame.function) == wanted for frame in resolve(one.pc))

    if crash.pointer is None:
        return next((one for one in reversed(loads) if inside(one)), None)
    same = [one for one in loads if one.value == crash.pointer]
    own = [one for one in same if inside(one)] if crash.pointer < _NEAR_NULL else same
    return own[-1] if own else None


def make_origin(
    accesses: Sequence[Access], load: Access, *, first: bool, resolve: Resolve, source: Source
) -> Origin:
    """Who stored what was loaded, from the stores to its word, with marks where the instruction was
    reached: the last of these is the one in question or, with `first`, the first."""
    marks = [n for n, one in enumerate(accesses) if one.what is What.REACHED]
    end = (marks[0] if first else marks[-1]) if marks else len(accesses)
    stores = [one for one in accesses[:end] if one.what is What.STORED]
    loaded = own_place(tuple(resolve(load.pc)), source)
    if not stores:
        return Origin(load.value, loaded, None)
    chain = tuple(call_chain(stores[-1], resolve))
    way = [base_name(frame.function) for frame in chain if not is_helper(frame.function)]
    return Origin(
        load.value,
        loaded,
        own_place(chain, source),
        tuple(dict.fromkeys(way))[:_WAY_MAX],
        freed=_is_free(chain),
    )


def _is_free(chain: Sequence[Frame]) -> bool:
    return any(frame.file in _SLAB for frame in chain[:4]) and any(
        _FREES.fullmatch(frame.function) for frame in chain
    )
