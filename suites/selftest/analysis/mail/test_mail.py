"""Mails: read, made, and read again by git; tags that are earned, and that are not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from errpath.analysis.compare.mail import short_patch_id
from errpath.analysis.compare.reply import reply_text
from errpath.analysis.compare.series import split_series
from errpath.analysis.mail.compose import Letter, bug_mail, patch_mail
from errpath.analysis.mail.evidence import (
    CaseReport,
    Evidence,
    read_finding,
    read_record,
    reported_by,
)
from errpath.analysis.mail.message import parse_patch, read_patches, split_mailbox
from errpath.cli import main
from errpath.errors import PatchError, UsageError
from errpath.kernel.layout import Layout
from errpath.kernel.source.spec import open_spec
from errpath.kernel.source.tree import File, Tree
from errpath.util.cache import cache_root
from errpath.util.progress import silent
from suites.selftest.git_am import git_am
from suites.selftest.kernel.source.test_patches import FakeBase
from suites.selftest.paths import ROOT

_FINDINGS = ROOT / "docs" / "findings"
_MAIL = (
    """\
From: A Person <a@b.org>
Date: Mon, 23 Nov 2026 00:33:21 +0000
Message-ID: <1@b.org>
To: list@c.org
Subject: [PATCH v2 1/2] hfs: a change
 that is long

It is wrong.

Cc: stable@vger.kernel.org
Fixes: 123456789012 ("hfs: begin")
---
v2: again

 fs/hfs/mdb.c | 2 +-

--- a/fs/hfs/mdb.c
+++ b/fs/hfs/mdb.c
@@ -1,3 +1,3 @@
 a
-b
+x
 c
"""
    + "-- \n2.40\n"
)
_BARE = """\
Subject: [PATCH] hfs: bare

It is.
---
--- a/fs/hfs/mdb.c
+++ b/fs/hfs/mdb.c
@@ -1 +1 @@
-a
+b
"""
_REPORT = """\
hfs-a-case: FAIL
  memory leak in hfs_init_fs_context (1 unreferenced object, 512 bytes, confirmed 2 of 2)

  forced     setup_bdev_super = -EIO (fired 1 times)

  unreferenced object 0xffff888003c2ec00 (size 512):
    hex dump (first 16 bytes):
      00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00  ................
    backtrace (crc f2b1adf8):
      hfs_init_fs_context+0x1f [hfs]  fs/hfs/super.c:414
      alloc_fs_context+0x114  fs/fs_context.c:295

  allocated  hfs_init_fs_context (fs/hfs/super.c:414), 512 bytes

  trace
    get_tree_bdev_flags

  rerun      errpath run hfs-a-case
  artefacts  /home/somebody/results
