"""What the kernel's counters say, and when a growth is a loss."""

from __future__ import annotations

import pytest

from errpath.errors import InfrastructureError
from errpath.guest.channel import AgentError
from errpath.oracles.failure import RESOURCE_LEAK
from errpath.oracles.resources import Resource, grown, read_ledger, read_traces
from errpath.oracles.superblocks import supers_left

_FILES = {
    "/proc/slabinfo": """slabinfo - version: 2.1
# name            <active_objs> <num_objs> <objsize> <objperslab> <pagesperslab> : tunables
buffer_head          {buffers}     46    104   39    1 : tunables    0    0    0 : slabdata 2 2 0
hfs_inode_cache      4      8    640    6    1 : tunables    0    0    0 : slabdata      1      1
kmemleak_object   9000   9999    264   15    1 : tunables    0    0    0 : slabdata      1      1
""",
    "/proc/modules": """hfs 61440 0 - Live 0xffffffffa0005000
nls_cp437 16384 {nls} - Live 0xffffffffa0001000
fixed 1 - - Live 0xffffffffa0001000
""",
    "/proc/vmallocinfo": """0xffffc90000000000-0xffffc90000002000    8192 hpet_enable+0x1/0x2
0xffffc90000002000-0xffffc90000004000    8192 hpet_enable+0x1/0x2 pages=1 vmalloc
0xffffc90000004000-0xffffc90000006000    8192 unpurged vm_area
0xffffc90000006000-0xffffc90000047000  266240 vm_map_ram
""",
    "/proc/zoneinfo": """Node 0, zone    DMA32
  per-node stats
      nr_slab_reclaimable 100
      nr_slab_unreclaimable 200
      nr_file_pages 50
      nr_anon_pages 10
      nr_page_table_pages 5
      nr_kernel_stack 400
  pages free     500
        managed  1500
      nr_free_pages 500
    cpu: 0
              count:    35
""",
}


class FakeGuest:
    """Files; some of them settle only when caches have been dropped often enough."""

    def __init__(
        self, files: dict[str, str], *, settles_after: int = 0, swings: tuple[int, ...] = ()
    ) -> None:
        self._files = files
        # More than there is, in each round.
        self._swings = swings
        self._settles_after = settles_after
        self.rounds = 0
        self.quiet = False

    def read_file(self, path: str) -> bytes:
        if path not in self._files:
            raise AgentError("file.read", 2, path)
        left = max(0, self._settles_after - self.rounds)
        left += self._swings[self.rounds - 1] if self._swings else 0
        return self._files[path].format(buffers=7 + left, nls=2).encode()

    def write_file(
        self, path: str, data: bytes | str, *, mode: int | None = None, task: str | None = None
    ) -> None:
        allowed = {
            ("/proc/sys/vm/drop_caches", "3"),
            ("/proc/sys/vm/stat_refresh", "1"),
            ("/sys/kernel/debug/errpath_probe", "press"),
            ("/sys/kernel/debug/errpath_probe", "purge"),
        }
        assert (path, data) in allowed, "a ledger changes nothing"
        self.rounds += path.endswith("drop_caches")

    def sleep(self, seconds: float) -> None:
        raise AssertionError("a ledger does not wait")

    def quiesce(self) -> None:
        self.quiet = True


def test_every_source_is_read() -> None:
    ledger = read_ledger(FakeGuest(_FILES))
    assert ledger == {
        Resource("buffer heads", "buffer_head"): 7,
        Resource("inodes", "hfs_inode_cache"): 4,
        Resource("module references", "hfs"): 0,
        Resource("module references", "nls_cp437"): 2,
        Resource("vmalloc areas", "hpet_enable"): 2,
        Resource("vmalloc areas", "vm_map_ram"): 1,
        # 1500 - 35 - (500 + 100 + 200 + 50 + 10 + 5) - 400 KiB of stacks
        Resource("pages", "of the page allocator"): 500,
    }


def test_allocinfo_where_the_kernel_has_it() -> None:
    text = """allocinfo - version: 1.0
#     <size>  <calls> <tag info>
        4096        1 fs/hfs/super.c:414 [hfs] func:hfs_init_fs_context
       -4096        9 mm/slub.c:3280 func:alloc_slab_page accurate:no
"""
    ledger = read_ledger(FakeGuest({**_FILES, "/proc/allocinfo": text}))
    found = {h.name: n for h, n in ledger.items() if h.oracle == "allocations"}
    assert found == {"fs/hfs/super.c:414 [hfs] func:hfs_init_fs_context": 1}


