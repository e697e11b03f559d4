"""What makes two failures the same failure, from a verdict. Pure.

Addresses, offsets, counts, times and task numbers change from run to run; function names, sizes
and errno names do not. A signature is short text that people can read and compare.
"""

from __future__ import annotations

import re

from errpath.kernel.log import Crash
from errpath.runner.verdict import Status, Verdict

__all__ = ["of_text", "signature"]

# kmemleak_alloc and the allocator's own frames stand in every backtrace.
_ALLOCATORS = ("kmemleak", "__kmalloc", "kmem_cache_alloc", "kmalloc", "kzalloc", "slab_", "__do_k")
# So many functions of a backtrace name a leak.
_DEPTH = 4
_HEX = re.compile(r"\b(?:0x)?[0-9a-f]{8,16}\b")
_OFFSET = re.compile(r"\+0x[0-9a-f]+(?:/0x[0-9a-f]+)?")
_NUMBER = re.compile(r"(?<![\w.])\d+(?![\w.])")
_RIP = re.compile(r"RIP: [0-9a-fx]+:([\w.]+)")


def signature(verdict: Verdict) -> str:
    """The signature of a verdict; empty for a pass."""
    if verdict.status is Status.PASS:
        return ""
    parts = [_crash(crash) for crash in verdict.crashes]
    if verdict.leak is not None:
        parts += sorted(
            {_leak(record.size, record.signature[1]) for record in verdict.leak.records}
        )
    if not parts:
        parts = [of_text(verdict.reasons[0]) if verdict.reasons else verdict.status.value]
    return "; ".join(dict.fromkeys(parts))


def _leak(size: int, functions: tuple[str, ...]) -> str:
    own = [name for name in functions if not name.startswith(_ALLOCATORS)]
    return f"leak {size} < {' < '.join(own[:_DEPTH])}"


def _crash(crash: Crash) -> str:
    where = _RIP.search(crash.text)
    return f"{crash.kind} {of_text(crash.title)}" + (f" in {where[1]}" if where else "")


def of_text(text: str) -> str:
    """One line without what changes from run to run."""
    text = _OFFSET.sub("", text)
    text = _HEX.sub("X", text)
    return _NUMBER.sub("N", text)[:200]
