"""A job's known issues against records: of today, and from before failures were kept."""

from __future__ import annotations

import datetime
from dataclasses import replace
from pathlib import Path

import pytest

from errpath.errors import DefinitionError
from errpath.oracles import failure
from errpath.oracles.failure import Failure
from errpath.results.known import find_known, load_known
from errpath.results.records import CaseRecord, CaseStatus
from suites.selftest.results.data import LEAK, records

_TODAY = datetime.date(2026, 11, 22)
_NEW = r"""
issues:
  - id: s-fs-info
    title: s_fs_info is lost
    link: https://lore.kernel.org/r/1
    cases: ["hfs-setup_bdev_super-*"]
    failure: {kind: leak, function: hfs_init_fs_context}
    guest: micro*
    until: 2026-12-31
"""
# As files were written for 025a9ed.
_OLD = r"""
issues:
  - title: s_fs_info is lost
    link: https://lore.kernel.org/r/1
    cases: ["hfs-setup_bdev_super-*"]
    failure: 'leak \d+ < hfs_init_fs_context'
    kernels: ["stable*"]
    until: 2026-12-31
"""
_OOPS = Failure(failure.OOPS, "general protection fault in hfs_fill_super")


def _write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "known.yaml"
    path.write_text(text)
    return path


@pytest.mark.parametrize("text", [_NEW, _OLD], ids=["new", "old"])
def test_covers(tmp_path: Path, text: str) -> None:
    issues = load_known(_write(tmp_path, text))
    leak = records("F")
    assert find_known(issues, leak, "stable-7.2", "microvm", _TODAY) is issues[0]
    assert find_known(issues, leak, "stable", "microvm", datetime.date(2027, 1, 1)) is None
    assert find_known(issues, [], "stable", "microvm", _TODAY) is None
    assert issues[0].title == "s_fs_info is lost"


def test_where_it_ran(tmp_path: Path) -> None:
    """The job's name of a kernel counts in the files that have it, the guest in the others."""
    leak = records("F")
    old = load_known(_write(tmp_path, _OLD))
    assert find_known(old, leak, "next", "q35", _TODAY) is None
    assert find_known(old, leak, "stable", "q35", _TODAY) is old[0]
    new = load_known(_write(tmp_path, _NEW))
    assert find_known(new, leak, "next", "microvm", _TODAY) is new[0]
    assert find_known(new, leak, "next", "q35", _TODAY) is None


@pytest.mark.parametrize("text", [_NEW, _OLD], ids=["new", "old"])
def test_another_failure_of_the_same_case_is_not_covered(tmp_path: Path, text: str) -> None:
    issues = load_known(_write(tmp_path, text))
    oops = records("F", found=_OOPS)
    assert find_known(issues, oops, "stable", "microvm", _TODAY) is None
    assert find_known(issues, [*records("F"), *oops], "stable", "microvm", _TODAY) is None
    (both,) = records("F")
    both = replace(both, failures=(LEAK, _OOPS))
    assert find_known(issues, [both], "stable", "microvm", _TODAY) is None


def test_records_from_before_are_read_with_the_files_of_then(tmp_path: Path) -> None:
    record = CaseRecord(
        "hfs-setup_bdev_super-EIO-0000",
        CaseStatus.FAIL,
        reasons=("leak: 1 unreferenced object, 512 bytes, confirmed 2 of 2",),
        signature="leak 512 < hfs_init_fs_context < alloc_fs_context",
    )
    old = load_known(_write(tmp_path, _OLD))
    assert find_known(old, [record], "stable", "microvm", _TODAY) is old[0]
    other = replace(record, signature="oops x", reasons=("kernel oops: x",))
    assert find_known(old, [other], "stable", "microvm", _TODAY) is None


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (("https://lore.kernel.org/r/1", "ask Bob"), "link: got 'ask Bob'"),
        ((r"'leak \d+ < hfs_init_fs_context'", "'('"), "regular expression"),
        ((r"'leak \d+ < hfs_init_fs_context'", "''"), "failure: got nothing"),
        (("2026-12-31", "soon"), "YYYY-MM-DD"),
        (('["hfs-setup_bdev_super-*"]', "[]"), "at least one"),
        (("    until: 2026-12-31", "    expires: 2026-12-31"), "unknown key 'expires'"),
    ],
)
def test_wrong_old_files(tmp_path: Path, change: tuple[str, str], text: str) -> None:
    with pytest.raises(DefinitionError, match=text):
        load_known(_write(tmp_path, _OLD.replace(*change)))


@pytest.mark.parametrize("text", [_NEW, _OLD], ids=["new", "old"])
def test_entries_are_told_apart(tmp_path: Path, text: str) -> None:
    entry = text.partition("issues:\n")[2]
    with pytest.raises(DefinitionError, match="twice"):
        load_known(_write(tmp_path, text + entry))