def test_the_profilers_own_notes_are_no_loss() -> None:
    """It keeps one for each slab of what is allocated, in a cache of kmalloc()."""

    def ledger(kmalloc: int, notes: int, buffers: int) -> dict[Resource, int]:
        return {
            Resource("slab objects", "kmalloc-192"): kmalloc,
            Resource("slab objects", "kmalloc-192 from f < g"): kmalloc - notes,
            Resource("allocations", "mm/slub.c:2155 func:alloc_slab_obj_exts"): notes,
            Resource("buffer heads", "buffer_head"): buffers,
        }

    def names(after: dict[Resource, int]) -> set[str]:
        return {str(loss.holding) for loss in grown(ledger(50, 10, 0), after, 8, least=7)}

    assert names(ledger(58, 18, 170)) == {"buffer heads: buffer_head"}
    assert names(ledger(67, 18, 170)) == {
        "buffer heads: buffer_head",
        "slab objects: kmalloc-192",
        "slab objects: kmalloc-192 from f < g",
    }


def test_superblocks_where_the_probe_lists_them() -> None:
    text = "tmpfs tmpfs active\nhfs loop0 dead\ntmpfs tmpfs active\n"
    files = {**_FILES, "/sys/kernel/debug/errpath_supers": text}
    ledger = read_ledger(FakeGuest(files))
    found = {h.name: n for h, n in ledger.items() if h.oracle == "superblocks"}
    assert found == {"tmpfs": 2, "hfs": 1}
    (left,) = supers_left(FakeGuest(files), {"hfs", "hfsplus"})
    assert (left.kind, left.line) == (
        RESOURCE_LEAK,
        "superblock of hfs still listed (loop0, dead)",
    )
    assert supers_left(FakeGuest(_FILES), {"hfs"}) == ()


def test_caches_are_dropped_until_nothing_more_goes() -> None:
    guest = FakeGuest(_FILES, settles_after=4)
    assert read_ledger(guest)[Resource("buffer heads", "buffer_head")] == 7
    # The fifth says the same as the fourth.
    assert guest.quiet
    assert guest.rounds == 5


def test_what_counting_itself_takes_is_not_counted() -> None:
    guest = FakeGuest(_FILES, swings=(3, 5, 0, 8, 3, 5, 8))
    assert read_ledger(guest)[Resource("buffer heads", "buffer_head")] == 7
    assert guest.rounds == 4


def test_a_kernel_without_its_own_files_is_an_infrastructure_error() -> None:
    with pytest.raises(InfrastructureError):
        read_ledger(FakeGuest({}))


@pytest.mark.parametrize(("more", "lost"), [(16, True), (14, True), (13, False), (0, False)])
def test_a_loss_comes_with_nearly_every_repeat(more: int, lost: bool) -> None:
    thing = Resource("module references", "nls_cp437")
    found = grown({thing: 3}, {thing: 3 + more}, 16, least=14)
    assert [loss.more for loss in found] == ([more] if lost else [])


def test_what_was_not_there_before_counts() -> None:
    thing = Resource("slab objects", "kmalloc-64")
    assert [str(loss) for loss in grown({}, {thing: 9}, 9, least=8)] == [
        "slab objects: kmalloc-64: 9 more after 9 repeats"
    ]


def test_traces_are_counted_by_stack() -> None:
    text = """      5 hfs_init_fs_context+0x23/0xa0 [hfs] waste=1/2 age=1/2/3 pid=33-41
        hfs_init_fs_context+0x23/0xa0 [hfs]
        alloc_fs_context+0x1/0x2

      2 other+0x1/0x2 age=7 pid=1
        other+0x1/0x2
"""
    guest = FakeGuest({"/sys/kernel/debug/slab/kmalloc-512/alloc_traces": text})
    ledger = read_traces(guest, ["kmalloc-512", "no_such_cache"])
    assert {str(holding): count for holding, count in ledger.items()} == {
        "slab objects: kmalloc-512 from hfs_init_fs_context < alloc_fs_context": 5,
        "slab objects: kmalloc-512 from other": 2,
    }
    assert {holding.cache for holding in ledger} == {"kmalloc-512"}


def test_traces_that_cannot_be_read_are_no_empty_cache() -> None:
    guest = FakeGuest({"/sys/kernel/debug/slab/kmalloc-512/alloc_traces": "what is this\n"})
    with pytest.raises(InfrastructureError, match="cannot read"):
        read_traces(guest, ["kmalloc-512"])
