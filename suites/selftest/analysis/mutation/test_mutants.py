"""Which statements of a source can be left out, and what a patch makes of it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from errpath.analysis.mutation.mutants import (
    Mutant,
    controls,
    find_mutants,
    mount_functions,
    patch_text,
)

_PATH = "fs/x/super.c"
_TEXT = """\
#include <linux/fs.h>

/* kfree(not); */
static int x_read(struct super_block *sb)
{
	struct buffer_head *bh = sb_bread(sb, 2);
	int err;

	if (!bh)
		return -EIO;
	err = -EINVAL;
	if (bh->b_size < 2)
		goto out;
	x_log("kfree(x); brelse(y);",
		bh);
	brelse(bh);
	if (err)
		brelse(bh);
	mutex_unlock(&sb->lock);
	cancel_delayed_work_sync(
		&sb->work);
out:
	kfree(bh);
	return err;
}

static void x_never(struct super_block *sb)
{
	kfree(sb);
}

static int x_fill_super(struct super_block *sb, struct fs_context *fc)
{
	return x_read(sb);
}

static const struct fs_context_operations x_context_ops = {
	.get_tree = x_fill_super,
};
"""


def _mutants() -> tuple[Mutant, ...]:
    return find_mutants(mount_functions({_PATH: _TEXT}).values())


def test_statements_of_what_a_mount_runs() -> None:
    found = [(one.kind, one.statement, one.number, one.line, one.lines) for one in _mutants()]
    assert found == [
        ("error", "err = -EINVAL;", 1, 11, 1),
        ("goto", "goto out;", 1, 13, 1),
        ("put", "brelse(bh);", 1, 16, 1),
        ("put", "brelse(bh);", 2, 18, 1),
        ("unlock", "mutex_unlock(&sb->lock);", 1, 19, 1),
        ("cancel", "cancel_delayed_work_sync( &sb->work);", 1, 20, 2),
        ("release", "kfree(bh);", 1, 23, 1),
    ]


def test_an_id_holds_no_line() -> None:
    ids = [one.id for one in _mutants()]
    assert ids[2:4] == [f"{_PATH}:x_read:brelse(bh);", f"{_PATH}:x_read:brelse(bh);#2"]
    moved = find_mutants(mount_functions({_PATH: "\n\n" + _TEXT}).values())
    assert [one.id for one in moved] == ids


@pytest.mark.parametrize("number", range(7))
def test_a_patch_leaves_one_statement_out(number: int, tmp_path: Path) -> None:
    mutant = _mutants()[number]
    file = tmp_path / _PATH
    file.parent.mkdir(parents=True)
    file.write_text(_TEXT)
    patch = patch_text(mutant, _TEXT)
    subprocess.run(["patch", "-p1", "-s", "-d", tmp_path], input=patch, text=True, check=True)
    old, new = _TEXT.splitlines(), file.read_text().splitlines()
    assert new[mutant.line - 1].strip() == ";"
    del old[mutant.line - 1 : mutant.line - 1 + mutant.lines]
    del new[mutant.line - 1]
    assert new == old


def test_a_control_adds_a_comment_and_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / _PATH
    file.parent.mkdir(parents=True)
    file.write_text(_TEXT)
    first, second = controls(_PATH, 2)
    assert first.id != second.id
    patch = patch_text(second, _TEXT)
    subprocess.run(["patch", "-p1", "-s", "-d", tmp_path], input=patch, text=True, check=True)
    assert file.read_text() == _TEXT + "/* 2 */\n"
