"""Kernel source → functions and error exits."""

from __future__ import annotations

from pathlib import Path

from errpath.analysis.coverage.csource import (
    called_from,
    error_exits,
    functions,
    only_below,
)

_SOURCE = Path(__file__).with_name("example.c.txt").read_text()


def test_functions_are_found_with_their_lines() -> None:
    found = functions("fs/x/super.c", _SOURCE)
    assert list(found) == ["helper", "fill_super", "callback", "unrelated"]
    assert _SOURCE.splitlines()[found["helper"].line - 1] == "{"


def test_what_no_build_compiles_is_blank_and_keeps_its_lines() -> None:
    text = """int f(void)
{
#if 0
#ifdef A
	one();
#endif
	two();
#else
	three();
#endif
#ifdef B
	four();
#endif
	return 0;
}
"""
    (found,) = functions("fs/x/super.c", text).values()
    assert [name for name in ("one", "two", "three", "four") if name in found.body] == [
        "three",
        "four",
    ]
    assert found.lines[6].strip() == "three();"


def test_error_exits_have_line_and_condition() -> None:
    lines = _SOURCE.splitlines()
    exits = error_exits(functions("fs/x/super.c", _SOURCE)["fill_super"])
    assert [(found.condition, found.statement) for found in exits] == [
        ("if (error)", "goto out;"),
        ("if (a > b || c)", "goto fail_page;"),
        ("default:", "return -EFAULT;"),
    ]
    for found in exits:
        assert found.statement in lines[found.line - 1]


def test_a_final_return_and_a_jump_back_are_no_exits() -> None:
    (only,) = error_exits(functions("fs/x/super.c", _SOURCE)["helper"])
    assert only.statement == "return -EINVAL;"
    (false,) = error_exits(functions("fs/x/super.c", _SOURCE)["callback"])
    assert false.statement == "return false;"


def test_what_is_passed_by_pointer_counts_as_called() -> None:
    known = functions("fs/x/super.c", _SOURCE)
    assert set(called_from(["fill_super"], known)) == {"fill_super", "helper", "callback"}


def test_only_below_leaves_what_others_lead_to() -> None:
    known = functions("fs/x/super.c", _SOURCE)
    assert only_below(["fill_super", "unrelated"], known, ["unrelated"]) == {"unrelated"}
    assert only_below(["fill_super"], known, ["callback"]) == {"callback"}
