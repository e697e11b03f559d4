"""From C to a statement about kill_sb: the script's output, and the script itself."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from errpath.analysis.audit.facts import Conclusion, Reading, candidates, parse_facts, read_files
from errpath.analysis.compare.observe import Observed
from errpath.cli.audit import rows, summary
from errpath.errors import InfrastructureError
from errpath.oracles import failure
from errpath.oracles.failure import Failure

SOURCE = """
static void x_free(struct x_info *info) { kfree(info); }

static int x_init_fs_context(struct fs_context *fc)
{
	struct x_info *info;

	info = kzalloc_obj(struct x_info);
	if (!info)
		return -ENOMEM;
	fc->s_fs_info = info;
	fc->ops = &x_ops;
	return 0;
}

KILL

static struct file_system_type x_fs_type = {
	.owner = THIS_MODULE,
	.name = "x",
	.init_fs_context = x_init_fs_context,
	.kill_sb = HOOK,
};
"""
OWN = """
static void x_kill_sb(struct super_block *sb)
{
	struct x_info *info = %s;

	kill_block_super(sb);
	%s;
}
"""


def _read(tmp_path: Path, kill: str, hook: str, *, source: str = SOURCE) -> Reading:
    (tmp_path / "x.c").write_text(source.replace("KILL", kill).replace("HOOK", hook))
    (reading,) = read_files(tmp_path, ["x.c"])
    return reading


needs_spatch = pytest.mark.skipif(shutil.which("spatch") is None, reason="no spatch")


@needs_spatch
def test_the_generic_kill_sb_is_the_pattern(tmp_path: Path) -> None:
    reading = _read(tmp_path, "", "kill_block_super")
    assert reading.conclusion is Conclusion.PATTERN
    assert "x.c:11" in reading.why
    assert "kill_block_super does not free it" in reading.why


@needs_spatch
@pytest.mark.parametrize("got", ["sb->s_fs_info", "X_SB(sb)"])
@pytest.mark.parametrize(
    "end",
    [
        "kfree(info)",
        "x_free(info)",
        "if (info) x_free(info)",
        "call_rcu(&info->rcu, x_free)",
        "kfree_rcu(info, rcu)",
    ],
)
def test_a_kill_sb_that_frees_is_seen(tmp_path: Path, got: str, end: str) -> None:
    assert _read(tmp_path, OWN % (got, end), "x_kill_sb").conclusion is Conclusion.FREED


@needs_spatch
@pytest.mark.parametrize("end", ["info->dead = 1", "x_restore_readahead(info)"])
def test_a_kill_sb_of_its_own_that_frees_nothing_is_the_pattern(tmp_path: Path, end: str) -> None:
    assert _read(tmp_path, OWN % ("X_SB(sb)", end), "x_kill_sb").conclusion is Conclusion.PATTERN


@needs_spatch
def test_without_early_data_there_is_no_pattern(tmp_path: Path) -> None:
    source = SOURCE.replace("fc->s_fs_info = info;", "fc->fs_private = info;")
    assert _read(tmp_path, "", "kill_block_super", source=source).conclusion is Conclusion.LATER


def test_lines_that_are_no_facts() -> None:
    assert parse_facts("warning: metavariable x not used\n") == ()
    with pytest.raises(InfrastructureError, match="expected a JSON object"):
        parse_facts("{broken\n")


def test_only_files_that_define_a_filesystem_are_read() -> None:
    files = [
        ("a.c", b"struct file_system_type a = { .kill_sb = b };"),
        ("b.c", b"struct file_system_type *fs;"),
    ]
    assert candidates(files) == ("a.c",)


def _reading(fstype: str, said: Conclusion, home: str = "") -> Reading:
    return Reading(fstype, f"fs/{home or fstype}/super.c", "x_init_fs_context", said, "")


LEAK = Observed(
    "b",
    (
        Failure(
            failure.LEAK,
            "memory leak in x_init_fs_context",
            functions=("__kmalloc_noprof", "x_init_fs_context", "alloc_fs_context"),
        ),
    ),
)
CLEAN = Observed("a")


def test_disagreements_come_first() -> None:
    readings = [
        _reading("hfs", Conclusion.FREED),
        _reading("adfs", Conclusion.PATTERN),
        _reading("efs", Conclusion.LATER),
    ]
    found = rows(readings, {"hfs": [LEAK], "adfs": [CLEAN, LEAK], "efs": [CLEAN]})
    assert [(row.name, row.disagrees) for row in found] == [
        ("hfs", True),
        ("adfs", False),
        ("efs", False),
    ]
    (row,) = rows([_reading("adfs", Conclusion.PATTERN)], {"adfs": [CLEAN]})
    assert row.disagrees
    (row,) = rows([_reading("debugfs", Conclusion.PATTERN)], {})
    assert (row.measured, row.disagrees) == ("not measured", False)
    assert rows([_reading("debugfs", Conclusion.PATTERN)], {}, every=False) == []


def test_the_name_is_that_of_the_definition() -> None:
    (row,) = rows([_reading("vxfs", Conclusion.LATER, "freevxfs")], {"freevxfs": [CLEAN]})
    assert (row.name, row.measured) == ("freevxfs", "clean")
    # ext4 serves the name ext2 as well; ext2's cases say nothing of it.
    both = [_reading("ext2", Conclusion.LATER), _reading("ext2", Conclusion.LATER, "ext4")]
    found = rows(both, {"ext2": [CLEAN]})
    assert [(row.name, row.measured) for row in found] == [
        ("ext2", "clean"),
        ("ext2 (fs/ext4)", "not measured"),
    ]


def test_one_word_for_many_cases() -> None:
    error = Observed("c", (failure.infrastructure("no guest"),))
    crash = Observed("d", (Failure(failure.OOPS, "kernel BUG in f"),))
    functions = ("x_fill_super", "get_tree_bdev_flags")
    other = Observed("e", (Failure(failure.LEAK, "memory leak in x", functions=functions),))
    init = "x_init_fs_context"
    assert summary([CLEAN, LEAK, error, other], init) == "leaks"
    assert summary([CLEAN, crash, other], init) == "crashes"
    # A leak of something else neither confirms nor refutes what was read.
    assert summary([CLEAN, other], init) == "leaks elsewhere"
    assert summary([CLEAN, error], init) == "no answer"
    assert summary([CLEAN, CLEAN], init) == "clean"
    assert summary([], init) == "not measured"
