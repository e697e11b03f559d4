"""The catalogue's entries against a second reading of the kernel."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from errpath.errors import DefinitionError, UsageError
from errpath.images.crafted.catalogue import (
    BASES,
    Case,
    Catalogue,
    Expectation,
    base_image,
    catalogue,
    find_case,
)
from errpath.images.crafted.document import dumps, loads
from errpath.images.crafted.fields import FieldMap, read_field
from errpath.util.yamlfile import load
from suites.selftest.images.kernel_model import Device, Hang, Outcome
from suites.selftest.images.kernel_model_hfs import mount_hfs
from suites.selftest.images.kernel_model_hfsplus import mount_hfsplus

_ALL = [(fs, case) for fs in ("hfs", "hfsplus") for case in catalogue(fs).cases]
_IDS = [case.name for _, case in _ALL]
# Those that fail because of what was changed in a base image that mounts; of the others, the base
# itself, the options or the device make the case.
_CORRUPTED = [
    (fs, case)
    for fs, case in _ALL
    if (case.set or case.text or case.truncate) and case.errno and case.base != "hfsplus-full"
]


def _model(filesystem: str, case: Case) -> Outcome:
    mount = {"hfs": mount_hfs, "hfsplus": mount_hfsplus}[filesystem]
    device = Device(case.image().to_bytes(), case.logical_block_size)
    return mount(device, case.options, read_only=case.mount_read_only)


# What a guest showed and the model does not know.
_BEYOND_THE_MODEL = {
    "hfs-big-keys": "it reads key lengths of one byte",
    "hfs-root-id-5-written": "it writes nothing",
    "hfs-4k-sectors-old-map": "it reads sectors, not blocks",
    **dict.fromkeys(
        (
            "hfsplus-grow-extents-file",
            "hfsplus-grow-extents-full",
            "hfsplus-grow-extents-order",
            "hfsplus-grow-extents-order-full",
            "hfsplus-grow-extents-root",
            "hfsplus-grow-inside-extent",
            "hfsplus-grow-zeroed-beyond",
            "hfsplus-private-first-leaf",
            "hfsplus-private-free-node-unreadable",
            "hfsplus-private-large-record",
            "hfsplus-private-leaf-kind",
            "hfsplus-private-map-cut",
            "hfsplus-private-map-node",
            "hfsplus-private-no-node",
            "hfsplus-private-no-room",
            "hfsplus-private-no-root",
            "hfsplus-private-no-root-map",
            "hfsplus-private-node-in-use",
            "hfsplus-private-parent-beyond",
            "hfsplus-private-root-beyond",
        ),
        "it splits no nodes, and no file grows",
    ),
}


@pytest.mark.parametrize(("filesystem", "case"), _ALL, ids=_IDS)
def test_expected_outcome_is_what_the_model_of_the_kernel_says(filesystem: str, case: Case) -> None:
    if case.name in _BEYOND_THE_MODEL:
        assert case.image() != case.base_image()
        return
    if case.bug == "refusal":
        # The case says what should happen; the model, what does.
        assert _model(filesystem, case).errno
        return
    if case.bug == "hang" and case.errno:
        with pytest.raises(Hang):
            _model(filesystem, case)
        return
    if case.bug == "memory":
        # What the kernel does there hangs on bytes that are not in the image.
        assert case.image() != case.base_image()
        return
    outcome = _model(filesystem, case)
    assert (outcome.errno, outcome.readonly) == (case.errno, case.readonly), outcome.messages
    text = "\n".join(outcome.messages)
    assert case.message in text, f"the model printed {text!r}"


@pytest.mark.parametrize(("filesystem", "case"), _CORRUPTED, ids=[c.name for _, c in _CORRUPTED])
def test_the_crafted_image_is_what_makes_the_difference(filesystem: str, case: Case) -> None:
    """Without its corruption, options and device, a case that fails would mount."""
    mount = {"hfs": mount_hfs, "hfsplus": mount_hfsplus}[filesystem]
    device = Device(case.base_image().to_bytes(), case.logical_block_size)
    outcome = mount(device, read_only=case.mount_read_only)
    assert outcome.errno == "", outcome.messages
    assert case.image() != case.base_image()


@pytest.mark.parametrize("name", BASES)
def test_base_images_load_with_nothing_lost(name: str) -> None:
    image = base_image(name)
    assert dumps(loads(image)) == image


def test_every_row_of_the_exits_has_a_case_or_a_reason() -> None:
    wanted = {
        "hfs": {f"H{n}" for n in range(26)},
        "hfsplus": {f"P{n}" for n in range(26)},
    }
    for filesystem, rows in wanted.items():
        table = catalogue(filesystem)
        told = {case.exit for case in table.cases} | {item.exit for item in table.unreachable}
        assert rows - told == set()


def test_find_case_knows_the_filesystem() -> None:
    assert find_case("hfsplus-version-3")[0] == "hfsplus"
    with pytest.raises(UsageError, match="errpath images list"):
        find_case("no-such-image")


def test_a_crafted_image_refuses_a_field_that_its_base_lacks() -> None:
    case = Case(name="x", base="hfs", exit="H10", function="f", check="c", set={"vh.version": 1})
    with pytest.raises(UsageError, match=r"expected an image with an HFS\+ volume"):
        case.image()


def test_a_span_of_bytes_is_written_in_hex_and_filled_up() -> None:
    case = Case(
        name="x",
        base="hfsplus",
        exit="P17",
        function="f",
        check="c",
        hex={"catalog.node[1].bytes[14+4]": "00 0A"},
    )
    tree = FieldMap(case.image())
    whole = "catalog.node[1].bytes[12+8]"
    was, now = read_field(base_image("hfsplus"), whole), tree.locate(whole).read(case.image())
    assert isinstance(was, bytes)
    assert now == was[:2] + b"\x00\x0a\x00\x00" + was[6:]
    with pytest.raises(UsageError, match="expected bytes under 4096"):
        tree.locate("catalog.node[1].bytes[4090+7]")
    with pytest.raises(UsageError):
        replace(case, hex={"catalog.node[1].bytes[14+1]": "0000"}).image()


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("{name: a, base: nosuch, exit: H1, function: f, check: c}", "base 'nosuch': expected"),
        ("{name: a, base: hfs, exit: H1, function: f, check: c, errno: 22}", "errno"),
        ("{name: a, base: hfs, exit: H1, function: f, check: c, errno: EFOO}", "EFOO"),
        (
            "{name: a, base: hfs, exit: H1, function: f, check: c, logical_block_size: 500}",
            "logical_block_size 500",
        ),
        (
            "{name: a, base: hfs, exit: H1, function: f, check: c, errno: EIO, readonly: true}",
            "readonly",
        ),
        (
            "{name: a, base: hfs, exit: OK, function: f, check: c, keeps_attributes: true, "
            "set: {mdb.drFilCnt: 1}}",
            "keeps_attributes",
        ),
    ],
)
def test_a_wrong_entry_is_refused_with_file_and_line(tmp_path: Path, line: str, error: str) -> None:
    path = tmp_path / "hfs.yaml"
    path.write_text(f"filesystem: hfs\ncases:\n  - {line}\n", encoding="utf-8")
    with pytest.raises(DefinitionError, match=error) as caught:
        load(path, Catalogue)
    assert f"{path}:3:" in str(caught.value)


_CHANGE = {"commit": "hfs: check", "function": "check"}


@pytest.mark.parametrize(
    ("case", "expect", "message"),
    [
        ({}, [_CHANGE], "expected something that differs without it"),
        ({"any_errno": True}, [{**_CHANGE, "errno": "EIO"}], "expected no any_errno beside it"),
        (
            {},
            [{**_CHANGE, "errno": "EIO"}, {**_CHANGE, "commit": "b", "errno": "EINVAL"}],
            "check twice; expected what distinguishes them",
        ),
        ({}, [{**_CHANGE, "errno": "NOSUCH"}], "expected a name like EINVAL"),
        ({}, [{**_CHANGE, "errno": "EIO", "readonly": True}], "the mount succeeds"),
    ],
)
def test_an_expectation_that_could_not_be_told_or_kept_is_refused(
    case: dict[str, Any], expect: list[dict[str, Any]], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        Case(
            **{"name": "a", "base": "hfs", "exit": "H1", "function": "f", "check": "c", **case},
            expect=tuple(Expectation(**one) for one in expect),
        )
