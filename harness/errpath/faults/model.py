"""Faults as typed values: one call, one allocation, or one block request of a case's own task.

The kernel side is the module errpath_faults (guests/modules/faults): it counts what matches a fault
and has the nth give a failure instead of running.
"""

from __future__ import annotations

import re
from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar, Protocol

from errpath.util.errnos import errno_name, errno_value

__all__ = [
    "ALLOCATORS",
    "KINDS",
    "Alloc",
    "Both",
    "Call",
    "Fault",
    "Flush",
    "Read",
    "Recording",
    "Single",
    "Write",
    "parts",
    "return_value",
]

# Numbers of the module's kinds.
KINDS = ("slab", "page", "percpu", "read", "write", "flush", "call", "vmalloc")
ALLOCATORS = (*KINDS[:3], "vmalloc")
# How a request can end that is failed, by the module's numbers: an error; success, with zeroes
# read; success, with nothing written; an error, and the disk is gone from then on.
_ENDINGS = ("error", "zeroes", "lost", "gone")

_NAME = re.compile(r"[A-Za-z_][\w.]*")
_CHAIN = re.compile(r"[0-9a-f]{1,16}|")
# What a hook returns for a failure: should_failslab() an errno, should_fail_alloc_page() true,
# pcpu_alloc_noprof() and __vmalloc_node_range_noprof() NULL.
_HOOK_RETVAL = {"slab": -12, "page": 1, "percpu": 0, "vmalloc": 0}


class Fault(Protocol):
    """What a case may force."""

    @property
    def function(self) -> str:
        """The function that must be there to be failed; "" where the kernel always has it."""

    @property
    def errno(self) -> str:
        """Name of the errno that the armed step gives, as far as that can be known; else ""."""

    @property
    def times(self) -> int:
        """How many calls fail; 0 for all."""

    @property
    def id(self) -> str:
        """What is forced, as part of a case's id."""

    @property
    def text(self) -> str:
        """What is forced, for a report."""

    def as_request(self) -> dict[str, Any]:
        """The agent's form."""


def return_value(text: str) -> int:
    """The value that a function's forced return has in its register.

    `text` is an errno's name (`EIO`, returned as -EIO), `ERR_PTR(EIO)`, `NULL`, `false`, `true`, or
    a number that is not negative.

    Raises:
        ValueError: it is none of these.
    """
    if text in ("NULL", "false"):
        return 0
    if text == "true":
        return 1
    if text.isdecimal():
        return int(text)
    match = re.fullmatch(r"ERR_PTR\((\w+)\)|(E\w+)", text)
    if match is None:
        raise ValueError(
            f"retval: got {text!r}; expected EIO, ERR_PTR(EIO), NULL, true, false or a number"
        )
    return -errno_value(match[1] or match[2])


def _command(
    kind: str, function: str, nth: int, times: int, chain: str, retval: int, caller: str = ""
) -> dict[str, Any]:
    words = ["fail", KINDS.index(kind), function or "-", nth, times, chain or "0", retval, caller]
    return {"arm": " ".join(map(str, words)).strip()}


def _check(nth: int, times: int, chain: str = "") -> None:
    if nth < 1:
        raise ValueError(f"nth: got {nth}; expected at least 1")
    if times < 0:
        raise ValueError(f"times: got {times}; expected at least 1, or 0 for every one from nth on")
    if not _CHAIN.fullmatch(chain):
        raise ValueError(f"chain: got {chain!r}; expected a hash of up to 16 hexadecimal digits")


def _check_name(what: str, name: str) -> None:
    if not _NAME.fullmatch(name):
        raise ValueError(f"{what}: got {name!r}; expected a C function's name")


def _below(caller: str) -> str:
    return f" below {caller}" if caller else ""


def _below_id(caller: str) -> str:
    return f"-below-{caller}" if caller else ""


