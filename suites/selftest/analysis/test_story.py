"""The functions that a patch changes, and whether a report names one."""

from __future__ import annotations

from errpath.analysis.story import Row, changed_functions, look_at, markdown

_SOURCE = """\
static int first(struct inode *inode,
                 int flags)
{
\tone();
\ttwo();
}

int second(void)
{
\tthree();
}

static struct ops ops = {
\t.kill_sb\t= generic,
};
"""
_DIFF = """\
--- a/fs/x.c
+++ b/fs/x.c
@@ -3,4 +3,4 @@
 {
-\tone();
+\tanother();
 \ttwo();
 }
@@ -9,3 +9,4 @@
 {
 \tthree();
+\tfour();
 }
@@ -13,3 +14,3 @@
 static struct ops ops = {
-\t.kill_sb\t= generic,
+\t.kill_sb\t= own,
 };
"""


def test_functions_that_hold_changed_lines_and_hooks_that_are_filled() -> None:
    assert changed_functions(_DIFF, {"fs/x.c": _SOURCE}.get) == ("first", "second", "kill_sb")
    assert changed_functions(_DIFF, lambda path: None) == ("kill_sb",)


def test_a_name_that_a_header_defines_is_a_name_too() -> None:
    header = "#define second\t\tx_second\n"
    files = {"fs/x/y.c": _SOURCE, "fs/x/x_fs.h": header}
    diff = _DIFF.replace("fs/x.c", "fs/x/y.c")
    assert "x_second" in changed_functions(diff, files.get)


def test_where_a_report_says_to_look() -> None:
    report = "case: FAIL\n\n  lost       x\n  look at    second (fs/x.c:10)\n\n  trace\n"
    assert look_at(report) == "second (fs/x.c:10)"
    assert look_at("case: FAIL\n") == ""


def test_only_what_loses_or_crashes_counts() -> None:
    def row(title: str, look: str) -> Row:
        return Row("bug", "case", title, look, ("second", "kill_sb"))

    assert row("memory leak in f", "kill_sb of hfs").named
    # A name in the path is none of a function.
    assert not row("memory leak in f", "f (fs/second/second.c:1)").named
    rows = [
        row("memory leak in f", "second (fs/x.c:10)"),
        row("BUG: f", "f"),
        row("mount: 0; expected -EIO", ""),
    ]
    assert list(markdown(rows))[-1].startswith("1 of 2 leaks, crashes and hangs name")
