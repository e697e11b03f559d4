"""Apple's own checker on every kind of volume that we write, and on some that it must refuse."""

from __future__ import annotations

from pathlib import Path

import pytest

from errpath.images.crafted.fields import write_fields
from errpath.images.hfs import hfs, hfsplus
from suites.selftest.images.tools import fsck
from suites.selftest.images.volumes import HFS, HFSPLUS


@pytest.mark.parametrize("name", HFS)
def test_fsck_passes_hfs(name: str, tmp_path: Path) -> None:
    status, output = fsck(HFS[name](), tmp_path, program="fsck.hfs")
    assert "appears to be OK" in output, output
    assert status == 0


@pytest.mark.parametrize("name", HFSPLUS)
def test_fsck_passes_hfsplus(name: str, tmp_path: Path) -> None:
    status, output = fsck(HFSPLUS[name](), tmp_path)
    assert "appears to be OK" in output, output
    assert status == 0


def test_fsck_looks_at_the_wrapper_too(tmp_path: Path) -> None:
    image = hfs.wrapper(hfsplus.volume().image()).image()
    assert fsck(image, tmp_path)[0] == 0
    status, output = fsck(write_fields(image, {"mdb.drEmbedExtent.xdrNumABlks": 3}), tmp_path)
    assert status != 0, output


@pytest.mark.parametrize(
    "change",
    [
        {"mdb.drFilCnt": 77},
        {"catalog.header.leafRecords": 1},
        {"catalog.folder[2].data.dirVal": 9},
        {"bitmap[0]": 0},
    ],
    ids=str,
)
def test_fsck_refuses_what_is_wrong_in_hfs(change: dict[str, int], tmp_path: Path) -> None:
    image = write_fields(hfs.volume().image(), dict(change))
    status, output = fsck(image, tmp_path, program="fsck.hfs")
    assert status != 0, output


@pytest.mark.parametrize(
    "change",
    [
        {"vh.freeBlocks": 1},
        {"vh.folderCount": 77},
        {"catalog.header.leafRecords": 1},
        {"catalog.folder[2].data.valence": 9},
        {"bitmap[0]": 0},
        {"journal.magic": 0},
    ],
    ids=str,
)
def test_fsck_refuses_what_is_wrong_in_hfsplus(change: dict[str, int], tmp_path: Path) -> None:
    journaled = "journal.magic" in change
    image = write_fields(hfsplus.volume(journaled=journaled).image(), dict(change))
    status, output = fsck(image, tmp_path)
    assert status != 0 or "journal" in output.lower(), output