@dataclass(frozen=True)
class Call:
    """Have the nth call of `function` return `retval` instead of running."""

    # Name as in /proc/kallsyms, of the kernel or of a module that the case's guest has.
    function: str
    # As `return_value` takes it; a number from the module errno stands for its name.
    retval: str | int = "EIO"
    _: KW_ONLY
    # From 1; counted over the steps that it is armed in.
    nth: int = 1
    # How many calls from the nth on fail; 0 for all of them.
    times: int = 1
    # Only calls below a function of this name count.
    caller: str = ""

    def __post_init__(self) -> None:
        if isinstance(self.retval, int):
            name = errno_name(self.retval).removeprefix("-")
            errno_value(name)
            object.__setattr__(self, "retval", name)
        _check_name("function", self.function)
        if self.caller:
            _check_name("caller", self.caller)
        _check(self.nth, self.times)
        return_value(self.value)

    @property
    def value(self) -> str:
        """`retval` by name."""
        return str(self.retval)

    @property
    def errno(self) -> str:
        """Name of the errno in the value, "" where the value has none."""
        match = re.search(r"E[A-Z]+\d*\b(?!_)", self.value.removeprefix("ERR_PTR"))
        return match[0] if match else ""

    @property
    def id(self) -> str:
        """Such as `sb_bread-NULL-2-below-hfs_mdb_get`: a part of case ids."""
        value = re.sub(r"\W+", "-", self.value).strip("-")
        return f"{self.function}-{value}{_id(self.nth, self.times)}{_below_id(self.caller)}"

    @property
    def text(self) -> str:
        """For reports, such as `sb_bread = NULL, 2nd call below hfs_mdb_get`."""
        value = f"-{self.value}" if re.fullmatch(r"E\w+", self.value) else self.value
        if (self.nth, self.times, self.caller) == (1, 1, ""):
            return f"{self.function} = {value}"
        return f"{self.function} = {value}, {_nth(self.nth, self.times)} call{_below(self.caller)}"

    def as_request(self) -> dict[str, Any]:
        """The agent's form (docs/agent-protocol.md)."""
        value = return_value(self.value)
        return _command("call", self.function, self.nth, self.times, "", value, self.caller)


@dataclass(frozen=True)
class Alloc:
    """Have the nth allocation fail.

    Those that may not fail (__GFP_NOFAIL) and kmemleak's own do not count, nor do the pages that
    the slab allocator takes: to fail one of them is to fail what it was taken for.
    """

    nth: int = 1
    # One of ALLOCATORS. vmalloc() as a whole, or the slab objects and pages that it takes.
    kind: str = "slab"
    times: int = 1
    # Only allocations of this call chain count: its hash in a recording of the same build.
    chain: str = ""
    # Only allocations below a function of this name count.
    caller: str = ""

    function: ClassVar[str] = ""
    errno: ClassVar[str] = "ENOMEM"

    def __post_init__(self) -> None:
        if self.kind not in ALLOCATORS:
            raise ValueError(f"kind: got {self.kind!r}; expected one of: {', '.join(ALLOCATORS)}")
        if self.caller:
            _check_name("caller", self.caller)
        _check(self.nth, self.times, self.chain)

    @property
    def id(self) -> str:
        """Such as `slab-alloc-3`: a part of case ids."""
        times = _id(1, self.times)
        return f"{self.kind}-alloc-{self.nth}{times}{_below_id(self.caller)}{_chain_id(self.chain)}"

    @property
    def text(self) -> str:
        """For reports, such as `3rd slab allocation fails`."""
        what = f"{self.kind} allocation{_below(self.caller)}{_of(self.chain)}"
        return f"{_nth(self.nth, self.times)} {what} fails"

    def as_request(self) -> dict[str, Any]:
        """The agent's form (docs/agent-protocol.md)."""
        retval = _HOOK_RETVAL[self.kind]
        return _command(self.kind, "", self.nth, self.times, self.chain, retval, self.caller)


@dataclass(frozen=True)
class _Request:
    """Have the nth block request of a direction fail; it never reaches the device."""

    nth: int = 1
    # How many fail from the nth on, after which the device is good again; 0 for all.
    times: int = 1
    # As in `Alloc`.
    chain: str = ""
    _: KW_ONLY
    # How it ends: "error" is -EIO; "zeroes", of a read, success with nothing but zeroes; "lost", of
    # a write or a flush, success with nothing done; "gone" is -EIO, also for every later request of
    # anybody to the disk, until the case's end.
    result: str = "error"
    # Only requests that have one of these sectors of 512 bytes count: first and last.
    sectors: tuple[int, int] | None = None

    kind: ClassVar[str] = ""
    function: ClassVar[str] = ""

    def __post_init__(self) -> None:
        _check(self.nth, self.times, self.chain)
        known = ("error", "zeroes" if self.kind == "read" else "lost", "gone")
        if self.result not in known:
            raise ValueError(f"result: got {self.result!r}; expected one of: {', '.join(known)}")
        if self.sectors is not None and not 0 <= self.sectors[0] <= self.sectors[1]:
            raise ValueError(f"sectors: got {self.sectors}; expected the first and the last")
        if self.sectors is not None and self.sectors[1] < 1:
            raise ValueError(f"sectors: got {self.sectors}; expected a last one of at least 1")

    def __init_subclass__(cls, *, kind: str) -> None:
        super().__init_subclass__()
        cls.kind = kind

    @property
    def errno(self) -> str:
        return "EIO" if self.result in ("error", "gone") else ""

    @property
    def id(self) -> str:
        where = "-at-{}-{}".format(*self.sectors) if self.sectors else ""
        how = "" if self.result == "error" else f"-{self.result}"
        return f"{self.kind}-{self.nth}{_id(1, self.times)}{_chain_id(self.chain)}{where}{how}"

    @property
    def text(self) -> str:
        where = " to sectors {} to {}".format(*self.sectors) if self.sectors else ""
        ends = {
            "error": "= -EIO",
            "zeroes": "gives zeroes",
            "lost": "does nothing and succeeds",
            "gone": "and all later ones = -EIO: the device is gone",
        }
        return (
            f"{_nth(self.nth, self.times)} {self.kind} request{_of(self.chain)}{where} "
            f"{ends[self.result]}"
        )

    def as_request(self) -> dict[str, Any]:
        where = "{}-{}".format(*self.sectors) if self.sectors else ""
        ending = _ENDINGS.index(self.result)
        return _command(self.kind, where, self.nth, self.times, self.chain, ending)


