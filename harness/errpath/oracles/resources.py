"""What the kernel holds, counted: the second oracle beside kmemleak.

kmemleak sees only memory to which nothing points. A reference that is never given back, an inode
that a page still points to, a block of pages: for those, what is held is counted before and after
repeats of the same thing. A count that grows by one or more with every repeat is a loss; what grows
once and then stays is a cache.

Formats: mm/slab_common.c (slabinfo), mm/slub.c (alloc_traces), kernel/module/procfs.c (modules),
mm/vmalloc.c (vmallocinfo), lib/alloc_tag.c (allocinfo), mm/vmstat.c (vmstat, zoneinfo).
"""

from __future__ import annotations

import contextlib
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from errpath.errors import InfrastructureError
from errpath.guest.channel import AgentError
from errpath.oracles.kmemleak import LeakGuest
from errpath.oracles.modules import PROBE
from errpath.oracles.superblocks import SUPERS_FILE, count_supers

__all__ = [
    "CACHE_ORACLES",
    "ORACLES",
    "Resource",
    "ResourceCounts",
    "ResourceLeak",
    "grown",
    "read_ledger",
    "read_modules",
    "read_traces",
]

_PAGE_BYTES = 4096
_STAT_REFRESH = "/proc/sys/vm/stat_refresh"
_MODULES = "/proc/modules"
_DROP_CACHES = "/proc/sys/vm/drop_caches"
# The kernel's counters of pages whose use it tells, in pages (include/linux/mmzone.h).
_ACCOUNTED = (
    "nr_free_pages",
    "nr_slab_reclaimable",
    "nr_slab_unreclaimable",
    "nr_file_pages",
    "nr_anon_pages",
    "nr_page_table_pages",
    # Where a kernel does not tell, the pages of vmalloc count too.
    "nr_vmalloc",
)
# Between a slab cache and the stack that allocated.
_FROM = " from "
# Rounds of settling.
_ROUNDS_MIN, _ROUNDS_MAX = 3, 7
# The profiler's own notes of who allocated what: one for every slab with such objects, itself an
# object of one of the caches of kmalloc() (mm/slub.c).
_NOTES = "alloc_slab_obj_exts"
_TRACE = re.compile(r"^ +(\d+) (\S+)")


@dataclass(frozen=True)
class Resource:
    """One thing of which the kernel holds a number."""

    # One of ORACLES.
    oracle: str
    # Slab cache, module, or function that allocated it; with the way to it where that is known.
    name: str

    @property
    def cache(self) -> str:
        """The name without the way to it."""
        return self.name.split(_FROM)[0]

    def __str__(self) -> str:
        return f"{self.oracle}: {self.name}"


@dataclass(frozen=True)
class ResourceLeak:
    """What did not come back."""

    holding: Resource
    # How many more there are, after how many repeats.
    more: int
    repeats: int

    def __str__(self) -> str:
        return f"{self.holding}: {self.more} more after {self.repeats} repeats"


ResourceCounts = Mapping[Resource, int]


def read_ledger(guest: LeakGuest) -> ResourceCounts:
    """The least that the kernel holds of everything that it can count, once it has settled.

    Settled means that another round of dropping caches brings no count below its least so far: an
    inode that goes in one round lets its buffers and dentries go in the next, and the tasks that a
    quiesce starts and ends are freed a little later than it returns. Counting itself takes a few
    things, such as inodes of /proc, which go now or later.

    Raises:
        InfrastructureError: a file that every kernel has cannot be read.
    """
    guest.quiesce()
    least = _count(guest)
    for number in range(2, _ROUNDS_MAX + 1):
        last, now = least, _count(guest)
        least = {holding: min(count, now.get(holding, 0)) for holding, count in last.items()}
        if number >= _ROUNDS_MIN and least == last:
            break
    return least


def _count(guest: LeakGuest) -> ResourceCounts:
    # This drains what each processor keeps as well: pages that wait to be sorted into the lists of
    # the page cache, and the counts themselves.
    guest.write_file(_DROP_CACHES, "3")
    # A page that was cut off from its file while its buffers were in use belongs to nobody whose
    # caches could be dropped: reclaim alone finds it and lets it go.
    for path, word in ((PROBE.file, "press"), (PROBE.file, "purge"), (_STAT_REFRESH, "1")):
        with contextlib.suppress(AgentError):
            guest.write_file(path, word)
    ledger: Counter[Resource] = Counter()
    for parse, path, needed in _SOURCES:
        try:
            text = guest.read_file(path).decode(errors="replace")
        except AgentError:
            if needed:
                raise
            continue
        ledger.update(dict(parse(text)))
    return ledger


def read_modules(guest: LeakGuest) -> dict[str, int]:
    """References to each module, as they are now: what is on its way back is not waited for."""
    text = guest.read_file(_MODULES).decode(errors="replace")
    return {holding.name: count for holding, count in _modules(text)}


def read_traces(guest: LeakGuest, caches: Iterable[str]) -> ResourceCounts:
    """The live objects of these slab caches by allocation stack (slab_debug=U). Does not settle."""
    ledger: Counter[Resource] = Counter()
    for cache in caches:
        try:
            text = guest.read_file(f"/sys/kernel/debug/slab/{cache}/alloc_traces").decode()
        except AgentError:
            continue
        for stack, count in _traces(text):
            ledger[Resource(_cache_oracle(cache), f"{cache}{_FROM}{stack}")] += count
    return ledger