"""
_LETTER = Letter(
    "B <b@c.org>", "Mon, 23 Nov 2026 00:00:00 +0000", ("M <m@c.org>",), ("l@c.org",), "Linux 7.2"
)


@pytest.fixture
def tree() -> Tree:
    return Tree(FakeBase({"fs/hfs/mdb.c": File(b"a\nb\nc\n")}))


def test_a_mails_parts() -> None:
    patch = parse_patch(_MAIL, "m")
    assert (patch.author, patch.message_id) == ("A Person <a@b.org>", "<1@b.org>")
    assert patch.subject == "hfs: a change that is long"
    assert patch.body == "It is wrong."
    assert patch.tags == ("Cc: stable@vger.kernel.org", 'Fixes: 123456789012 ("hfs: begin")')
    assert patch.notes.startswith("v2: again")
    assert patch.paths == ("fs/hfs/mdb.c",)
    assert patch.diff.endswith("+x\n c\n")
    for text in (_MAIL.replace("Subject", "Object"), _MAIL.partition("\n--- a")[0]):
        with pytest.raises(PatchError, match=r"^m: "):
            parse_patch(text, "m")


def test_a_made_mail_is_applied_with_its_evidence_in_the_log(tree: Tree) -> None:
    tags = reported_by(
        "Reported-by: syzbot+1@syzkaller.appspotmail.com\nhttps://syzkaller.appspot.com/bug?extid=1\n"
    )
    evidence = Evidence.of([CaseReport("hfs-a-case", _REPORT)])
    text = patch_mail(_LETTER, parse_patch(_MAIL, "m"), tags, evidence)
    assert git_am(tree, [text.encode()]) == ("hfs: a change that is long",)
    message = parse_patch(text, "made")
    assert "    errpath run hfs-a-case\n" in message.body
    assert "fs/hfs/super.c:414" in message.body
    for own in ("hex dump", "00 00 00", "artefacts", "get_tree_bdev_flags"):
        assert own not in text
    assert message.tags == (
        'Fixes: 123456789012 ("hfs: begin")',
        "Reported-by: syzbot+1@syzkaller.appspotmail.com",
        "Closes: https://syzkaller.appspot.com/bug?extid=1",
        "Cc: stable@vger.kernel.org",
    )
    assert message.to == "M <m@c.org>"
    assert "Signed-off-by" not in text


def test_who_wrote_a_fixes_tag_knows_better_than_a_vote() -> None:
    text = patch_mail(_LETTER, parse_patch(_MAIL, "m"), ['Fixes: 0 ("other")'], Evidence())
    assert text.count("Fixes:") == 1
    assert 'Fixes: 123456789012 ("hfs: begin")' in text


def test_a_report_without_a_patch() -> None:
    evidence = Evidence.of([CaseReport("hfs-a-case", _REPORT)])
    text = bug_mail(_LETTER, "hfs", evidence, ())
    assert "Subject: [BUG] hfs: memory leak in hfs_init_fs_context\n" in text
    assert evidence.files == ("fs/hfs/super.c",)
    assert "errpath run hfs-a-case" in text
    assert "+++ " not in text


def test_a_report_names_somebody() -> None:
    mail = "From: A <a@b.org>\nMessage-ID: <7@b.org>\n\nIt leaks.\n"
    assert reported_by(mail) == (
        "Reported-by: A <a@b.org>",
        "Closes: https://lore.kernel.org/r/7@b.org",
    )
    with pytest.raises(UsageError, match="no reporter"):
        reported_by("It leaks.\n")


def test_a_series_is_split_and_put_together(tmp_path: Path) -> None:
    first = patch_mail(_LETTER, parse_patch(_MAIL, "m"), (), Evidence(), number=1, of=2)
    second = first.replace("-b\n+x", "-x\n+y").replace("1/2", "2/2")
    path = tmp_path / "series.mbox"
    path.write_text(f"{first}\n{second}")
    assert len(split_mailbox(path.read_text())) == 2
    assert [one.subject for one in read_patches((path,))] == ["hfs: a change that is long"] * 2
    files = split_series([path])
    assert [b"+y" in one.read_bytes() for one in files] == [False, True]


def _record(path: Path, patch: Path, **values: object) -> Path:
    case = {"case": "hfs-a-case", "state": "FIXED", "report": _REPORT}
    record = {
        "before": "Linux 7.2.13, debian:7.2",
        "after": "",
        "tag_earned": True,
        "table": "filesystem  state\nhfs         FIXED",
        "patches": [{"name": patch.name, "patch_id": short_patch_id(patch)}],
        "cases": [case],
        **values,
    }
    path.write_text(json.dumps(record))
    return path


def test_tested_by_is_given_only_where_it_is_earned(tmp_path: Path) -> None:
    patch, other = _FINDINGS / "omfs-free-imap.patch", _FINDINGS / "adfs-kill-sb.patch"
    earned = read_record(_record(tmp_path / "a.json", patch))
    assert earned.earned((short_patch_id(patch),)) == ""
    assert "other patches" in earned.earned((short_patch_id(other),))
    weaker = read_record(_record(tmp_path / "b.json", patch, tag_earned=False))
    assert "red in every run" in weaker.earned((short_patch_id(patch),))
    for text in ("{", "[]", "{}"):
        (tmp_path / "c.json").write_text(text)
        with pytest.raises(UsageError, match="expected what errpath compare --json wrote"):
            read_record(tmp_path / "c.json")


def test_a_finding_has_its_patches_and_its_cases() -> None:
    evidence, patches = read_finding(_FINDINGS / "gfs2.md")
    assert [path.name for path in patches] == ["gfs2-meta-read.patch", "gfs2-find-jhead.patch"]
    assert all(case.startswith("killsb-gfs2") for case in evidence.cases)
    assert "omfs_fill_super" in read_finding(_FINDINGS / "omfs.md")[0].excerpt


def test_an_answer_quotes_the_patch() -> None:
    text = reply_text(parse_patch(_MAIL, "m"), "errpath: the table")
    assert text.splitlines()[:4] == [
        "To: A Person <a@b.org>",
        "Cc: list@c.org",
        "In-Reply-To: <1@b.org>",
        "Subject: Re: [PATCH] hfs: a change that is long",
    ]
    assert "\n> It is wrong.\n\nerrpath: the table\n" in text
    # A diff with a subject and nothing more has nobody to answer.
    nobody = reply_text(parse_patch(_BARE, "m"), "x")
    assert nobody.startswith("Subject: Re: [PATCH] hfs: bare\n\nsomebody wrote:\n")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["no-such.patch"], "no-such.patch: no such file"),
        (["omfs", "--tested-by", "A <a@b>"], "--tested-by: not earned: there is no --record"),
        (["omfs", "--record", "/nonexistent"], "/nonexistent: No such file"),
        (["omfs", "--report", "/nonexistent"], "--report /nonexistent: No such file"),
        (["gfs2", "--bug"], "no report; expected --case or --record beside --bug"),
    ],
)
@pytest.mark.kernel_build
def test_wrong_words_are_one_line(
    words: list[str], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.main(["mail", *words]) == 2
    err = capsys.readouterr().err
    assert err.startswith("errpath: ")
    assert expected in err
    assert err.count("\n") == 1


@pytest.mark.kernel_build
@pytest.mark.parametrize("finding", ["omfs", "gfs2", "hfs-nls-reference"])
def test_the_mail_of_a_finding_is_applied(
    finding: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.mbox"
    assert main.main(["mail", finding, "-o", str(out), "--from", "A <a@b.org>"]) == 0
    mails = [mail.encode() for mail in split_mailbox(out.read_text())]
    err = capsys.readouterr().err
    assert (err == "") if len(mails) == 1 else ("git send-email takes -o DIRECTORY" in err)
    subjects = [one.subject for one in read_patches((out,))]

    tree = open_spec(Layout(cache_root()), "debian:7.2", silent())
    assert list(git_am(tree, mails)) == subjects
    assert b"\nTo: " in mails[0]
    assert b"    errpath run " in mails[0]
    assert b"Signed-off-by" not in mails[0]


@pytest.mark.kernel_build
def test_a_comparison_brings_report_table_and_tag(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    patch = _FINDINGS / "omfs-free-imap.patch"
    record = _record(tmp_path / "a.json", patch)
    words = ["mail", str(patch), "--record", str(record), "--tested-by", "T <t@b.org>"]
    assert main.main([*words, "--from", "A <a@b.org>"]) == 0
    mail = parse_patch(capsys.readouterr().out, "out")
    assert "errpath run hfs-a-case" in mail.body
    assert mail.tags == ("Tested-by: T <t@b.org>",)
    assert "hfs         FIXED" in mail.notes


@pytest.mark.qemu
@pytest.mark.kernel_build
def test_a_case_that_fails_is_reported_to_its_maintainers(tmp_path: Path) -> None:
    out = tmp_path / "bug.mail"
    words = ["mail", "killsb-omfs-d-plain-mount-ro", "-o", str(out), "--from", "A <a@b.org>"]
    assert main.main(words) == 0
    text = out.read_text()
    assert "Subject: [BUG] omfs: memory leak in omfs_fill_super\n" in text
    assert "To: Bob Copeland <me@bobcopeland.com>" in text
    assert "errpath run killsb-omfs-d-plain-mount-ro" in text
    assert "fs/omfs/inode.c:" in text
    assert str(tmp_path) not in text
