"""Fields by name: found, read, written, and refused where there is none."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from errpath.errors import UsageError
from errpath.images.crafted.catalogue import base_image
from errpath.images.crafted.document import loads
from errpath.images.crafted.fields import FieldMap, read_field, write_fields
from errpath.images.crafted.show import show
from errpath.images.hfs.layout import Value

_READ: list[tuple[str, str, Value]] = [
    ("hfs", "mdb.drSigWord", 0x4244),
    ("hfs", "altmdb.drAlBlkSiz", 512),
    ("hfs", "catalog.header.depth", 2),
    ("hfs", "catalog.node[0].descriptor.kind", 1),
    ("hfs", "catalog.node[1].descriptor.type", -1),
    ("hfs", "catalog.node[root].descriptor.height", 2),
    ("hfs", "catalog.thread[2].data.thdParID", 1),
    ("hfs", "catalog.thread[2].data.recordType", 3),
    ("hfs", "catalog.directory[16].data.dirVal", 1),
    ("hfs", "catalog.file[17].data.filRLgLen", 14),
    ("hfs", "catalog.folder[2].key.ckrCName.text", b"errpath"),
    ("hfs", "extents.header.nodeSize", 512),
    ("hfs", "bitmap[0]", 0xFF),
    ("hfs-fragmented", "extents.node[1].record[0].key.xkrFNum", 19),
    ("hfsplus", "vh.signature", 0x482B),
    ("hfsplus", "altvh.catalogFile.extents[0].blockCount", 6),
    ("hfsplus", "catalog.folder[16].data.userInfo.frFlags", 0x5000),
    ("hfsplus", "catalog.folder[2].data.permissions.mode", 0o040755),
    ("hfsplus", "catalog.thread[2].data.nodeName.unicode", "errpath".encode("utf-16-be")),
    ("hfsplus", "catalog.node[1].offset[0]", 14),
    ("hfsplus", "catalog.node[1].byte[8]", 0xFF),
    ("hfsplus", "catalog.node[1].record[0].byte[1]", 20),
    ("hfsplus", "catalog.header.map[0]", 0xC0),
    ("hfsplus-attributes", "attributes.node[1].record[0].data.attrData", b"value\0"),
    ("hfsplus-journaled", "journalinfo.flags", 1),
    ("hfsplus-journaled", "journal.magic", 0x4A4E4C78),
    ("hfsplus-new-map", "pm[1].pmPyPartStart", 64),
    ("hfsplus-new-map", "block0.sbSig", 0x4552),
    ("hfsplus-old-map", "ts.pdEntry[0].pdFSID", 0x54465331),
    ("hfsplus-wrapped", "mdb.drEmbedSigWord", 0x482B),
    ("hfsplus-wrapped", "vh.blockSize", 4096),
    ("hfsplus-wrapped", "wrapper.catalog.header.maxKeyLength", 37),
    ("hfsplus-wrapped", "catalog.header.maxKeyLength", 516),
]


@pytest.mark.parametrize(("base", "path", "value"), _READ)
def test_fields_read_as_the_volume_was_made(base: str, path: str, value: Value) -> None:
    assert read_field(base_image(base), path) == value


@pytest.mark.parametrize(("base", "path", "value"), _READ)
def test_a_written_field_reads_back_and_is_the_only_change(
    base: str, path: str, value: Value
) -> None:
    image = base_image(base)
    other = value[:-1] + b"!" if isinstance(value, bytes) else value ^ 1
    changed = write_fields(image, {path: other})
    field = FieldMap(image).locate(path)
    assert field.read(changed) == other
    assert write_fields(changed, {}) == changed
    assert changed.patched_all(field.region.patches(field.region.read(image))) == image


@pytest.mark.parametrize(
    ("base", "path", "error"),
    [
        ("hfs", "vh.signature", r"expected an image with an HFS\+ volume"),
        ("blank", "mdb.drSigWord", "expected an image with an HFS volume"),
        ("hfs", "mdb.drNoSuch", "MDB has no field 'drNoSuch': expected one of drSigWord"),
        ("hfs", "nosuch.field", "unknown structure 'nosuch'"),
        ("hfs", "attributes.header.depth", "expected a volume with a B-tree of this name"),
        ("hfs", "catalog.node[99].descriptor.kind", "expected a node under 12"),
        ("hfs", "catalog.node[1].record[99].key.ckrParID", "expected a record under"),
        ("hfs", "catalog.node[1].nosuch", "expected descriptor, offset"),
        ("hfs", "catalog.thread[99].data.thdParID", "a thread of CNID 99"),
        ("hfs", "catalog.file[16].data.filFlNum", "a file of CNID 16"),
        ("hfs", "extents.thread[2].data.thdParID", "expected a catalog"),
        ("hfs", "bitmap[99999]", "expected an index under"),
        ("hfs", "pm[0]", "has no field ''"),
    ],
)
def test_a_path_that_leads_nowhere_is_refused(base: str, path: str, error: str) -> None:
    with pytest.raises(UsageError, match=error):
        FieldMap(base_image(base)).locate(path)


def test_values_are_found_in_the_valid_image_before_any_is_written() -> None:
    image = write_fields(
        base_image("hfs"), {"mdb.drSigWord": 0, "catalog.header.treeDepth": 9, "mdb.drAlBlSt": 0}
    )
    assert FieldMap(base_image("hfs")).locate("catalog.header.treeDepth").read(image) == 9


_BASES = ("hfs-deep", "hfsplus-deep", "hfsplus-attributes", "hfsplus-wrapped")


@settings(deadline=None)
@given(st.sampled_from(_BASES), st.data())
def test_every_decoded_field_can_be_addressed(base: str, draw: st.DataObject) -> None:
    """The paths of the structured form are those that fields are addressed by."""
    image = base_image(base)
    section = draw.draw(st.sampled_from(loads(image).sections))
    name = draw.draw(st.sampled_from(sorted(section.values)))
    if section.path.startswith("alt") and base == "hfsplus-wrapped":
        return
    assert read_field(image, f"{section.path}.{name}") == section.values[name]


def test_show_marks_what_was_corrupted_and_nothing_else() -> None:
    base = base_image("hfsplus")
    image = write_fields(base, {"vh.version": 9, "catalog.thread[2].data.recordType": 1})
    marked = [line for line in show(image, base=base).splitlines() if line.startswith("!")]
    assert marked == [
        "! version = 0x0009, was 0x0004",
        "! recordType = 0x0001, was 0x0003",
    ]
    assert "!" not in show(base, base=base)


def test_show_tells_what_no_field_covers() -> None:
    base = base_image("hfs")
    text = show(base.patched(0, b"boot"), base=base, whole=False)
    assert "! sector 0 differs, outside of any field" in text
    cut = show(base.truncated(base.size - 512), base=base, whole=False)
    assert f"! size = {base.size - 512} bytes, was {base.size}" in cut


def test_show_decodes() -> None:
    text = show(base_image("hfs"))
    assert "drSigWord = 0x4244 ('BD')" in text
    assert "drCrDate = 0xb492f400 (2000-01-01 00:00:00)" in text
    assert "kind = -1 (leaf)" in text
    assert "ckrCName.text = 'errpath'" in text
