"""Known issues cover what they say, and nothing else, and not for ever."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest

from errpath.errors import DefinitionError
from errpath.results.known import find_known, load_known
from suites.selftest.results.data import records

_TODAY = datetime.date(2026, 11, 22)
_FILE = r"""
issues:
  - title: s_fs_info is lost
    link: https://lore.kernel.org/r/1
    cases: ["hfs-setup_bdev_super-*"]
    failure: 'leak \d+ < hfs_init_fs_context'
    kernels: ["stable*"]
    until: 2026-12-31
"""


def _write(tmp_path: Path, text: str = _FILE) -> Path:
    path = tmp_path / "known.yaml"
    path.write_text(text)
    return path


def test_covers(tmp_path: Path) -> None:
    issues = load_known(_write(tmp_path))
    leak = records("F")
    assert find_known(issues, leak, "stable-7.2", _TODAY) is issues[0]
    assert find_known(issues, leak, "next", _TODAY) is None
    assert find_known(issues, leak, "stable", datetime.date(2027, 1, 1)) is None
    assert find_known(issues, [], "stable", _TODAY) is None


def test_another_failure_of_the_same_case_is_not_covered(tmp_path: Path) -> None:
    issues = load_known(_write(tmp_path))
    oops = records("F", signature="oops general protection fault in hfs_fill_super")
    assert find_known(issues, oops, "stable", _TODAY) is None
    assert find_known(issues, [*records("F"), *oops], "stable", _TODAY) is None


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
def test_wrong_files(tmp_path: Path, change: tuple[str, str], text: str) -> None:
    with pytest.raises(DefinitionError, match=text):
        load_known(_write(tmp_path, _FILE.replace(*change)))


def test_titles_are_unique(tmp_path: Path) -> None:
    entry = _FILE.partition("issues:\n")[2]
    with pytest.raises(DefinitionError, match="twice"):
        load_known(_write(tmp_path, _FILE + entry))