def grown(
    before: ResourceCounts, after: ResourceCounts, repeats: int, *, least: int
) -> tuple[ResourceLeak, ...]:
    """What grew by `least` or more in so many repeats.

    A loss grows by `repeats`; a few objects more or less are chance, so that `least` is below. The
    notes of the profiler are not among the losses: they come and go with what they tell of.
    """
    more = {holding: count - before.get(holding, 0) for holding, count in after.items()}
    notes = sum(n for holding, n in more.items() if holding.name.endswith(f"func:{_NOTES}"))
    losses = []
    for holding, n in sorted(more.items(), key=lambda item: str(item[0])):
        # Nothing is overlooked: who allocated the others of a cache, the profiler tells.
        noted = holding.name.startswith("kmalloc-") and _FROM not in holding.name and n <= notes
        if n >= least and not noted and _NOTES not in holding.name:
            losses.append(ResourceLeak(holding, n, repeats))
    return tuple(losses)


def _cache_oracle(cache: str) -> str:
    if cache == "buffer_head":
        return "buffer heads"
    if cache == "dentry":
        return "dentries"
    if cache.endswith(("inode_cache", "icache")):
        return "inodes"
    return "slab objects"


def _slabinfo(text: str) -> Iterable[tuple[Resource, int]]:
    for line in text.splitlines()[2:]:
        words = line.split()
        # One per object of everybody else: it mirrors what the others say.
        if words and words[0] != "kmemleak_object":
            yield Resource(_cache_oracle(words[0]), words[0]), int(words[1])


def _modules(text: str) -> Iterable[tuple[Resource, int]]:
    for line in text.splitlines():
        words = line.split()
        # "-" where the kernel cannot unload modules and does not count.
        if words[2] != "-":
            yield Resource("module references", words[0]), int(words[2])


def _vmallocinfo(text: str) -> Iterable[tuple[Resource, int]]:
    areas: Counter[str] = Counter()
    for line in text.splitlines():
        words = line.split()
        # vm_map_ram() tells no caller.
        if len(words) > 2 and ("+0x" in words[2] or words[2] == "vm_map_ram"):
            areas[words[2].split("+")[0]] += 1
    for name, count in areas.items():
        yield Resource("vmalloc areas", name), count


def _supers(text: str) -> Iterable[tuple[Resource, int]]:
    for fstype, count in count_supers(text):
        yield Resource("superblocks", fstype), count


def _allocinfo(text: str) -> Iterable[tuple[Resource, int]]:
    """Lines of bytes, calls, file:line and func:name; those that say of themselves that they do not
    know (`accurate:no`, pages of slabs that are allocated while one is) are left out."""
    calls: Counter[str] = Counter()
    for line in text.splitlines():
        words = line.split()
        if len(words) >= 3 and words[1].isdigit() and words[-1] != "accurate:no":
            calls[" ".join(words[2:])] += int(words[1])
    for name, count in calls.items():
        yield Resource("allocations", name), count


def _zoneinfo(text: str) -> Iterable[tuple[Resource, int]]:
    """Pages that are in use and in none of the counts: taken from the page allocator directly."""
    managed = sum(int(n) for n in re.findall(r"^ +managed +(\d+)$", text, re.MULTILINE))
    waiting = sum(int(n) for n in re.findall(r"^ +count: +(\d+)$", text, re.MULTILINE))
    told = 0
    for name in _ACCOUNTED:
        found = re.findall(rf"^ +{name} +(\d+)$", text, re.MULTILINE)
        told += sum(map(int, found))
    stacks = sum(int(n) for n in re.findall(r"^ +nr_kernel_stack +(\d+)$", text, re.MULTILINE))
    held = managed - waiting - told - stacks * 1024 // _PAGE_BYTES
    yield Resource("pages", "of the page allocator"), held


def _traces(text: str) -> Iterable[tuple[str, int]]:
    """(stack, count) of alloc_traces: a line of count and site, then the stack, innermost first."""
    for block in text.split("\n\n"):
        lines = block.strip("\n").splitlines()
        head = _TRACE.match(lines[0]) if lines else None
        if head is None:
            if lines and lines[0].strip() not in ("", "No data"):
                raise InfrastructureError(f"alloc_traces: cannot read {lines[0]!r}")
            continue
        stack = [line.split("+")[0].strip() for line in lines[1:]] or [head[2].split("+")[0]]
        yield " < ".join(stack[:6]), int(head[1])


_Parser = Callable[[str], Iterable[tuple[Resource, int]]]
# Parser, file, whether every kernel has it.
_SOURCES: tuple[tuple[_Parser, str, bool], ...] = (
    # Pages first: every answer of the others takes some, and what each processor keeps of the
    # counts grows old.
    (_zoneinfo, "/proc/zoneinfo", True),
    (_slabinfo, "/proc/slabinfo", True),
    (_modules, _MODULES, True),
    (_vmallocinfo, "/proc/vmallocinfo", True),
    # The probe module's, where it knows the list.
    (_supers, SUPERS_FILE, False),
    # CONFIG_MEM_ALLOC_PROFILING: every allocation of every kind by its line.
    (_allocinfo, "/proc/allocinfo", False),
)

# Those that count the objects of a slab cache.
CACHE_ORACLES = ("slab objects", "buffer heads", "inodes", "dentries")
ORACLES = (
    *CACHE_ORACLES,
    "module references",
    "superblocks",
    "vmalloc areas",
    "pages",
    "allocations",
)