class Read(_Request, kind="read"):
    """The nth read that the case's task submits fails."""


class Write(_Request, kind="write"):
    """The nth write that the case's task submits fails."""


class Flush(_Request, kind="flush"):
    """The nth flush of the device's cache that the case's task submits fails."""


Single = Alloc | Call | Read | Write | Flush


@dataclass(frozen=True)
class Both:
    """Two faults in the same steps, such as an allocation that fails behind a failed read."""

    first: Single
    second: Single

    function: ClassVar[str] = ""

    def __post_init__(self) -> None:
        if self.first == self.second:
            raise ValueError(f"second: got {self.second.text} again; expected another fault")

    @property
    def errno(self) -> str:
        """The second fault's, else the first's; empty where neither names one."""
        return self.second.errno or self.first.errno

    @property
    def times(self) -> int:
        """How often both fail at least."""
        return min(self.first.times, self.second.times)

    @property
    def id(self) -> str:
        """Both ids, the first first."""
        return f"{self.first.id}-and-{self.second.id}"

    @property
    def text(self) -> str:
        """What fails, for a reader."""
        return f"{self.first.text}; {self.second.text}"

    def as_request(self) -> dict[str, Any]:
        """The agent's form: the lines of both, in order."""
        both = (self.first.as_request(), self.second.as_request())
        return {"arm": "\n".join(each["arm"] for each in both)}


def parts(fault: Fault) -> tuple[Fault, ...]:
    """The single faults of one, in order."""
    return (fault.first, fault.second) if isinstance(fault, Both) else (fault,)


@dataclass(frozen=True)
class Recording:
    """What could fail is recorded (`errpath.faults.chains`)."""

    kinds: tuple[str, ...] = KINDS
    # Calls of kernel threads are recorded as well.
    threads: bool = False
    # What fails meanwhile; None: nothing.
    behind: Fault | None = None

    function: ClassVar[str] = ""
    errno: ClassVar[str] = ""
    times: ClassVar[int] = 0
    id: ClassVar[str] = "recording"
    text: ClassVar[str] = "nothing: a recording"

    def as_request(self) -> dict[str, Any]:
        """The agent's form: a mask of kinds, bit n the nth of KINDS, bit 31 for threads; and what
        fails meanwhile."""
        words = [
            f"record {sum(1 << KINDS.index(kind) for kind in self.kinds) | self.threads << 31}"
        ]
        if self.behind is not None:
            words.append(self.behind.as_request()["arm"])
        return {"arm": "\n".join(words)}


def _nth(nth: int, times: int) -> str:
    ending = {1: "st", 2: "nd", 3: "rd"}.get(nth % 10 if nth % 100 // 10 != 1 else 0, "th")
    more = "" if times == 1 else " and every further" if not times else f" and {times - 1} further"
    return f"{nth}{ending}{more}"


def _id(nth: int, times: int) -> str:
    """What of an ordinary fault's counts is part of an id: nothing of the first call alone."""
    more = "" if times == 1 else f"-times-{times}" if times else "-every"
    return (f"-{nth}" if nth > 1 else "") + more


def _chain_id(chain: str) -> str:
    return f"-{chain}" if chain else ""


def _of(chain: str) -> str:
    return f" of call chain {chain}" if chain else ""
