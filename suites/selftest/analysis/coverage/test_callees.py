"""Callees: read from objdump's text and from source, and what the points of a sweep do to them."""

from __future__ import annotations

import pytest

from errpath.analysis.coverage.callees import (
    Callee,
    Coverage,
    calls_in,
    inlined_into,
    judge_callees,
    operations,
)
from errpath.analysis.coverage.csource import functions
from errpath.analysis.coverage.swept import Swept, page
from errpath.faults.model import Alloc, Call
from errpath.faults.points import LeftOut, Point

_OBJDUMP = """
0000000000000010 <my_fill_super>:
  10:\tcall   15 <my_fill_super+0x5>
\t\t\t11: R_X86_64_PLT32\t__fentry__-0x4
  20:\tjmp    40 <my_fill_super+0x30>
  25:\tcall   100 <my_read>
  2a:\tcall   2f <my_fill_super+0x1f>
\t\t\t2b: R_X86_64_PLT32\t.text.unlikely+0x7c
  2f:\tjmp    34 <my_fill_super+0x24>
\t\t\t30: R_X86_64_PLT32\tsb_set_blocksize-0x4
0000000000000000 <my_fill_super.cold>:
   0:\tcall   5 <my_fill_super.cold+0x5>
\t\t\t1: R_X86_64_PLT32\tmy_complain.isra.0-0x4
0000000000000100 <my_read>:
 100:\tcall   *0x8(%rax)
 108:\tcall   100 <my_read>
"""

_SOURCE = """
static int my_helper(struct super_block *sb)
{
\treturn my_other(sb) + my_read(sb);
}

static int my_other(struct super_block *sb)
{
\treturn 0;
}

static int my_fill_super(struct super_block *sb)
{
\tmy_helper(sb);
\treturn my_unknown(sb);
}
"""


def test_calls_are_read_with_what_the_linker_will_fill_in() -> None:
    found = set(calls_in(_OBJDUMP.splitlines(), {(".text.unlikely", 0x80): "my_slow"}))
    assert found == {
        ("my_fill_super", "__fentry__"),
        ("my_fill_super", "my_read"),
        ("my_fill_super", "my_slow"),
        ("my_fill_super", "sb_set_blocksize"),
        ("my_fill_super", "my_complain"),
    }


def test_what_has_no_code_of_its_own_is_inlined_with_what_it_calls() -> None:
    sources = functions("super.c", _SOURCE)
    assert inlined_into("my_fill_super", sources, {"my_read"}) == ("my_helper", "my_other")
    assert inlined_into("my_fill_super", sources, {"my_read", "my_helper"}) == ()


def test_operations_of_both_mount_apis() -> None:
    texts = (".put_super = my_put,\n.remount_fs\t= my_remount,", ".reconfigure = my_reconfigure")
    assert operations(texts) == {
        "reconfigure": ("my_remount", "my_reconfigure"),
        "put_super": ("my_put",),
    }


def _judged() -> tuple[Callee, ...]:
    points = [
        Point("read", Call("read"), ("read",)),
        Point("read#2", Call("read", nth=2), ("read",)),
        Point("fill>start", Alloc(chain="1"), ("start", "fill")),
    ]
    left = [LeftOut("start", "returns nothing"), LeftOut("number", "no errno is in it")]
    names = ("read", "start", "number", "never", "frees")
    return judge_callees(
        names, points, left, lambda name: "returns nothing" if name == "frees" else ""
    )


def test_a_callee_is_failed_itself_or_below_or_not_at_all() -> None:
    assert _judged() == (
        Callee("frees", 0, 0, "returns nothing"),
        Callee("never", 0, 0, ""),
        Callee("number", 0, 0, "no errno is in it"),
        Callee("read", 2, 0, ""),
        Callee("start", 0, 1, "returns nothing"),
    )


def test_the_share_is_of_those_that_can_fail() -> None:
    root = Coverage("fill_super", "my_fill_super", _judged(), ("my_helper",))
    found = Swept(
        "my", {"plain": 1, "call": 2, "alloc": 3, "io": 0}, (root,), ("mount-rw small: it hangs",)
    )
    # read is failed, never is not; the others cannot fail.
    assert found.share == pytest.approx(50.0)
    text = page("Linux 7.2", [found, found], {"other": "no image can be made"})
    assert "| my | 6 | 1 | 2 | 3 | 0 | 5 | 2 | 1 | 50 % | 1 |" in text
    assert "| together | 12 | 2 | 4 | 6 | 0 |" in text
    assert "\nother is not measured: no image can be made.\n" in text
    assert "  - failed: read\n  - not failed: never\n" in text
    assert "  - cannot fail, returns nothing: frees, start\n" in text
    assert "  - inlined: my_helper\n" in text
    assert "\n- not recorded: mount-rw small: it hangs\n" in text
