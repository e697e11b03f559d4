"""`dumps(loads(image)) == image`: ours, those of other programs, and broken ones."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from errpath.errors import UsageError
from errpath.images import Image
from errpath.images.crafted.catalogue import BASES, base_image, catalogue
from errpath.images.crafted.document import dumps, loads
from errpath.images.hfs import hfs, hfsplus
from errpath.images.hfs.layout import Value
from suites.selftest.images.tools import run_tool
from suites.selftest.images.volumes import HFS, HFSPLUS

_CRAFTED = [case for fs in ("hfs", "hfsplus") for case in catalogue(fs).cases]


@pytest.mark.parametrize("name", [f"hfs {n}" for n in HFS] + [f"hfsplus {n}" for n in HFSPLUS])
def test_our_volumes_lose_nothing(name: str) -> None:
    kind, _, shape = name.partition(" ")
    image = {"hfs": HFS, "hfsplus": HFSPLUS}[kind][shape]()
    assert dumps(loads(image)) == image


def test_crafted_images_lose_nothing() -> None:
    for case in _CRAFTED:
        image = case.image()
        assert dumps(loads(image)) == image, case.name


@settings(deadline=None)
@given(st.sampled_from(sorted(BASES)), st.data())
def test_broken_images_lose_nothing(name: str, draw: st.DataObject) -> None:
    image = base_image(name)
    for _ in range(draw.draw(st.integers(1, 6))):
        start, data = draw.draw(st.sampled_from(image.extents or ((0, b"\0"),)))
        offset = start + draw.draw(st.integers(0, len(data) - 1))
        image = image.patched(offset, draw.draw(st.binary(min_size=1, max_size=1)))
    assert dumps(loads(image)) == image


@settings(deadline=None)
@given(st.binary(max_size=5000))
def test_bytes_that_are_no_image_lose_nothing(data: bytes) -> None:
    image = Image.from_bytes(data)
    assert dumps(loads(image)) == image


@pytest.mark.parametrize(
    "argv",
    [
        ["mkfs.hfsplus"],
        ["mkfs.hfsplus", "-J"],
        ["mkfs.hfsplus", "-s"],
        ["mkfs.hfsplus", "-b", "512"],
        ["mkfs.hfsplus", "-n", "c=8192,e=1024"],
        ["mkfs.hfsplus", "-w"],
        ["mkfs.hfs", "-h"],
        ["hformat", "-l", "errpath"],
    ],
    ids=" ".join,
)
def test_volumes_of_other_programs_lose_nothing(argv: list[str], tmp_path: Path) -> None:
    path = tmp_path / "image"
    # mkfs.hfsplus refuses a journal on smaller volumes.
    path.write_bytes(b"")
    with path.open("r+b") as file:
        file.truncate((24 if "-J" in argv else 4) << 20)
    done = run_tool([*argv, str(path)], home=tmp_path, check=False)
    if b"hfsbootdata" in done.stderr:
        pytest.skip("mkfs.hfsplus -w needs /usr/share/misc/hfsbootdata of the whole package")
    assert done.returncode == 0, done.stderr
    image = Image.from_file(path)
    document = loads(image)
    assert dumps(document) == image
    if argv[0] in ("hformat", "mkfs.hfs") or "-w" in argv:
        assert document.value("mdb.drSigWord") == hfs.SIGNATURE
    else:
        assert document.value("vh.signature") in (hfsplus.SIGNATURE, hfsplus.SIGNATURE_X)
    assert document.value("catalog.header.treeDepth") == 1


def test_the_structured_form_is_what_is_written() -> None:
    """What `dumps` writes comes from the values, not from a copy of the image."""
    document = loads(hfsplus.volume().image())
    header = next(one for one in document.sections if one.path == "vh")
    others = [one for one in document.sections if one.path != "vh"]
    written = replace(header, values={**header.values, "version": 9})
    changed = dumps(replace(document, sections=(written, *others)))
    again = loads(changed)
    assert again.value("vh.version") == 9
    assert changed.delta(hfsplus.volume().image())
    assert document.rest.read(1024, 512) == bytes(512)


@pytest.mark.parametrize("path", ["vh.nosuch", "catalog.node[99].descriptor.kind"])
def test_a_field_that_is_not_there_is_refused(path: str) -> None:
    document = loads(hfsplus.volume().image())
    with pytest.raises(UsageError, match="expected"):
        document.value(path)


_VALUES: dict[str, Value] = {"vh.fileCount": 2, "vh.folderCount": 2, "altvh.blockSize": 4096}


@pytest.mark.parametrize(("path", "value"), _VALUES.items())
def test_values_are_those_of_the_volume(path: str, value: Value) -> None:
    assert loads(hfsplus.volume().image()).value(path) == value
