"""Who holds pages, buffers, inodes and dentries that a case does not give back, measured in clones.

Which of them are held is read from the guest's memory before the case and after it; in another
clone QEMU watches the count of one that stays.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from errpath.cases.case import MountCase
from errpath.cases.run import run_case
from errpath.errors import ErrpathError, InfrastructureError
from errpath.filesystems import home_directory
from errpath.guest.channel import AgentError
from errpath.guest.clones import Added
from errpath.guest.holders import plugin_words, read_accesses, read_changes, watch_word
from errpath.guest.machine import Guest
from errpath.guest.offsets import Offsets, read_offsets
from errpath.guest.pages import Count, held_buffers, held_pages, page_count, page_extent
from errpath.guest.ram import GuestRam
from errpath.guest.slab_objects import dentries, inodes
from errpath.kernel.features.probe import symbols_of
from errpath.oracles.failure import Failure
from errpath.oracles.references import count_takers
from errpath.oracles.resources import settle
from errpath.oracles.timeline import Holder, make_reference_timeline
from errpath.runner.guests import PreparedGuest
from errpath.runner.lifetime import (
    WATCHED_TASK,
    Lifetime,
    LifetimeBed,
    Statements,
    code_sections,
    release_of,
    resolver,
)
from errpath.util.cache import scratch_directory

__all__ = ["Counted", "counted_in", "measure_kept"]

# Counts that are looked at until one has the allocation in question.
_TRIES = 6

# Symbols and offsets of a kernel, a guest's memory, what is passed over -> the counts that are not
# 0, each with what it is of: an address or a page frame.
_Find = Callable[[Mapping[str, int], Offsets, GuestRam, frozenset[int]], dict[int, Count]]
# The same of one kernel.
_Search = Callable[[GuestRam, frozenset[int]], dict[int, Count]]


@dataclass(frozen=True)
class Counted:
    """A kind of what is counted by references, as a failure names it."""

    name: str
    # In a failure's resource or title; a group names the function that allocates.
    pattern: re.Pattern[str]
    find: _Find
    # Where in it the count lies, and how much of it pointers are looked for to, in bytes.
    extent: Callable[[Offsets], tuple[int, int]]
    # The functions of which one allocates it, where the pattern does not say.
    allocators: tuple[str, ...] = ()


def _pages(
    symbols: Mapping[str, int], offsets: Offsets, ram: GuestRam, known: frozenset[int]
) -> dict[int, Count]:
    held = held_pages(ram, symbols.get("init_top_pgt", 0))
    return {frame: page_count(frame) for frame in sorted(held) if frame not in known}


def _buffers(
    symbols: Mapping[str, int], offsets: Offsets, ram: GuestRam, known: frozenset[int]
) -> dict[int, Count]:
    top = symbols.get("init_top_pgt", 0)
    return {
        count.address: count
        for frame in sorted(held_pages(ram, top))
        for count in held_buffers(ram, top, frame, offsets)
        if count.address not in known
    }


# What keeps others comes first: a dentry its inode, a buffer its page.
_KINDS = (
    Counted(
        "dentry",
        re.compile(r"Dentry .*still in use|^allocations: fs/dcache\.c:\d+ .*func:(__d_alloc)"),
        dentries,
        lambda offsets: (offsets.d_count, offsets.dentry_size),
        ("__d_alloc",),
    ),
    Counted(
        "inode",
        re.compile(
            r"Busy inodes after unmount|Objects remaining on .* in slab \w*inode\w*"
            r"|^allocations: fs/inode\.c:\d+ .*func:(alloc_inode)"
        ),
        inodes,
        lambda offsets: (offsets.i_count, offsets.inode_size),
        ("inode_init_always_gfp", "inode_init_always"),
    ),
    Counted(
        "buffer",
        re.compile(r"^allocations: fs/buffer\.c:\d+ .*func:(alloc_buffer_head)"),
        _buffers,
        lambda offsets: (offsets.b_count, offsets.b_count),
        ("alloc_buffer_head",),
    ),
    Counted(
        "page",
        re.compile(r"^allocations: mm/filemap\.c:\d+ .*func:(\w+)"),
        _pages,
        lambda offsets: page_extent(),
    ),
)


def counted_in(failures: Sequence[Failure]) -> tuple[Failure, Counted] | None:
    """The failure that says that references were not given back, and of what kind they are."""
    for kind in _KINDS:
        for failure in failures:
            for text in (failure.resource, failure.title):
                if match := kind.pattern.search(text):
                    named = match[1] if kind.pattern.groups else None
                    return failure, _allocated_by(kind, named)
    return None


def _allocated_by(kind: Counted, function: str | None) -> Counted:
    if kind.allocators or function is None:
        return kind
    return replace(kind, allocators=(function,))


def measure_kept(
    bed: LifetimeBed,
    filesystems: Sequence[str],
    functions: Sequence[str],
    points: Sequence[str] | None,
    case: MountCase,
    kind: Counted,
) -> Lifetime:
    """Who took and who put one of what `case` keeps."""
    if bed.accel != "tcg":
        return Lifetime(None, f"QEMU watches memory under TCG only, and this is {bed.accel}")
    clone = functools.partial(bed.clone, filesystems, functions, points)
    try:
        return _measure(bed, clone, case, kind)
    except (ErrpathError, AgentError) as error:
        return Lifetime(None, str(error))


def _measure(
    bed: LifetimeBed,
    clone: Callable[[Added | None], PreparedGuest],
    case: MountCase,
    kind: Counted,
) -> Lifetime:
    symbols = symbols_of(bed.kernel.system_map)
    offsets = read_offsets(bed.offsets_module.path)
    find = functools.partial(kind.find, symbols, offsets)
    own = home_directory(case.filesystem)
    counts = list(_kept(clone(None), case, find).counts)
    tried = 0
    while counts and tried < _TRIES:
        tried += 1
        count = counts.pop(0)
        with scratch_directory() as scratch:
            out = scratch / "accesses"
            kept = _kept(clone(watch_word(count.address, out)), case, find)
            seen = read_accesses(out) if out.exists() else ()
        with bed.symbolizer(kept.filesystems) as symbolizer:
            resolve = resolver(symbolizer, kept.sections)
            statement = Statements(bed).statement
            takers = count_takers(seen, count, kind.allocators, resolve, statement, own)
        if takers:
            holder = _holder(bed, clone, case, find, count, kind.extent(offsets), own)
            return Lifetime(None, takers=takers, holder=holder, release=release_of(bed, holder))
        if count not in kept.counts:
            # QEMU's plugin changes the guest's pace: what stays may lie elsewhere under it.
            counts = list(kept.counts)
    named = " or ".join(f"{name}()" for name in kind.allocators)
    return Lifetime(None, f"in {tried} clones no {kind.name} that stays comes from {named}")


def _holder(
    bed: LifetimeBed,
    clone: Callable[[Added | None], PreparedGuest],
    case: MountCase,
    find: _Search,
    count: Count,
    extent: tuple[int, int],
    own: str,
) -> Holder | None:
    """The last word that a filesystem pointed to what stays with; None where it had none, or what
    stays lies elsewhere while pointers are looked for. `extent` is where in it the count lies, and
    its size; `own` is the filesystem's directory, with its slash."""
    offset, size = extent
    # A count lies in a word of twice its size.
    address = count.address - (offset & ~7)
    with scratch_directory() as scratch:
        out = scratch / "changes"
        kept = _kept(clone(plugin_words(address, size, out)), case, find)
        changes = read_changes(out) if out.exists() else ()
    if count not in kept.counts:
        return None
    with bed.symbolizer(kept.filesystems) as symbolizer:
        resolve = resolver(symbolizer, kept.sections)
        timeline = make_reference_timeline(
            changes, address, size, "", resolve, Statements(bed).statement
        )
    holders = timeline.holders if timeline is not None else ()
    gone = [one for one in holders if one.gone and one.stored.file.startswith(own)]
    return max(gone, key=lambda one: one.ended, default=None)


@dataclass(frozen=True)
class _Kept:
    """What a case has left in a clone."""

    # The counts that are not 0 of what was not there before the case.
    counts: tuple[Count, ...]
    # Where the code of the modules lies.
    sections: Mapping[str, Mapping[str, int]]
    filesystems: tuple[str, ...]


def _kept(
    prepared: PreparedGuest,
    case: MountCase,
    find: _Search,
) -> _Kept:
    guest = prepared.guest
    try:
        ram = _ram(guest)
        before = frozenset(find(ram, frozenset()))
        run_case(guest, case, WATCHED_TASK)
        settle(guest)
        counts = tuple(find(ram, before).values())
        return _Kept(counts, code_sections(prepared), tuple(prepared.modules))
    finally:
        guest.close()


def _ram(guest: Guest) -> GuestRam:
    if guest.ram is None:
        raise InfrastructureError("references: expected a guest whose RAM is a file")
    return guest.ram
