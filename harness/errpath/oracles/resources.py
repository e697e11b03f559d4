"""What the kernel holds, counted: the second oracle beside kmemleak.

kmemleak sees only memory to which nothing points. A reference that is never given back, an inode
that a page still points to, a block of pages: for those, the kernel's own counts are read after
every case (`errpath.oracles.counts`).

Formats: lib/alloc_tag.c (allocinfo, as guests/modules/probe gives its changes), mm/slab_common.c
(slabinfo), mm/vmstat.c (zoneinfo), kernel/module/procfs.c (modules).
"""

from __future__ import annotations

import contextlib
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from errpath.guest.channel import AgentError
from errpath.oracles.kmemleak import LeakGuest
from errpath.oracles.modules import PROBE
from errpath.oracles.superblocks import count_supers

__all__ = [
    "EXACT",
    "MODULES",
    "ORACLES",
    "SUPERBLOCKS",
    "Resource",
    "ResourceLeak",
    "moves_by_chance",
    "read_source",
    "settle",
]

_PAGE_BYTES = 4096
_DROP_CACHES = "/proc/sys/vm/drop_caches"
_STAT_REFRESH = "/proc/sys/vm/stat_refresh"
# Dropping an inode lets its buffers and dentries go in the next round.
_ROUNDS = 2
# The kernel's counters of pages of known use, in pages (include/linux/mmzone.h).
_ACCOUNTED = (
    "nr_free_pages",
    "nr_slab_reclaimable",
    "nr_slab_unreclaimable",
    "nr_file_pages",
    "nr_anon_pages",
    "nr_page_table_pages",
    # Where a kernel does not count them, the pages of vmalloc count too.
    "nr_vmalloc",
)
# What the oracles themselves allocate: one object of kmemleak's for each of everybody's, pools of
# call stacks, the profiler's note of every slab, and slabs, which come with the objects that they
# are for. And what belongs to processes, of which the agent is one: their memory, credentials and
# entries of /proc, whose dentries come and go with them; of a filesystem's own dentries that are in
# use at its umount the kernel reports by itself ("Dentry … still in use").
_OWN = re.compile(
    r"^lib/stackdepot\.c|^mm/(?:kmemleak|memory|rmap|mmap|vma|vma_init|mprotect)\.c|"
    r"^arch/\w+/mm/pgtable\.c|"
    r"^kernel/(?:cred|fork|pid)\.c|^fs/proc/|"
    r"func:(?:__d_alloc|alloc_slab_obj_exts|alloc_slab_page|allocate_slab|alloc_from_new_slab)$"
)

# References to modules: these may also fall.
MODULES = "module references"
_ALLOCATIONS = "allocations"
SUPERBLOCKS = "superblocks"
_PAGES = "pages"
# Those that never move by chance.
EXACT = frozenset({MODULES, _ALLOCATIONS, SUPERBLOCKS})
# But for these allocations: what is freed waits in a cache of the processor to be used again, and
# the cache grows whenever more are in use at once than ever before (bio_alloc_percpu_cache()).
_CACHED = re.compile(r"func:bio_alloc_bioset$")
ORACLES = (
    _ALLOCATIONS,
    "slab objects",
    "buffer heads",
    "inodes",
    "dentries",
    _PAGES,
    MODULES,
    SUPERBLOCKS,
)


@dataclass(frozen=True, order=True)
class Resource:
    """One thing of which the kernel holds a number."""

    # One of ORACLES.
    oracle: str
    # Place in the source that allocated it, slab cache, module, or filesystem.
    name: str

    def __str__(self) -> str:
        return f"{self.oracle}: {self.name}"


def moves_by_chance(resource: Resource) -> bool:
    """Whether the number of a resource may rise a few times although nothing is lost."""
    return resource.oracle not in EXACT or _CACHED.search(resource.name) is not None


@dataclass(frozen=True)
class ResourceLeak:
    """What did not come back."""

    holding: Resource
    # How many more there are, after how many repeats; less than 0 for references that were given
    # back once too often.
    more: int
    repeats: int

    def __str__(self) -> str:
        change = f"{self.more} more" if self.more > 0 else f"{-self.more} fewer"
        again = f"{self.repeats} repeats" if self.repeats > 1 else "the case"
        return f"{self.holding}: {change} after {again}"


def settle(guest: LeakGuest) -> None:
    """Have the kernel give back what it only keeps for later: caches, pages that were cut off from
    their file while their buffers were in use, and what waits for RCU.

    Raises:
        GuestPoisonedError: the guest went away meanwhile.
    """
    guest.quiesce()
    for _ in range(_ROUNDS):
        guest.write_file(_DROP_CACHES, "3")
        # A page without a file belongs to no cache that could be dropped: reclaim alone finds
        # it. stat_refresh folds what each processor keeps of the counts.
        for path, word in ((PROBE.file, "press"), (PROBE.file, "purge"), (_STAT_REFRESH, "1")):
            with contextlib.suppress(AgentError):
                guest.write_file(path, word)


def read_source(key: str, text: str) -> Mapping[Resource, int]:
    """What one source of the agent's gives (guests/agent/counts.c)."""
    found: Counter[Resource] = Counter()
    for resource, count in _SOURCES[key](text):
        found[resource] += count
    return found


def _cache_oracle(cache: str) -> str:
    if cache == "buffer_head":
        return "buffer heads"
    if cache == "dentry":
        return "dentries"
    if cache.endswith(("inode_cache", "icache")):
        return "inodes"
    return "slab objects"


def _allocations(text: str) -> Iterable[tuple[Resource, int]]:
    """Lines of a change and a place: file:line, [module], func:name."""
    for line in text.splitlines():
        change, _, name = line.partition(" ")
        if not _OWN.search(name):
            yield Resource(_ALLOCATIONS, name), int(change)


def _slabinfo(text: str) -> Iterable[tuple[Resource, int]]:
    for line in text.splitlines()[2:]:
        words = line.split()
        if words and words[0] != "kmemleak_object":
            yield Resource(_cache_oracle(words[0]), words[0]), int(words[1])


def _zoneinfo(text: str) -> Iterable[tuple[Resource, int]]:
    """Pages that are in use and in none of the counts: taken from the page allocator directly."""
    managed = sum(int(n) for n in re.findall(r"^ +managed +(\d+)$", text, re.MULTILINE))
    waiting = sum(int(n) for n in re.findall(r"^ +count: +(\d+)$", text, re.MULTILINE))
    reported = 0
    for name in _ACCOUNTED:
        found = re.findall(rf"^ +{name} +(\d+)$", text, re.MULTILINE)
        reported += sum(map(int, found))
    stacks = sum(int(n) for n in re.findall(r"^ +nr_kernel_stack +(\d+)$", text, re.MULTILINE))
    held = managed - waiting - reported - stacks * 1024 // _PAGE_BYTES
    yield Resource(_PAGES, "of the page allocator"), held


def _modules(text: str) -> Iterable[tuple[Resource, int]]:
    for line in text.splitlines():
        words = line.split()
        # "-" where the kernel cannot unload modules and does not count.
        if words[2] != "-":
            yield Resource(MODULES, words[0]), int(words[2])


def _supers(text: str) -> Iterable[tuple[Resource, int]]:
    for fstype, count in count_supers(text):
        yield Resource(SUPERBLOCKS, fstype), count


_SOURCES: Mapping[str, Callable[[str], Iterable[tuple[Resource, int]]]] = MappingProxyType(
    {
        "allocations": _allocations,
        "slabs": _slabinfo,
        "pages": _zoneinfo,
        "modules": _modules,
        "supers": _supers,
    }
)
