"""How functions fail, from their source."""

from __future__ import annotations

import pytest

from errpath.errors import UsageError
from errpath.faults.shapes import artefact, check_retval, definition_at, shape_of

_SOURCE = """\
#include <linux/fs.h>

static int first(struct inode *inode)
{
	return second(inode) ? -EIO : 0;
}

static struct buffer_head *
second(struct inode *inode)
{
	if (!inode)
		return NULL;
	return sb_bread(inode->i_sb, 0);
}

struct inode *third(int number)
{
	return ERR_PTR(-ENOMEM);
}

static unsigned int fourth(void)
{
	return 1;
}

static bool fifth(void) { return true;
}

static __always_inline void sixth(int a, int b)
{
	first(NULL);
}

static int seventh(void)
{
	return 8;
}
"""


def _shape(name: str) -> tuple[str, tuple[str, ...], str]:
    line = next(n for n, text in enumerate(_SOURCE.splitlines(), 1) if f"{name}(" in text)
    if name == "second":
        line = 9
    found = shape_of(definition_at(_SOURCE, name, line + 1), name)
    return found.type, found.retvals, found.reason


def test_what_each_type_can_return() -> None:
    assert _shape("first") == ("int", ("EIO",), "")
    assert _shape("second") == ("struct buffer_head *", ("NULL",), "")
    assert _shape("third") == ("struct inode *", ("ERR_PTR(EIO)",), "")
    assert _shape("fourth")[1:] == ((), "returns unsigned int, which holds no errno")
    assert _shape("fifth")[1:] == ((), "a bool: neither value is a failure by itself")
    assert _shape("sixth") == ("void", (), "returns nothing")
    assert _shape("seventh")[1:] == ((), "no errno is in it")


def test_values_that_are_no_failure() -> None:
    values = {}
    for name in ("first", "second", "third", "fifth", "sixth"):
        line = 9 if name == "second" else _SOURCE[: _SOURCE.index(f"{name}(")].count("\n") + 1
        values[name] = shape_of(definition_at(_SOURCE, name, line + 1), name).values
    assert values == {
        "first": ("0", "1"),
        "second": (),
        "third": ("NULL",),
        "fifth": ("false", "true"),
        "sixth": (),
    }


def test_a_function_that_is_not_there() -> None:
    assert definition_at(_SOURCE, "nobody", 5) == ""
    assert definition_at(_SOURCE, "nobody", 1) == ""


_RENAMED = """\
struct hfs_btree *hfs_btree_open(struct super_block *sb, u32 id,
\t\t\t\t btree_keycmp keycmp)
{
\treturn NULL;
}
"""


@pytest.mark.parametrize("line", [1, 2, 3])
def test_a_function_that_a_macro_renames_is_found_by_its_line(line: int) -> None:
    """The debug information has the line of its head, and the name that the macro gave it."""
    found = definition_at(_RENAMED, "hfsplus_btree_open", line)
    assert found.startswith("struct hfs_btree *hfsplus_btree_open(struct super_block *sb, u32 id,")
    assert shape_of(found, "hfsplus_btree_open").retvals == ("NULL",)
    # Not by a line of its body: that may be another function's.
    assert definition_at(_RENAMED, "hfsplus_btree_open", 4) == ""
    assert shape_of("", "nobody").reason == "its definition was not found in the source"


@pytest.mark.parametrize(
    ("function", "retval"),
    [("first", "NULL"), ("second", "3"), ("fifth", "EIO"), ("sixth", "0"), ("fourth", "EIO")],
)
def test_a_shape_that_the_type_does_not_allow_is_refused(function: str, retval: str) -> None:
    line = next(n for n, text in enumerate(_SOURCE.splitlines(), 1) if f"{function}(" in text)
    line = 9 if function == "second" else line
    shape = shape_of(definition_at(_SOURCE, function, line), function)
    with pytest.raises(UsageError, match=rf"{function}: got {retval}; it returns .*: expected"):
        check_retval(function, shape, retval)


def test_a_shape_that_the_type_allows() -> None:
    shape = shape_of("int f(void)\n{\n}", "f")
    check_retval("f", shape, "EIO")
    check_retval("f", shape, "3")
    # The same as ERR_PTR(EIO).
    check_retval("g", shape_of("struct inode *g(void)\n{\n}", "g"), "EIO")


def test_artefacts_have_reasons() -> None:
    assert "folio locked" in artefact("hfs_read_folio")
    assert artefact("xfs_ilock_nowait")
    assert artefact("hfs_mdb_get") == ""
    assert "locked buffer" in artefact("ext4_read_bh")
    assert artefact("ext4_sb_bread_unmovable") == ""
