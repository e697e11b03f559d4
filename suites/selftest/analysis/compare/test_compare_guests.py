"""Negative controls of the comparison, on real kernels: what it must see, it sees."""

from __future__ import annotations

from pathlib import Path

import pytest

from errpath.analysis.compare.compare import Request, Summary, compare
from errpath.analysis.compare.judge import Cell, State, exit_status, summarize
from errpath.analysis.compare.mail import Subject, mail_text
from errpath.analysis.compare.observe import observe_all
from errpath.cases.lifecycle import plan, plan_crafted
from errpath.cli import main
from errpath.kernel import KernelRequest
from errpath.runner.options import Choice
from errpath.runner.testbed import TestbedOptions
from errpath.util.progress import silent
from errpath.util.resources import GUESTS

pytestmark = [pytest.mark.qemu, pytest.mark.kernel_build]

PATCHES = GUESTS / "patches"
FINDINGS = GUESTS.parent / "docs" / "findings"


def _choice(name: str, *patches: Path, conservation: bool = False) -> Choice:
    request = KernelRequest(patches=patches, name=name)
    return Choice(name, TestbedOptions(request, conservation=conservation), ("--kernel", name))


def _compare(
    tmp_path: Path, before: Choice, after: Choice, filesystems: str, events: str
) -> Summary:
    planned = tuple(plan(filesystems.split(), events))
    request = Request(before, after, planned, 2, tmp_path, every=True)
    return compare(request, silent())


def _cells(summary: Summary) -> dict[tuple[str, str], Cell]:
    return {(cell.filesystem, cell.event): cell for cell in summarize(summary.comparisons)}


def test_the_old_bug_put_back_and_taken_away_is_fixed_where_it_was(tmp_path: Path) -> None:
    before = _choice("before", PATCHES / "hfs-kill-sb-leak.patch")
    summary = _compare(tmp_path, before, _choice("after"), "hfs hfsplus", "abcdefg")
    states = {key: cell.state for key, cell in _cells(summary).items()}
    for filesystem in ("hfs", "hfsplus"):
        assert states[filesystem, "a"] is State.FIXED
        assert states[filesystem, "b"] is State.FIXED
        for event in "cdefg":
            fixed = {
                one.planned.id
                for one in summary.comparisons
                if (one.planned.filesystem, one.planned.event) == (filesystem, event)
                and one.state is not State.CLEAN
            }
            assert not fixed
    assert exit_status(summary.comparisons) == 0
    assert all(one.certain for one in summary.comparisons if one.state is State.FIXED)
    subject = Subject(summary.before, summary.after, summary.config, (), (), "A <a@b>", (), 1, 2)
    assert "Tested-by: A <a@b>" in mail_text(subject, summary.comparisons)


def test_a_leak_traded_for_a_crash_elsewhere_is_a_regression(tmp_path: Path) -> None:
    after = _choice("after", PATCHES / "free-s_fs_info-on-error.patch")
    summary = _compare(tmp_path, _choice("before"), after, "adfs hfsplus", "b")
    cells = _cells(summary)
    assert cells["adfs", "b"].state is State.FIXED
    assert cells["hfsplus", "b"].state is State.REGRESSED
    assert "NULL pointer dereference" in cells["hfsplus", "b"].note
    assert exit_status(summary.comparisons) == 1
    subject = Subject(summary.before, summary.after, summary.config, (), (), "A <a@b>", (), 1, 2)
    assert "Tested-by" not in mail_text(subject, summary.comparisons)


@pytest.mark.parametrize(
    ("patch", "filesystem", "reason"),
    [
        # The first fix of the leak of s_fs_info in hfs as it was posted, and rejected.
        ("give-s_fs_info-back-to-the-context", "hfsplus", "NULL pointer dereference"),
        ("hfs-kfree-twice", "hfs", "Object already free in slab kmalloc-512"),
    ],
)
def test_a_bad_fix_is_refused_by_the_name_of_what_it_breaks(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], patch: str, filesystem: str, reason: str
) -> None:
    words = ["compare", "--patch", str(PATCHES / f"{patch}.patch"), "--fs", filesystem]
    assert main.main([*words, "--event", "b", "--artefacts", str(tmp_path)]) == 1
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    (row,) = {" ".join(row) for row in rows if row[:2] == [filesystem, "b"]}
    assert row.split()[2] == "REGRESSED"
    assert reason in row


@pytest.mark.parametrize(
    ("filesystem", "patch", "event"),
    [
        ("adfs", "adfs-kill-sb.patch", "b"),
        ("ntfs", "ntfs-kill-sb.patch", "b"),
        ("omfs", "omfs-free-imap.patch", "d"),
    ],
)
def test_the_patches_of_the_findings_fix_them(
    tmp_path: Path, filesystem: str, patch: str, event: str
) -> None:
    after = _choice("after", FINDINGS / patch)
    summary = _compare(tmp_path, _choice("before"), after, filesystem, event)
    assert {one.state for one in summary.comparisons} == {State.FIXED}


