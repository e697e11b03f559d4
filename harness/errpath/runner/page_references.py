"""Who holds pages that a case does not give back, measured in clones.

Which pages are held without belonging to anybody is read from the guest's memory before the case
and after it; in another clone QEMU watches the count of one of them.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Sequence

from errpath.cases.case import MountCase
from errpath.cases.run import run_case
from errpath.errors import ErrpathError, InfrastructureError
from errpath.guest.channel import AgentError
from errpath.guest.clones import Added
from errpath.guest.holders import read_accesses, watch_word
from errpath.guest.machine import Guest
from errpath.guest.pages import count_word, held_pages
from errpath.guest.ram import GuestRam
from errpath.kernel.features.probe import symbols_of
from errpath.oracles.failure import Failure
from errpath.oracles.page_references import count_takers
from errpath.oracles.resources import settle
from errpath.runner.guests import PreparedGuest
from errpath.runner.lifetime import (
    WATCHED_TASK,
    Lifetime,
    LifetimeBed,
    Statements,
    code_sections,
    resolver,
)
from errpath.util.cache import scratch_directory

__all__ = ["measure_pages", "pages_of"]

# Pages that are looked at until one has the allocation in question.
_TRIES = 6
_FILE_PAGES = re.compile(r"^allocations: mm/filemap\.c:\d+ .*func:(\w+)")


def pages_of(failures: Sequence[Failure]) -> str:
    """The function by which a case takes pages of files that it does not give back; "" for none."""
    found = (_FILE_PAGES.match(failure.resource) for failure in failures)
    return next((match[1] for match in found if match is not None), "")


def measure_pages(
    bed: LifetimeBed,
    filesystems: Sequence[str],
    functions: Sequence[str],
    points: Sequence[str] | None,
    case: MountCase,
    allocator: str,
) -> Lifetime:
    """Who took and who put a page that `case` loses, which `allocator` allocated."""
    if bed.accel != "tcg":
        return Lifetime(None, f"QEMU watches memory under TCG only, and this is {bed.accel}")
    clone = functools.partial(bed.clone, filesystems, functions, points)
    try:
        return _measure(bed, clone, case, allocator)
    except (ErrpathError, AgentError) as error:
        return Lifetime(None, str(error))


def _measure(
    bed: LifetimeBed,
    clone: Callable[[Added | None], PreparedGuest],
    case: MountCase,
    allocator: str,
) -> Lifetime:
    top = symbols_of(bed.kernel.system_map).get("init_top_pgt", 0)
    frames = _lost(clone(None), case, top)
    for frame in frames[:_TRIES]:
        with scratch_directory() as scratch:
            out = scratch / "accesses"
            prepared = clone(watch_word(count_word(frame), out))
            try:
                run_case(prepared.guest, case, WATCHED_TASK)
                settle(prepared.guest)
                sections = code_sections(prepared)
            finally:
                prepared.guest.close()
            seen = read_accesses(out) if out.exists() else ()
        with bed.symbolizer(tuple(prepared.modules)) as symbolizer:
            resolve = resolver(symbolizer, sections)
            takers = count_takers(seen, allocator, resolve, Statements(bed).statement)
        if takers:
            return Lifetime(None, takers=takers)
    return Lifetime(None, f"none of {len(frames)} pages that stay was allocated in {allocator}()")


def _lost(prepared: PreparedGuest, case: MountCase, top: int) -> list[int]:
    """The page frames that are held after a case and were not before."""
    guest = prepared.guest
    try:
        before = held_pages(_ram(guest), top)
        run_case(guest, case, WATCHED_TASK)
        settle(guest)
        return sorted(held_pages(_ram(guest), top) - before)
    finally:
        guest.close()


def _ram(guest: Guest) -> GuestRam:
    if guest.ram is None:
        raise InfrastructureError("pages: expected a guest whose RAM is a file")
    return guest.ram
