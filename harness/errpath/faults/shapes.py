"""What a function can return when it fails, from its definition in the kernel's source.

The guests' debug information has no types (DEBUG_INFO_REDUCED), and types alone would not say
whether a pointer's failure is NULL or an ERR_PTR(); the source says both.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from errpath.errors import UsageError

__all__ = ["ARTEFACTS", "Shape", "artefact", "check_retval", "definition_at", "shape_of"]

# Functions that are not failed by force, and why: their callers rely on what they do besides
# returning. A list that is closed: a function that is not in it is failed.
ARTEFACTS = {
    r"\w*_(?:read_folio|readahead|readpage|writepages?|write_folio)": (
        "leaves its folio locked; what waits for the folio later hangs"
    ),
    r"\w*(?:_lock|_trylock|_lock_\w+|_unlock|_ilock|_iunlock)(?:_nowait|_killable)?": (
        "takes or drops a lock that its caller counts on"
    ),
    r"\w*_(?:wait|wait_\w+|sleep|schedule)": "waits for something that its caller counts on",
    r"\w*_(?:end_io|endio|iodone|end_bio)": "ends a request that a task waits for",
    r"\w*_(?:thread|threadfn|kthread|worker|work_fn|daemon)": "is the body of a thread",
    r"\w*_(?:put|free|release|destroy|cleanup|shutdown|stop|close|unregister|exit)(?:_\w+)?": (
        "gives something back; its caller cannot do so in its place"
    ),
    r"\w*_(?:evict_inode|put_super|kill_sb|drop_inode|destroy_inode|free_inode)": (
        "takes something down; its caller cannot do so in its place"
    ),
    r"\w*_read_bh(?:_nowait|_lock)?|jbd2_write_superblock|lbm(?:IOWait|Write|Read)": (
        "takes a locked buffer, which its end unlocks"
    ),
    r"(?:jbd2_journal_stop|__ext4_journal_stop|\w*_trans_cancel|gfs2_trans_end|\w*_abort)": (
        "ends a transaction that it was given"
    ),
    r"\w*(?:cmp|compare|compare_\w+|_hash|_key|_bit|_count|_size|_len|_nr|_order|_shift|_bits)": (
        "gives a number, not an errno"
    ),
}

_ATTRIBUTES = re.compile(
    r"\b(?:static|inline|__always_inline|noinline|noinline_for_stack|__init|__cold|__must_check|"
    r"__printf\([^)]*\)|extern|asmlinkage|STATIC|__maybe_unused|__attribute__\s*\(\(.*?\)\)|"
    r"__releases\([^)]*\)|__acquires\([^)]*\)|__sched|__pure|__attribute_const__)(?!\w)"
)
# Types of the kernel that are ints by another name, and can hold an errno.
_INTS = frozenset({"int", "long", "ssize_t", "s32", "s64", "loff_t", "signed int", "vm_fault_t"})
_UNSIGNED = frozenset(
    {"unsigned int", "unsigned", "unsigned long", "u8", "u16", "u32", "u64", "size_t", "sector_t"}
)
# The head of a definition in kernel style: what is before its name, and the name.
_ANY_HEAD = r"(?P<before>^[A-Za-z_][\w\s*]*?[\s*])(?P<name>\w+)\s*\((?!\()"
_ERRNO = re.compile(r"-E[A-Z]{2,}\w*|\bPTR_ERR|\b(?:err|error|ret|retval|rc|res|result|status)\b")


@dataclass(frozen=True)
class Shape:
    """How a function fails."""

    # Its return type as written, without storage class.
    type: str
    # What it can be forced to return, as `errpath.faults.model.return_value` takes it; empty: it
    # cannot fail.
    retvals: tuple[str, ...]
    # Why it cannot, else "".
    reason: str = ""
    # What its type allows and what is no failure: success without its work, or neither.
    values: tuple[str, ...] = ()


def artefact(function: str) -> str:
    """Why a forced failure of a function says nothing of the kernel, or ""."""
    for pattern, reason in ARTEFACTS.items():
        if re.fullmatch(pattern, function):
            return reason
    return ""


def definition_at(text: str, function: str, line: int) -> str:
    """The definition of a function, from its return type to the brace at the first column that
    ends it; "" where none is found. `line` is one of its lines, from 1. One that a macro renames,
    as hfsplus does with what it has in common with hfs, is found by its line."""
    lines = text.splitlines()
    named = _definition(lines, rf"\b{re.escape(function)}\s*\(", line)
    if named:
        return named
    # Of another name: the line must be one of its head, or the opening brace.
    if any(text.startswith("{") for text in _above(lines, line)):
        return ""
    found = _definition(lines, _ANY_HEAD, line)
    return re.sub(_ANY_HEAD, rf"\g<before>{function}(", found, count=1)


def _above(lines: list[str], line: int) -> list[str]:
    """The lines from the last that begins in the first column, the line itself apart, down to it:
    what a head is made of."""
    at = line - 2
    while at > 0 and lines[at][:1] in ("\t", " "):
        at -= 1
    return lines[max(at, 0) : line - 1]


def _definition(lines: list[str], pattern: str, line: int) -> str:
    # The line of a function's first instruction is that of its name or of its opening brace.
    for at in range(min(line, len(lines)) - 1, max(-1, line - 16), -1):
        if lines[at][:1] in ("\t", " ", "") or not re.search(pattern, lines[at]):
            continue
        first = at
        # The return type may stand on lines of its own.
        while first > 0 and re.match(r"[A-Za-z_][\w\s*]*$", lines[first - 1]):
            first -= 1
        last = at
        while last < len(lines) - 1 and lines[last].rstrip() != "}":
            last += 1
        return "\n".join(lines[first : last + 1])
    return ""


def shape_of(definition: str, function: str) -> Shape:
    """How a function fails, from its definition."""
    head, _, body = definition.partition("{")
    before = re.split(rf"\b{re.escape(function)}\s*\(", head)[0]
    kind = " ".join(_ATTRIBUTES.sub(" ", before).replace("*", " * ").split())
    if not kind:
        return Shape("", (), "its definition was not found in the source")
    if kind == "void":
        return Shape(kind, (), "returns nothing")
    if kind.endswith("*"):
        if re.search(r"\bERR_(?:PTR|CAST)\b", body):
            return Shape(kind, ("ERR_PTR(EIO)",), values=("NULL",))
        if re.search(r"\bNULL\b|return\s+\w*(?:alloc|get|find|bread|lookup)\w*\(", body):
            return Shape(kind, ("NULL",))
        return Shape(kind, (), "neither NULL nor an ERR_PTR() is in it")
    if kind in _INTS:
        if _ERRNO.search(body):
            return Shape(kind, ("EIO",), values=("0", "1"))
        return Shape(kind, (), "no errno is in it", ("0", "1"))
    if kind == "bool":
        reason = "a bool: neither value is a failure by itself"
        return Shape(kind, (), reason, ("false", "true"))
    return Shape(kind, (), f"returns {kind}, which holds no errno")


def check_retval(function: str, shape: Shape, retval: str) -> None:
    """See that a function's type allows what it is to return.

    Raises:
        UsageError: it does not.
    """
    value = "pointer" if retval == "NULL" or retval.startswith("ERR_PTR") else retval
    expected = "nothing"
    if shape.type.endswith("*"):
        # An errno is ERR_PTR() of it: both are the same in a register.
        fits = value == "pointer" or value.startswith("E")
        expected = "NULL, an errno's name or ERR_PTR(EIO)"
    elif shape.type == "bool":
        fits, expected = value in ("true", "false"), "true or false"
    elif shape.type == "void":
        fits = False
    elif shape.type in _INTS:
        fits, expected = value.startswith("E") or value.isdecimal(), "an errno's name or a number"
    elif shape.type in _UNSIGNED:
        fits, expected = value.isdecimal(), "a number"
    else:
        # A name that says nothing here, such as one of an attribute.
        fits = value != "pointer"
        expected = "an errno's name or a number"
    if not fits:
        raise UsageError(
            f"{function}: got {retval}; it returns {shape.type or 'an unknown type'}: "
            f"expected {expected}"
        )
