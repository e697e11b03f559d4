"""Where the value came from by which a case crashed, measured in clones (`errpath.oracles.origin`).

In one clone QEMU keeps what the kernel loads until it comes to the instruction of the report; in
another, of the same frozen guest, it watches the word from which the bad value was loaded.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from errpath.cases.case import MountCase
from errpath.cases.run import run_case
from errpath.errors import ErrpathError, GuestPoisonedError
from errpath.guest.channel import AgentError
from errpath.guest.clones import Added
from errpath.guest.holders import Access, read_accesses, watch_instruction, watch_word
from errpath.kernel.features.probe import symbols_of
from errpath.oracles.failure import Failure
from errpath.oracles.origin import Crash, Origin, choose_load, crash_of, make_origin
from errpath.runner.guests import PreparedGuest
from errpath.runner.lifetime import WATCHED_TASK, LifetimeBed, Statements, code_sections, resolver
from errpath.util.cache import scratch_directory

__all__ = ["Measured", "measure_origin"]

# Where the kernel goes with every oops (arch/x86/kernel/dumpstack.c).
_OOPS = "oops_begin"


@dataclass(frozen=True)
class Measured:
    """An origin, or why there is none."""

    origin: Origin | None
    reason: str = ""


def measure_origin(
    bed: LifetimeBed,
    filesystems: Sequence[str],
    functions: Sequence[str],
    points: Sequence[str] | None,
    case: MountCase,
    failure: Failure,
) -> Measured | None:
    """Who stored what `case` crashed by; None for a failure that names no such value."""
    crash = crash_of(failure)
    if crash is None or bed.accel != "tcg":
        return None
    clone = functools.partial(bed.clone, filesystems, functions, points)
    try:
        return _measure(bed, clone, case, crash)
    except (ErrpathError, AgentError) as error:
        return Measured(None, str(error))


def _measure(
    bed: LifetimeBed,
    clone: Callable[[Added | None], PreparedGuest],
    case: MountCase,
    crash: Crash,
) -> Measured:
    sections, names = _sections(clone)
    # A warning that is followed by others is reported once. After an oops the task is gone, but
    # others may come to the same instruction.
    first = crash.pointer is None
    end = 0 if first else symbols_of(bed.kernel.system_map).get(_OOPS, 0)
    with bed.symbolizer(names) as symbolizer:
        resolve = resolver(symbolizer, sections)
        pc = symbolizer.address(
            crash.function, crash.offset, crash.module, sections, size=crash.size
        )
        if pc is None:
            return Measured(None, f"no symbol {crash.function} that fits")
        seen = _watched(clone, case, lambda out: watch_instruction(pc, out, first=first, end=end))
        if not seen:
            return Measured(None, "in a guest of its own the case does not come there")
        load = choose_load(seen, crash, resolve)
        if load is None:
            return Measured(None, "it was computed, and not loaded from memory")
        stores = _watched(
            clone, case, lambda out: watch_word(load.address, out, pc=pc, first=first, end=end)
        )
        source = Statements(bed).statement
        return Measured(make_origin(stores, load, first=first, resolve=resolve, source=source))


def _sections(
    clone: Callable[[Added | None], PreparedGuest],
) -> tuple[Mapping[str, Mapping[str, int]], tuple[str, ...]]:
    """Where the code of the modules lies, in every clone, and the filesystems."""
    prepared = clone(None)
    try:
        return code_sections(prepared), tuple(prepared.modules)
    finally:
        prepared.guest.close()


def _watched(
    clone: Callable[[Added | None], PreparedGuest],
    case: MountCase,
    words: Callable[[Path], Added],
) -> tuple[Access, ...]:
    """What QEMU saw in one run of a case, which may well be the guest's end."""
    with scratch_directory() as scratch:
        out = scratch / "accesses"
        prepared = clone(words(out))
        try:
            with contextlib.suppress(AgentError, GuestPoisonedError):
                run_case(prepared.guest, case, WATCHED_TASK)
        finally:
            prepared.guest.close()
        return read_accesses(out) if out.exists() else ()
