"""The survey of kernels: what is compared, and what the table shows."""

from __future__ import annotations

import json
from pathlib import Path

from errpath.analysis.survey import FilesystemEntry, KernelSurvey, render, survey, to_json
from errpath.kernel import KernelRequest
from errpath.kernel.features.finding import Finding, Presence
from errpath.kernel.features.table import Feature
from suites.selftest.kernel.fake_tree import fake_store, make_tree, write_fragment

NEW = KernelSurvey(
    "new",
    "a new kernel",
    "9.0",
    (Finding("counts", Presence.PRESENT),),
    (
        FilesystemEntry("foo", compiled=38, left_out=("zip.c",)),
        FilesystemEntry("bar", compiled=100),
    ),
    canary="found",
)
OLD = KernelSurvey(
    "old",
    "an old kernel",
    "5.4",
    (Finding("counts", Presence.ABSENT, "CONFIG_COUNTS is absent"),),
    (FilesystemEntry("foo", compiled=100), FilesystemEntry("bar", absent="CONFIG_BAR is absent")),
    dropped=("X (no such option: speed)",),
    canary="canary: 3 of 3 planted leaks were not found",
)


def test_the_table_has_a_column_for_each_kernel_and_the_reasons_below() -> None:
    lines = render([NEW, OLD]).splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[:6]]
    assert cells[0] == ["", "new", "old"]
    assert cells[2:] == [
        ["release", "9.0", "5.4"],
        ["canary", "found", "NO"],
        ["counts", "yes", "-"],
        ["fs: foo", "38 %", "100 %"],
    ]
    assert lines[6].strip("| ").split(" | ")[0].strip() == "fs: bar"
    assert lines[-4:] == [
        "  not as wished: X (no such option: speed)",
        "  canary: canary: 3 of 3 planted leaks were not found",
        "  counts (absent: CONFIG_COUNTS is absent)",
        "  bar: CONFIG_BAR is absent",
    ]


def test_a_broken_probe_is_not_an_absent_feature() -> None:
    broken = KernelSurvey("x", "x", "1", (Finding("counts", Presence.BROKEN, "expected ';'"),), ())
    assert "| counts  | BROKEN |" in render([broken])


def test_json_has_everything() -> None:
    (values,) = json.loads(json.dumps(to_json([OLD])))
    assert values["features"] == {
        "counts": {"presence": "absent", "why": "CONFIG_COUNTS is absent"}
    }
    assert values["filesystems"][1]["absent"] == "CONFIG_BAR is absent"
    assert values["canary"].startswith("canary: 3 of 3")


def test_a_built_kernel_is_surveyed(tmp_path: Path) -> None:
    features = (Feature("start", "x", symbol="start_kernel"),)
    store = fake_store(tmp_path / "cache", table=lambda: features)
    tree = make_tree(tmp_path / "tree")
    (tree / "fs/hfs").mkdir()
    (tree / "fs/hfs/Makefile").write_text("hfs-y := super.o\nhfs-$(CONFIG_X) += test.o\n")
    (tree / "fs/hfs/super.c").write_text("x\n" * 3)
    (tree / "fs/hfs/test.c").write_text("x\n")
    fragment = write_fragment(tmp_path)
    fragment.write_text(fragment.read_text() + "CONFIG_HFS_FS=m\nCONFIG_EXT4_FS=m\n")
    kernel = store.build(KernelRequest(spec=str(tree), fragments=(fragment,)))
    found = survey(kernel, store, None)
    assert found.release == "7.2.0-fake"
    assert [finding.present for finding in found.features] == [True]
    entries = {entry.name: entry for entry in found.filesystems}
    assert entries["hfs"] == FilesystemEntry("hfs", compiled=75, left_out=("test.c",))
    assert entries["ext4"].absent == "no fs/ext4 in its source"
    assert entries["xfs"].absent == "CONFIG_XFS_FS is absent"
    assert entries["ocfs2"].absent.endswith("(needs the kernel of apart.config)")
