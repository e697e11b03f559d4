"""Every field of an image by the format's own name: read it, write it, corrupt it.

A path names a structure, then a field in it as the tables of `errpath.images.hfs.formats` do:

    mdb.drAlBlkSiz                           altmdb: the copy at the volume's end
    vh.catalogFile.extents[0].startBlock     altvh: the copy at the volume's end
    catalog.header.treeDepth                 extents, attributes
    catalog.header.map[0]                    a byte of the header node's map
    catalog.node[3].descriptor.kind          catalog.node[root]: the root node
    catalog.node[3].offset[0]                a record's offset, as the node's end holds it
    catalog.node[3].bytes[14+60]             60 bytes of a node from 14 on, whatever they are
    catalog.node[3].record[2].key.keyLength
    catalog.node[3].record[2].data.valence
    catalog.node[3].record[2].byte[5]        of the record, whatever it is
    catalog.thread[2].data.recordType        the thread of this CNID
    catalog.folder[2].key.keyLength          the folder or directory with this CNID; also file[17]
    bitmap[0]                                a byte of the allocation bitmap
    pm[1].pmPyPartStart  ts.pdEntry[0].pdStart  block0.sbSig
    journalinfo.flags  journal.magic
    wrapper.catalog.header.treeDepth         of the HFS volume around an HFS+ volume

`mdb` is that of the outer volume and `vh` that of the inner one, so both can be named in a wrapped
volume; the trees without `wrapper.` are the inner volume's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from errpath.errors import UsageError
from errpath.images.hfs.formats import (
    BLOCK0,
    BT_HEADER,
    JOURNAL_HEADER,
    JOURNAL_INFO_BLOCK,
    MDB,
    NODE_DESCRIPTOR,
    PARTITION_MAP_ENTRY,
    PARTITION_MAP_OLD,
    VOLUME_HEADER,
)
from errpath.images.hfs.layout import Struct, Value, decode, encode
from errpath.images.hfs.nodes import (
    NodeRecord,
    Tree,
    data_table,
    key_table,
    leaf_records,
    node_records,
)
from errpath.images.hfs.region import Region
from errpath.images.hfs.volumes import Disk, Volume, find_volumes
from errpath.images.image import SECTOR, Image

__all__ = ["Field", "FieldMap", "corrupt", "read_field", "write_fields"]

_INDEXED = re.compile(r"(\w+)\[(\d+)\]")
_SPAN = re.compile(r"bytes\[(\d+)\+(\d+)\]")
_ROOT_NODE = re.compile(r"\bnode\[root\]")
_TREE_NAMES = ("extents", "catalog", "attributes")
# Identity of what a catalog record describes, HFS and HFS+.
_IDENTITY = {"folder": ("dirDirID", "folderID"), "file": ("filFlNum", "fileID")}


@dataclass(frozen=True)
class Field:
    """One field of one image: where it lies and how it reads."""

    path: str
    region: Region
    # As in the tables: u8 to u64, s8, or "28s".
    kind: str

    def read(self, image: Image) -> Value:
        """Its value in this image, which need not be the one that it was found in."""
        return decode(self.kind, self.region.read(image))


def _split(path: str) -> tuple[str, int | None, str]:
    """(first name, its index, the rest) of a path."""
    head, _, rest = path.partition(".")
    if match := _INDEXED.fullmatch(head):
        return match[1], int(match[2]), rest
    return head, None, rest


class FieldMap:
    """The fields of one image, found on demand.

    Corruptions are meant for a valid image: take its map once, and write all of them through it.
    """

    def __init__(self, image: Image) -> None:
        self.image = image
        self.disk: Disk = find_volumes(image)

    def locate(self, path: str) -> Field:
        """Where the field of this path lies.

        Raises:
            UsageError: this image has no such field; the text says what was expected.
        """
        name, index, rest = _split(path)
        if name == "wrapper":
            volume = self._volume(path, plus=False)
            return self._in_volume(path, volume, rest)
        if name in ("mdb", "altmdb"):
            volume = self._volume(path, plus=False)
            return self._header(path, volume, MDB, rest, alternate=name == "altmdb")
        if name in ("vh", "altvh"):
            volume = self._volume(path, plus=True)
            return self._header(path, volume, VOLUME_HEADER, rest, alternate=name == "altvh")
        if name in ("journalinfo", "journal"):
            return self._journal(path, name, rest)
        if name == "block0":
            return self._at(path, BLOCK0, rest, 0)
        if name == "ts":
            return self._at(path, PARTITION_MAP_OLD, rest, SECTOR)
        if name == "pm" and index is not None:
            return self._at(path, PARTITION_MAP_ENTRY, rest, (1 + index) * SECTOR)
        return self._in_volume(path, self._volume(path), path)

    def _volume(self, path: str, *, plus: bool | None = None) -> Volume:
        for volume in reversed(self.disk.volumes):
            if plus is None or volume.plus == plus:
                return volume
        wanted = "" if plus is None else "HFS+ " if plus else "HFS "
        raise UsageError(
            f"{path}: expected an image with an {wanted}volume, {self.image.name} has none"
        )

    def _field(self, path: str, table: Struct, rest: str, region: Region) -> Field:
        for leaf in table.fields(region.length):
            if leaf.path == rest or dict(table.aliases).get(rest) == leaf.path:
                return Field(path, region.slice(leaf.offset, leaf.width), leaf.kind)
        names = ", ".join(leaf.path for leaf in table.fields(region.length))
        raise UsageError(f"{path}: {table.name} has no field {rest!r}: expected one of {names}")

    def _at(self, path: str, table: Struct, rest: str, offset: int) -> Field:
        region = Region.within(self.image.size, [(offset, table.size)])
        return self._field(path, table, rest, region)

    def _header(
        self, path: str, volume: Volume, table: Struct, rest: str, *, alternate: bool
    ) -> Field:
        offset = volume.offset + (volume.size if alternate else 2 * SECTOR)
        return self._at(path, table, rest, offset - 2 * SECTOR * alternate)

    def _journal(self, path: str, name: str, rest: str) -> Field:
        volume = self._volume(path, plus=True)
        block = volume.header["journalInfoBlock"]
        assert isinstance(block, int)
        offset = volume.first_block + block * volume.block_size
        if name == "journalinfo":
            return self._at(path, JOURNAL_INFO_BLOCK, rest, offset)
        info = JOURNAL_INFO_BLOCK.unpack(self.image.read(offset, JOURNAL_INFO_BLOCK.size))
        start = info.get("offset", 0)
        assert isinstance(start, int)
        return self._at(path, JOURNAL_HEADER, rest, volume.first_block + start)

    def _in_volume(self, path: str, volume: Volume, rest: str) -> Field:
        name, index, inner = _split(rest)
        if name == "bitmap" and index is not None and not inner:
            return self._byte(path, volume.bitmap, index)
        if name not in _TREE_NAMES:
            raise UsageError(
                f"{path}: unknown structure {name!r}: expected mdb, altmdb, vh, altvh, extents, "
                "catalog, attributes, bitmap, pm, ts, block0, journalinfo, journal or wrapper"
            )
        tree = volume.trees.get(name)
        if tree is None:
            raise UsageError(f"{path}: expected a volume with a B-tree of this name")
        return self._in_tree(path, tree, inner)

    def _byte(self, path: str, region: Region, index: int) -> Field:
        found = region.slice(index, 1)
        if not found.length:
            raise UsageError(f"{path}: expected an index under {region.length}")
        return Field(path, found, "u8")

    def _in_tree(self, path: str, tree: Tree, rest: str) -> Field:
        if _ROOT_NODE.match(rest):
            header = BT_HEADER.unpack(tree.region.slice(14, BT_HEADER.size).read(self.image))
            rest = _ROOT_NODE.sub(f"node[{header['rootNode']!r}]", rest)
        name, index, inner = _split(rest)
        if name == "header" and index is None:
            if (match := _INDEXED.fullmatch(inner)) and match[1] == "map":
                records = node_records(self.image, tree, 0)
                return self._byte(path, records[2].whole, int(match[2]))
            region = tree.node(0).slice(NODE_DESCRIPTOR.size, BT_HEADER.size)
            return self._field(path, BT_HEADER, inner, region)
        if name == "node" and index is not None:
            if index >= tree.nodes:
                raise UsageError(f"{path}: expected a node under {tree.nodes}")
            return self._in_node(path, tree, index, inner)
        if name in ("thread", "folder", "directory", "file") and index is not None:
            return self._in_record(path, tree, self._find(path, tree, name, index), inner)
        raise UsageError(
            f"{path}: expected header, node[N], thread[CNID], folder[CNID] or file[CNID] in a tree"
        )

    def _in_node(self, path: str, tree: Tree, number: int, rest: str) -> Field:
        name, index, inner = _split(rest)
        region = tree.node(number)
        if span := _SPAN.fullmatch(rest):
            found = region.slice(int(span[1]), int(span[2]))
            if not found.length or found.length != int(span[2]):
                raise UsageError(f"{path}: expected bytes under {region.length}")
            return Field(path, found, f"{span[2]}s")
        if name == "descriptor":
            return self._field(path, NODE_DESCRIPTOR, inner, region.slice(0, NODE_DESCRIPTOR.size))
        if name == "offset" and index is not None and not inner:
            return Field(path, region.slice(tree.node_size - 2 * (index + 1), 2), "u16")
        if name == "byte" and index is not None and not inner:
            return self._byte(path, region, index)
        if name == "record" and index is not None:
            records = node_records(self.image, tree, number)
            if index >= len(records):
                raise UsageError(f"{path}: expected a record under {len(records)}")
            return self._in_record(path, tree, records[index], inner)
        raise UsageError(
            f"{path}: expected descriptor, offset[N], record[N], byte[N] or bytes[N+COUNT] in a "
            "node"
        )

    def _in_record(self, path: str, tree: Tree, record: NodeRecord, rest: str) -> Field:
        name, index, inner = _split(rest)
        if name == "byte" and index is not None and not inner:
            return self._byte(path, record.whole, index)
        if name == "key":
            return self._field(path, key_table(tree), inner, record.key)
        table = data_table(self.image, tree, record)
        if name == "data" and table is not None:
            return self._field(path, table, inner, record.data)
        raise UsageError(f"{path}: expected key, data or byte[N] in a record")

    def _find(self, path: str, tree: Tree, name: str, cnid: int) -> NodeRecord:
        """The leaf record of a CNID.

        Threads stand under the CNID with an empty name; the others name it in their data.
        """
        at = tree.key_length_size - 1
        if tree.name == "catalog":
            for record in leaf_records(self.image, tree):
                key = key_table(tree).unpack(record.key.read(self.image))
                table = data_table(self.image, tree, record)
                if table is None:
                    continue
                if name == "thread":
                    parent = key.get(("ckrParID", "parentID")[at])
                    length = key.get(("ckrCName.length", "nodeName.length")[at])
                    if parent == cnid and length == 0:
                        return record
                else:
                    identity = _IDENTITY["file" if name == "file" else "folder"][at]
                    if table.unpack(record.data.read(self.image)).get(identity) == cnid:
                        return record
        raise UsageError(f"{path}: expected a catalog with a {name} of CNID {cnid}")


def read_field(image: Image, path: str) -> Value:
    """The value of one field."""
    return FieldMap(image).locate(path).read(image)


def write_fields(image: Image, values: Mapping[str, Value], *, name: str | None = None) -> Image:
    """The image with these fields changed; all are found in `image` before any is written.

    Raises:
        UsageError: no such field, or a value that does not fit it.
    """
    fields = FieldMap(image)
    pieces: list[tuple[int, bytes]] = []
    for path, value in values.items():
        found = fields.locate(path)
        pieces += found.region.patches(encode(found.kind, value))
    return image.patched_all(pieces, name=name)


corrupt = write_fields
