"""Recorded call chains and the names of points."""

from __future__ import annotations

import pytest

from errpath.errors import InfrastructureError
from errpath.faults.chains import Chain, ChainFrame, name_chain, number, own_functions, parse_chains

_TEXT = (
    "0 - 2 ab12 __kmalloc_cache_noprof+0x11/0x20 minix_fill_super+0x5/0x90 [minix] "
    "get_tree_bdev_flags+0x1/0x2 __do_sys_fsconfig+0x3/0x4 do_syscall_64+0x1/0x2\n"
    "6 minix_iget 1 1\n"
)


def test_the_module_s_lines() -> None:
    slab, call = parse_chains(_TEXT)
    assert (slab.kind, slab.function, slab.count, slab.hash) == ("slab", "", 2, "ab12")
    assert slab.frames[1] == ChainFrame("minix_fill_super", 5, 0x90, "minix")
    assert slab.frames[2].module == ""
    assert call == Chain("call", "minix_iget", 1, "1")


@pytest.mark.parametrize("line", ["0 - 2", "9 - 1 ab", "0 - x ab", "0 - 1 ab nonsense"])
def test_other_lines_are_refused(line: str) -> None:
    with pytest.raises(InfrastructureError, match="expected KIND FUNCTION COUNT CHAIN"):
        parse_chains(line)


def _expand(frame: ChainFrame) -> tuple[str, ...]:
    return {
        "minix_fill_super": ("minix_blocks", "minix_fill_super"),
        "folded.isra.0": ("folded.isra.0",),
    }.get(frame.function, (frame.function,))


def _chain(*frames: tuple[str, str]) -> Chain:
    return Chain("slab", "", 1, "1", tuple(ChainFrame(name, 1, 2, mod) for name, mod in frames))


def test_a_name_has_the_filesystem_s_functions_with_inlined_ones() -> None:
    slab, call = parse_chains(_TEXT)
    assert name_chain(slab, {"minix"}, _expand) == "minix_fill_super>minix_blocks"
    assert name_chain(call, {"minix"}, _expand) == "minix_iget"


def test_a_name_ends_in_what_the_filesystem_called() -> None:
    chain = _chain(("kmalloc", ""), ("alloc_workqueue", ""), ("minix_x", "minix"), ("get_tree", ""))
    assert name_chain(chain, {"minix"}, _expand) == "minix_x>alloc_workqueue"


def test_a_chain_without_the_filesystem_ends_in_the_kernel_s_functions() -> None:
    chain = _chain(("kmalloc", ""), ("c", ""), ("b", ""), ("a", ""), ("z", ""), ("do_mount", ""))
    assert name_chain(chain, {"minix"}, _expand) == "a>b>c"


def test_a_name_has_no_compiler_s_endings_and_no_function_twice_in_a_row() -> None:
    chain = _chain(("folded.isra.0", "minix"), ("folded.isra.0", "minix"))
    assert name_chain(chain, {"minix"}, _expand) == "folded"


def test_a_long_way_keeps_its_ends_and_stays_apart() -> None:
    def long(middle: str) -> str:
        inner = [(f"a_function_of_the_filesystem_{number}", "minix") for number in range(8)]
        return name_chain(_chain(*inner, (middle, "minix"), ("first", "minix")), {"minix"}, _expand)

    assert len(long("one")) <= 120
    assert long("one").startswith("first>~")
    assert long("one").endswith("_1>a_function_of_the_filesystem_0")
    assert long("one") != long("two")


def test_names_that_came_before_are_numbered() -> None:
    assert number(["a", "b", "a", "a"]) == ["a", "b", "a#2", "a#3"]


def test_the_filesystem_s_functions_on_a_chain_the_innermost_first() -> None:
    slab, call = parse_chains(_TEXT)
    assert own_functions(slab, {"minix"}, _expand) == ("minix_blocks", "minix_fill_super")
    assert own_functions(slab, {"hfs"}, _expand) == ()
    assert own_functions(call, {"minix"}, _expand) == ("minix_iget",)