@pytest.mark.parametrize(
    ("filesystem", "patches", "fixed"),
    [
        ("hfs", ["hfs-nls-reference.patch"], "killsb-hfs-f-closed_after_options"),
        (
            "gfs2",
            ["gfs2-meta-read.patch", "gfs2-find-jhead.patch"],
            "killsb-gfs2-f-closed_after_create",
        ),
    ],
)
def test_what_only_conservation_sees_is_bad_before_and_fixed_after(
    tmp_path: Path, filesystem: str, patches: list[str], fixed: str
) -> None:
    before = _choice("before", conservation=True)
    after = _choice("after", *(FINDINGS / name for name in patches), conservation=True)
    found = {
        one.planned.id: one.state
        for one in _compare(tmp_path, before, after, filesystem, "f").comparisons
    }
    assert set(found.values()) <= {State.FIXED, State.CLEAN, State.NOT_RUN}
    cases = {name for name in found if name.startswith(fixed)}
    assert cases
    assert {found[name] for name in cases} == {State.FIXED}


@pytest.mark.parametrize(
    ("patches", "case"),
    [
        ("hfsplus-btree-open-leak", "hfsplus-extents-header-kind-mount-rw"),
        ("hfs-mdb-commit-deadlock", "hfs-4k-blocks-written-mount-rw"),
        ("partition-map-loop", "hfs-new-map-start-0-mount-rw"),
        ("partition-map-loop", "hfsplus-wrapper-start-0-mount-rw"),
        ("hfsplus-brec-insert-panic", "hfsplus-private-no-room-mount-rw"),
        (
            "hfsplus-brec-insert-panic hfsplus-brec-insert-unchecked",
            "hfsplus-private-root-beyond-mount-rw",
        ),
        ("hashed-node-again", "hfs-map-over-offsets-mount-rw"),
        ("hfsplus-extents-file-deadlock", "hfsplus-grow-extents-file-mount-rw"),
        ("hfs-write-inode-bug", "hfs-root-id-5-written-mount-rw"),
    ],
)
def test_the_patches_of_crafted_findings_fix_them(tmp_path: Path, patches: str, case: str) -> None:
    planned = tuple(one for one in plan_crafted(("hfs", "hfsplus")) if one.id == case)
    after = _choice("after", *(FINDINGS / f"{name}.patch" for name in patches.split()))
    request = Request(_choice("before"), after, planned, 2, tmp_path, every=True)
    assert [one.state for one in compare(request, silent()).comparisons] == [State.FIXED]


def test_a_task_that_dies_with_a_lock_costs_nobody_else_a_verdict(tmp_path: Path) -> None:
    """The planted crash keeps a lock that every later mount of hfs in that guest would wait for."""
    patched = _choice("k", PATCHES / "hfs-crash-and-hang.patch")
    cases = [one.case for one in plan(("hfs", "minix"), ("d",)) if one.case is not None]
    found = observe_all({"k": patched}, {"k": cases}, tmp_path, repeats=1)
    kinds = {name: one.kind for (_, name), one in found.items()}
    # Those that mount read-only, as what is written is read back.
    crashing = {
        f"killsb-hfs-d-{name}"
        for api in ("mount", "fsopen")
        for name in (f"plain-{api}-ro", f"written-{api}")
    }
    assert {name for name, kind in kinds.items() if kind == "oops"} == crashing
    assert {kind for name, kind in kinds.items() if name not in crashing} == {"clean"}
    assert len(kinds) == len(cases)


def test_bisect_tells_good_bad_and_unbuildable_apart(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = tmp_path / "broken.patch"
    broken.write_text(
        "--- a/fs/hfs/super.c\n+++ b/fs/hfs/super.c\n"
        "@@ -1,3 +1,4 @@\n+#error not today\n /*\n  *  linux/fs/hfs/super.c\n  *\n"
    )
    words = ["bisect", "--kernel", "debian:7.2", "--fs", "hfs", "--event", "a"]
    words += ["--artefacts", str(tmp_path)]
    assert main.main(words) == 0
    assert "good: " in capsys.readouterr().out
    assert main.main([*words, "--patch", str(PATCHES / "hfs-kill-sb-leak.patch")]) == 1
    out = capsys.readouterr().out
    assert "hfs_init_fs_context" in out
    assert "bad: " in out
    assert main.main([*words, "--patch", str(broken)]) == 125
    assert "not today" in capsys.readouterr().err
