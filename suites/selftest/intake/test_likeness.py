"""Whether a failure is the one that was reported."""

from __future__ import annotations

from errpath.intake.decode import decode_text
from errpath.intake.likeness import same
from errpath.intake.symbolise import with_inlined
from errpath.kernel.symbols.symbolizer import Frame
from errpath.oracles.failure import CORRUPTION, LEAK, OOPS, Failure

_LEAK = Failure(
    LEAK,
    "memory leak in gfs2_init_fs_context",
    signature="memory leak in gfs2_init_fs_context < alloc_fs_context",
    functions=("__kmalloc", "gfs2_init_fs_context", "alloc_fs_context"),
)
_REPORT = (
    'unreferenced object 0x1 (size 8):\n  comm "a", pid 1, jiffies 1\n  backtrace:\n'
    "    __kmalloc+0x1/0x2\n    gfs2_init_fs_context+0x1/0x2\n    alloc_fs_context+0x1/0x2\n"
)


def test_the_same_by_title_signature_or_function() -> None:
    assert same(_LEAK, _LEAK.title, None)
    assert same(_LEAK, "", decode_text(_REPORT)[0])
    assert same(_LEAK, "memory leak in alloc_fs_context", None)


def test_a_bug_named_by_its_file() -> None:
    """As syzbot named them until 2019."""
    bug = Failure(OOPS, "kernel BUG in f", detail="kernel BUG at fs/hfs/inode.c:466!")
    assert same(bug, "kernel BUG at fs/hfs/inode.c:LINE!", None)
    assert not same(bug, "kernel BUG at fs/hfs/bnode.c:LINE!", None)


def test_another_function_kind_or_consequence() -> None:
    assert not same(_LEAK, "memory leak in hfs_init_fs_context", None)
    assert not same(_LEAK, "WARNING in gfs2_init_fs_context", None)
    assert not same(_LEAK, "", None)
    late = Failure(CORRUPTION, "KASAN: use-after-free Read in f", follows=True)
    assert not same(late, late.title, None)


def test_the_reported_function_may_be_inlined_here() -> None:
    oops = Failure(
        OOPS,
        "divide error in read_blocklist_ptrs",
        functions=("read_blocklist_ptrs", "squashfs_read_folio"),
        evidence="RIP: 0010:read_blocklist_ptrs.constprop.0+0x4e/0x2b0 [squashfs]\n",
    )
    title = "divide error in fill_meta_index"
    assert not same(oops, title, None)
    place = ("fs/squashfs/file.c", 220)
    inner = (
        Frame("calculate_skip", *place, True),
        Frame("fill_meta_index", *place, True),
        Frame("read_blocklist_ptrs", *place, False),
    )
    found = with_inlined(oops, lambda text: [("read_blocklist_ptrs.constprop.0", inner)])
    assert found.functions[:3] == ("calculate_skip", "fill_meta_index", "read_blocklist_ptrs")
    assert same(found, title, None)
    assert not same(found, "divide error in squashfs_export_iget", None)
    # What is not known stays as it is.
    assert with_inlined(oops, lambda text: []) == oops
