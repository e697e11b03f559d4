"""Statements are marked, and what a test reaches of them is read."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from errpath.analysis.mutation.mutants import controls, find_mutants, mount_functions
from errpath.analysis.mutation.reach import Marks, Reach, marks_patch
from errpath.errors import InfrastructureError

_SUPER = """\
static int demo_fill(struct super_block *sb)
{
\tif (!sb)
\t\tgoto out;\t/* the caller's */
\telse
\t\tbrelse(sb->bh);
\tkfree(sb->s_fs_info,
\t      1);
\treturn 0;
out:
\treturn -EINVAL;
}

static const struct fs_context_operations demo_ops = {
\t.get_tree = demo_fill,
};

module_init(demo_init);
"""


def _sources() -> dict[str, str]:
    return {"fs/demo/super.c": _SUPER}


def test_a_statement_is_marked_where_it_stands_and_the_rest_stays(tmp_path: Path) -> None:
    mutants = find_mutants(mount_functions(_sources()).values())
    assert len(mutants) == 3
    text = marks_patch((*mutants, *controls("fs/demo/super.c", 1)), _sources(), exported=True)
    (tmp_path / "fs/demo").mkdir(parents=True)
    file = tmp_path / "fs/demo/super.c"
    file.write_text(_SUPER)
    subprocess.run(["patch", "-p1", "-s"], input=text, text=True, cwd=tmp_path, check=True)
    marked = file.read_text()
    assert marked.startswith("extern char errpath_reached0[];\n")
    assert "\t\t{ errpath_reached0[0] = '1'; goto out; }\t/* the caller's */\n" in marked
    assert "\t\t{ errpath_reached0[1] = '1'; brelse(sb->bh); }\n" in marked
    assert "\t{ errpath_reached0[2] = '1'; kfree(sb->s_fs_info,\n\t      1); }\n" in marked
    assert 'char errpath_reached0[4] = "000";\n' in marked
    assert "EXPORT_SYMBOL_GPL(errpath_reached0);\n" in marked
    assert "EXPORT" not in marks_patch(mutants, _sources(), exported=False)
    compiler = ["gcc", "-fsyntax-only", "-w", "-std=gnu11", "-x", "c", "-"]
    body = marked.partition("static const")[0]
    head = (
        "struct super_block { void *bh, *s_fs_info; };\n#define EINVAL 22\n"
        "void brelse(void *);\nvoid kfree(void *, int);\n"
    )
    subprocess.run(compiler, input=head + body, text=True, check=True)


def test_files_that_register_no_module_have_no_room_for_marks() -> None:
    sources = {"fs/demo/super.c": _SUPER.replace("module_init", "demo_init")}
    mutants = find_mutants(mount_functions(sources).values())
    with pytest.raises(InfrastructureError, match=r"module_init"):
        marks_patch(mutants, sources, exported=False)


class _Guest:
    """Has one file of marks."""

    def __init__(self, text: str) -> None:
        self.text = text

    def read_file(self, path: str) -> bytes:
        assert path == "/sys/module/demo/parameters/errpath_reached0"
        return f"{self.text}\n".encode()

    def write_file(self, path: str, data: str) -> None:
        self.text = data


def test_marks_are_taken_once() -> None:
    guest = _Guest("0110")
    marks = Marks(("a", "b", "c", "d"), "demo")
    assert marks.take(guest) == {"b", "c"}
    assert guest.text == "0000"
    assert marks.take(guest) == frozenset()


def test_a_test_may_tell_of_what_it_reaches_and_of_what_is_not_known() -> None:
    reach = Reach(frozenset("abc"))
    reach.add(Reach(by_test={"one": frozenset("a"), "lost": None}, between=frozenset("c")))
    told = {m: [t for t in ("one", "lost", "new") if reach.may_tell(m, t)] for m in "abcd"}
    assert told == {
        "a": ["one", "lost", "new"],
        "b": ["lost", "new"],
        "c": ["one", "lost", "new"],
        "d": ["one", "lost", "new"],
    }
