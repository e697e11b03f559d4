"""The structured form of an image: `dumps(loads(image)) == image`, for any image.

Every structure that can be recognised becomes a section of named values; what is left over (file
contents, free space, whatever is broken) stays as bytes. Nothing is lost, and nothing is kept
twice: the bytes of a section are zeros in the rest.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from errpath.errors import UsageError
from errpath.images.hfs.formats import (
    BLOCK0,
    JOURNAL_HEADER,
    JOURNAL_INFO_BLOCK,
    MDB,
    NODE_DESCRIPTOR,
    PARTITION_MAP_ENTRY,
    PARTITION_MAP_OLD,
    VOLUME_HEADER,
)
from errpath.images.hfs.layout import Leaf, Struct, Value, decode, encode
from errpath.images.hfs.nodes import Tree, data_table, key_table, node_kind, node_records
from errpath.images.hfs.region import Region
from errpath.images.hfs.volumes import Volume, find_volumes
from errpath.images.image import SECTOR, Image

__all__ = ["Document", "Section", "dumps", "loads"]

_OLD_MAP = 0x5453
_JOURNALED = 0x2000


@dataclass(frozen=True)
class Section:
    """One structure: where it lies, its fields and their values."""

    # Path of the structure (`errpath.images.crafted.fields`), e.g. `catalog.node[1].record[0].key`.
    path: str
    # Name of its table.
    struct: str
    region: Region
    fields: tuple[Leaf, ...]
    values: Mapping[str, Value]

    def encoded(self) -> Iterator[tuple[int, bytes]]:
        """What it writes: (offset in the image, data)."""
        for leaf in self.fields:
            part = self.region.slice(leaf.offset, leaf.width)
            yield from part.patches(encode(leaf.kind, self.values[leaf.path]))


@dataclass(frozen=True)
class Document:
    """An image taken apart."""

    sections: tuple[Section, ...]
    # The image with zeros where the sections lie.
    rest: Image

    def value(self, path: str) -> Value:
        """A field's value by its whole path, without aliases.

        Raises:
            UsageError: there is none.
        """
        for section in self.sections:
            if (
                path.startswith(section.path + ".")
                and path[len(section.path) + 1 :] in section.values
            ):
                return section.values[path[len(section.path) + 1 :]]
        raise UsageError(f"{path}: expected a field of a section of {self.rest.name}")


def _section(image: Image, path: str, table: Struct, region: Region) -> Iterator[Section]:
    fields = table.fields(region.length)
    data = region.read(image)
    values = {
        leaf.path: decode(leaf.kind, data[leaf.offset : leaf.offset + leaf.width])
        for leaf in fields
    }
    if fields:
        yield Section(path, table.name, region, fields, values)


def _tree(image: Image, prefix: str, tree: Tree) -> Iterator[Section]:
    for number in range(tree.nodes):
        if node_kind(image, tree, number) is None:
            continue
        path = f"{prefix}{tree.name}.node[{number}]"
        region = tree.node(number)
        yield from _section(image, f"{path}.descriptor", NODE_DESCRIPTOR, region.slice(0, 14))
        records = node_records(image, tree, number)
        for record in records:
            where = f"{path}.record[{record.number}]"
            if record.key.length:
                yield from _section(image, f"{where}.key", key_table(tree), record.key)
            table = data_table(image, tree, record)
            if table is not None:
                header = number == 0 and record.number == 0
                name = f"{prefix}{tree.name}.header" if header else f"{where}.data"
                yield from _section(image, name, table, record.data)
        if records:
            size = 2 * (len(records) + 1)
            last = len(records)
            rows = tuple((2 * at, f"offset[{last - at}]", "u16") for at in range(last + 1))
            table = Struct("RecordOffsets", rows)
            yield from _section(image, path, table, region.slice(tree.node_size - size, size))


def _volume(image: Image, volume: Volume, prefix: str) -> Iterator[Section]:
    table, name = (VOLUME_HEADER, "vh") if volume.plus else (MDB, "mdb")
    for path, offset in (
        (name, volume.offset + 2 * SECTOR),
        (f"alt{name}", volume.offset + volume.size - 2 * SECTOR),
    ):
        region = Region.within(image.size, [(offset, table.size)] if offset >= 0 else [])
        yield from _section(image, path, table, region)
    for tree in volume.trees.values():
        yield from _tree(image, prefix, tree)
    attributes = volume.header.get("attributes", 0)
    if volume.plus and isinstance(attributes, int) and attributes & _JOURNALED:
        yield from _journal(image, volume)


def _journal(image: Image, volume: Volume) -> Iterator[Section]:
    block = volume.header["journalInfoBlock"]
    assert isinstance(block, int)
    start = volume.first_block + block * volume.block_size
    region = Region.within(image.size, [(start, JOURNAL_INFO_BLOCK.size)])
    for section in _section(image, "journalinfo", JOURNAL_INFO_BLOCK, region):
        yield section
        offset = section.values.get("offset", 0)
        assert isinstance(offset, int)
        region = Region.within(image.size, [(volume.first_block + offset, JOURNAL_HEADER.size)])
        yield from _section(image, "journal", JOURNAL_HEADER, region)


def _sections(image: Image) -> Iterator[Section]:
    disk = find_volumes(image)
    if disk.map_signature:
        region = Region.within(image.size, [(0, BLOCK0.size)])
        yield from _section(image, "block0", BLOCK0, region)
    if disk.map_signature == _OLD_MAP:
        region = Region.within(image.size, [(SECTOR, PARTITION_MAP_OLD.size)])
        yield from _section(image, "ts", PARTITION_MAP_OLD, region)
    for number in range(disk.map_entries):
        start = (1 + number) * SECTOR
        region = Region.within(image.size, [(start, PARTITION_MAP_ENTRY.size)])
        yield from _section(image, f"pm[{number}]", PARTITION_MAP_ENTRY, region)
    for volume in disk.volumes:
        inner = volume is disk.volumes[-1]
        yield from _volume(image, volume, "" if inner else "wrapper.")


def loads(image: Image) -> Document:
    """Take an image apart. Any image will do; what cannot be recognised stays bytes."""
    sections = tuple(_sections(image))
    holes: list[tuple[int, bytes]] = []
    for section in sections:
        for leaf in section.fields:
            part = section.region.slice(leaf.offset, leaf.width)
            holes += part.patches(bytes(leaf.width))
    return Document(sections=sections, rest=image.patched_all(holes))


def dumps(document: Document) -> Image:
    """Put an image together again."""
    pieces = [piece for section in document.sections for piece in section.encoded()]
    return document.rest.patched_all(pieces)
