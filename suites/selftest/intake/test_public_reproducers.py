"""Public reproducers, with the bug that each is of put back, and without.

They are not in this repository: ERRPATH_REPROS is the directory `linux` of a checkout of
dvyukov/syzkaller-repros.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from errpath.cli.main import main

pytestmark = [
    *(pytest.mark.qemu, pytest.mark.kernel_build, pytest.mark.by_hand),
    pytest.mark.xdist_group("guests"),
]

_PATCHES = Path(__file__).parents[3] / "guests/patches"


def _public(digits: str) -> Path:
    """The reproducer whose name begins so, or a skip."""
    found = sorted(Path(os.environ.get("ERRPATH_REPROS", "")).glob(f"{digits}*.c"))
    if "ERRPATH_REPROS" not in os.environ or not found:
        pytest.skip(f"no reproducer {digits}*.c in ERRPATH_REPROS")
    return found[0]


@pytest.mark.parametrize(
    ("digits", "patch"),
    [
        ("3ee265f0311f", "gfs2meta-context-kept"),
        ("128f4dd6e796", "udf-partition-table-kept"),
        ("7b98870d4fec", "squashfs-skip-overflow"),
    ],
)
def test_the_same_with_its_bug_and_fixed_without(
    digits: str, patch: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["repro", str(_public(digits)), "--json", "--artefacts", str(tmp_path)]
    status = main([*words, "--before-patch", str(_PATCHES / f"{patch}.patch")])
    answer = json.loads(capsys.readouterr().out)
    before, after = answer["before"], answer["after"]
    assert (before["outcome"], before["shown"], before["of"]) == ("SAME", 3, 3)
    assert (after["outcome"], after["shown"], after["of"]) == ("NOT REPRODUCED", 0, 3)
    assert (answer["answer"], status) == ("FIXED", 0)
