"""What the kernel's counters say, and how the kernel is made to give back what it only keeps."""

from __future__ import annotations

import pytest

from errpath.guest.channel import AgentError
from errpath.oracles.failure import RESOURCE_LEAK
from errpath.oracles.leaks import resource_failures
from errpath.oracles.resources import Resource, ResourceLeak, read_source, settle
from errpath.oracles.superblocks import supers_left

_SOURCES = {
    "slabs": """slabinfo - version: 2.1
# name            <active_objs> <num_objs> <objsize> <objperslab> <pagesperslab> : tunables
buffer_head             7     46    104   39    1 : tunables    0    0    0 : slabdata 2 2 0
hfs_inode_cache      4      8    640    6    1 : tunables    0    0    0 : slabdata      1      1
kmemleak_object   9000   9999    264   15    1 : tunables    0    0    0 : slabdata      1      1
""",
    "modules": """hfs 61440 0 - Live 0xffffffffa0005000
nls_cp437 16384 2 - Live 0xffffffffa0001000
fixed 1 - - Live 0xffffffffa0001000
""",
    "pages": """Node 0, zone    DMA32
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
    "supers": "tmpfs tmpfs active\nhfs loop0 dead\ntmpfs tmpfs active\n",
    "allocations": """1 fs/hfs/super.c:414 [hfs] func:hfs_init_fs_context
-2 fs/buffer.c:3010 func:alloc_buffer_head
9 mm/slub.c:3280 func:alloc_slab_page
9 mm/slub.c:2155 func:alloc_slab_obj_exts
9 mm/kmemleak.c:489 func:mem_pool_alloc
9 lib/stackdepot.c:685 func:stack_depot_save_flags
9 mm/memory.c:1207 func:folio_prealloc
9 mm/rmap.c:94 func:anon_vma_alloc
9 kernel/cred.c:185 func:prepare_creds
9 fs/proc/inode.c:57 func:proc_alloc_inode
9 fs/dcache.c:1909 func:__d_alloc
9 arch/x86/mm/pgtable.c:18 func:pte_alloc_one
""",
}


@pytest.mark.parametrize(
    ("key", "found"),
    [
        ("slabs", {"buffer heads: buffer_head": 7, "inodes: hfs_inode_cache": 4}),
        ("modules", {"module references: hfs": 0, "module references: nls_cp437": 2}),
        # 1500 - 35 - (500 + 100 + 200 + 50 + 10 + 5) - 400 KiB of stacks
        ("pages", {"pages: of the page allocator": 500}),
        ("supers", {"superblocks: tmpfs": 2, "superblocks: hfs": 1}),
        (
            "allocations",
            {
                "allocations: fs/hfs/super.c:414 [hfs] func:hfs_init_fs_context": 1,
                "allocations: fs/buffer.c:3010 func:alloc_buffer_head": -2,
            },
        ),
    ],
)
def test_every_source_is_read(key: str, found: dict[str, int]) -> None:
    assert {str(one): count for one, count in read_source(key, _SOURCES[key]).items()} == found


class FakeGuest:
    """Takes what a settling writes; refuses what it does not know."""

    def __init__(self, files: dict[str, str], *, probe: bool = True) -> None:
        self.files = files
        self.probe = probe
        self.wrote: list[str] = []

    def read_file(self, path: str) -> bytes:
        if path not in self.files:
            raise AgentError("file.read", 2, path)
        return self.files[path].encode()

    def write_file(
        self, path: str, data: bytes | str, *, mode: int | None = None, task: str | None = None
    ) -> None:
        if path == "/sys/kernel/debug/errpath_probe" and not self.probe:
            raise AgentError("file.write", 95, path)
        self.wrote.append(f"{path.rpartition('/')[2]} {data!s}")

    def sleep(self, seconds: float) -> None:
        raise AssertionError("nothing waits")

    def quiesce(self) -> None:
        self.wrote.append("quiesce")


@pytest.mark.parametrize("probe", [True, False])
def test_caches_are_dropped_and_reclaim_looks_at_the_rest(probe: bool) -> None:
    guest = FakeGuest({}, probe=probe)
    settle(guest)
    own = ["errpath_probe press", "errpath_probe purge"] if probe else []
    assert guest.wrote == ["quiesce", *(["drop_caches 3", *own, "stat_refresh 1"] * 2)]


def test_superblocks_where_the_probe_lists_them() -> None:
    files = {"/sys/kernel/debug/errpath_supers": _SOURCES["supers"]}
    (left,) = supers_left(FakeGuest(files), {"hfs", "hfsplus"})
    assert (left.kind, left.line) == (
        RESOURCE_LEAK,
        "superblock of hfs still listed (loop0, dead)",
    )
    assert supers_left(FakeGuest({}), {"hfs"}) == ()


@pytest.mark.parametrize(
    ("more", "repeats", "line"),
    [
        (2, 2, "resource leak: {} (2 more after 2 repeats)"),
        (-2, 2, "given back too often: {} (2 fewer after 2 repeats)"),
        (1, 1, "resource leak: {} (1 more after the case)"),
    ],
)
def test_a_loss_is_a_failure(more: int, repeats: int, line: str) -> None:
    name = "fs/buffer.c:3010 func:alloc_buffer_head"
    (failure,) = resource_failures([ResourceLeak(Resource("allocations", name), more, repeats)])
    assert failure.line == line.format(f"allocations: {name}")
    assert (failure.resource, failure.functions) == (f"allocations: {name}", ("alloc_buffer_head",))
