"""Lay out an HFS+ volume and write it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from errpath.errors import UsageError
from errpath.images.hfs.blocks import Allocator
from errpath.images.hfs.btree import BIG_KEYS, VARIABLE_INDEX_KEYS, BuiltTree, TreeShape, build_tree
from errpath.images.hfs.entries import Directory, File, Symlink, mac_date
from errpath.images.hfs.formats import VOLUME_HEADER
from errpath.images.hfs.hfsplus_catalog import (
    MAX_INLINE,
    Fork,
    Style,
    attribute_records,
    catalog_records,
    fork_values,
    overflow_records,
)
from errpath.images.hfs.hfsplus_items import FIRST_USER, Item, identify
from errpath.images.hfs.journal import BUFFER_NAME, INFO_NAME, journal_buffer, journal_info_block
from errpath.images.hfs.layout import Value
from errpath.images.image import SECTOR, Image

if TYPE_CHECKING:
    from errpath.images.hfs.hfsplus import HfsPlusVolume

__all__ = ["SIGNATURE", "SIGNATURE_X", "write"]

# signature: "H+" and "HX"
SIGNATURE, SIGNATURE_X = 0x482B, 0x4858
# attributes: unmounted cleanly, journaled
_UNMOUNTED, _JOURNALED = 0x0100, 0x2000
# Bytes from the volume's start to behind the volume header; bytes that the alternate one ends with.
_HEADER_END, _ALTERNATE = 1536, 1024
_DATA, _RESOURCE = 0x00, 0xFF
# CNIDs of the special files that may go on in the extents tree.
_OVERFLOWING = {"catalogFile": 4, "attributesFile": 8}
_MAX_BLOCKS = 0xFFFFFFFF
_KEY_BINARY, _KEY_FOLDED = 0xBC, 0xCF


@dataclass
class _Layout:
    """Where everything lies in a volume of so many blocks."""

    allocator: Allocator
    # The special files; a tree's data comes last, when all extents are known.
    special: dict[str, Fork] = field(default_factory=dict)
    forks: dict[tuple[int, int], Fork] = field(default_factory=dict)
    attributes: dict[tuple[int, str], Fork] = field(default_factory=dict)


class _Writer:
    """One run of writing a volume."""

    def __init__(self, volume: HfsPlusVolume) -> None:
        self.volume = volume
        self.date = mac_date(volume.date)
        # Clump sizes of the special files, known when the volume's size is.
        self.clumps: dict[str, int] = {}
        hidden = (INFO_NAME, BUFFER_NAME) if volume.journaled else ()
        self.items = identify(
            volume.entries,
            volume_name=volume.name,
            private_directory=volume.private_directory,
            hidden_files=hidden,
            case_sensitive=volume.case_sensitive,
        )
        self.with_attributes = volume.attributes_tree or any(
            isinstance(item.entry, File) and item.entry.xattrs for item in self.items
        )

    def _blocks(self, size: int) -> int:
        return -(-size // self.volume.block_size)

    def _clump(self, name: str, size: int, total: int) -> int:
        """Bytes that a special file of `size` bytes grows by, in a volume of `total` blocks.

        One node. Where that is more than a quarter of the volume, fsck takes only the whole file,
        or a block in the case of the attributes file.
        """
        volume = self.volume
        node_size = {
            "extentsFile": volume.extents_node_size,
            "catalogFile": volume.catalog_node_size,
            "attributesFile": volume.attributes_node_size,
        }.get(name, 0)
        clump = max(volume.block_size, node_size)
        if clump <= total * volume.block_size // 4:
            return clump
        return volume.block_size if name == "attributesFile" else size

    def _shapes(self) -> dict[str, TreeShape]:
        volume = self.volume
        compare = 0
        if volume.hfsx:
            compare = _KEY_BINARY if volume.case_sensitive else _KEY_FOLDED
        extents = TreeShape(
            node_size=volume.extents_node_size,
            max_key_length=10,
            attributes=BIG_KEYS,
            clump_size=self.clumps.get("extentsFile", 0),
            records_per_node=volume.records_per_node,
        )
        shapes = {
            "extentsFile": extents,
            "catalogFile": replace(
                extents,
                node_size=volume.catalog_node_size,
                max_key_length=516,
                variable_index_keys=True,
                attributes=BIG_KEYS | VARIABLE_INDEX_KEYS,
                key_compare_type=compare,
                clump_size=self.clumps.get("catalogFile", 0),
            ),
        }
        if self.with_attributes:
            shapes["attributesFile"] = replace(
                extents,
                node_size=volume.attributes_node_size,
                max_key_length=266,
                variable_index_keys=True,
                attributes=BIG_KEYS | VARIABLE_INDEX_KEYS,
                clump_size=self.clumps.get("attributesFile", 0),
            )
        return shapes

    def _trees(self, layout: _Layout) -> dict[str, BuiltTree]:
        volume = self.volume
        style = Style(
            date=self.date, folder_counts=volume.hfsx, case_sensitive=volume.case_sensitive
        )
        records = {
            "extentsFile": overflow_records(
                layout.forks
                | {
                    (cnid, _DATA): layout.special[name]
                    for name, cnid in _OVERFLOWING.items()
                    if name in layout.special
                }
            ),
            "catalogFile": catalog_records(self.items, layout.forks, style),
            "attributesFile": attribute_records(self.items, layout.attributes),
        }
        return {
            name: build_tree(
                records[name],
                shape,
                spare=volume.spare_nodes,
                multiple=max(1, volume.block_size // shape.node_size),
            )
            for name, shape in self._shapes().items()
        }

    def _data(self, item: Item) -> tuple[tuple[int, bytes, int], ...]:
        entry = item.entry
        if isinstance(entry, Symlink):
            return ((_DATA, entry.target.encode(), 1),)
        if isinstance(entry, File) and not item.hidden:
            return (
                (_DATA, entry.data, entry.fragments),
                (_RESOURCE, entry.resource, entry.resource_fragments),
            )
        return ()

    def _place(self, total: int, sizes: dict[str, int]) -> _Layout:
        """Lay out a volume of `total` blocks whose trees have these sizes in bytes."""
        volume = self.volume
        allocator = Allocator(total)
        layout = _Layout(allocator)
        allocator.take(self._blocks(_HEADER_END))
        bitmap = self._blocks(-(-total // 8)) if total != _MAX_BLOCKS else 1
        layout.special["allocationFile"] = Fork(b"", allocator.fork(bitmap))
        if volume.journaled:
            info = next(i for i in self.items if i.hidden and i.entry.path == INFO_NAME)
            buffer = next(i for i in self.items if i.hidden and i.entry.path == BUFFER_NAME)
            extents = allocator.fork(1)
            journal = allocator.fork(self._blocks(volume.journal_size))
            block = volume.block_size
            data = journal_info_block(offset=journal[0][0] * block, size=volume.journal_size)
            layout.forks[info.cnid, _DATA] = Fork(data.ljust(block, b"\0"), extents)
            data = journal_buffer(volume.journal_size).ljust(volume.journal_size, b"\0")
            layout.forks[buffer.cnid, _DATA] = Fork(data, journal)
        fragments = {
            "extentsFile": volume.extents_fragments,
            "catalogFile": volume.catalog_fragments,
        }
        if self.with_attributes:
            fragments["attributesFile"] = volume.attributes_fragments
        for name in set(fragments) - set(sizes):
            # In a draft, only the number of their extents matters.
            layout.special[name] = Fork(b"", ((0, 1),) * fragments[name])
        for name, size in sizes.items():
            extents = allocator.fork(self._blocks(size), pieces=fragments[name])
            layout.special[name] = Fork(bytes(size), extents)
        for item in self.items:
            for kind, data, pieces in self._data(item):
                extents = allocator.fork(self._blocks(len(data)), pieces=pieces)
                layout.forks[item.cnid, kind] = Fork(data, extents)
            if isinstance(item.entry, File):
                for name, value in item.entry.xattrs:
                    if len(value) > MAX_INLINE:
                        extents = allocator.fork(self._blocks(len(value)))
                        layout.attributes[item.cnid, name] = Fork(value, extents)
        return layout

    def _geometry(self, needed: int) -> tuple[int, int]:
        """(bytes of the device, allocation blocks)."""
        volume = self.volume
        block = volume.block_size
        if volume.size is None:
            total = needed + volume.free_blocks + self._blocks(_ALTERNATE)
            # The first round had one block for the bitmap.
            while True:
                more = self._blocks(-(-total // 8)) - 1
                if total >= needed + more + volume.free_blocks + self._blocks(_ALTERNATE):
                    return total * block, total
                total += 1
        total = volume.size // block
        return volume.size, total

    def image(self) -> Image:
        """Lay out twice: the first time only to learn how large the trees are."""
        volume = self.volume
        draft = self._place(_MAX_BLOCKS, {})
        sizes = {name: len(tree.data) for name, tree in self._trees(draft).items()}
        needed = self._place(_MAX_BLOCKS, sizes).allocator.next
        size, total = self._geometry(needed)
        layout = self._place(total, sizes)
        # The block of the alternate volume header; the last one where that lies behind all blocks.
        last = min((size - _ALTERNATE) // volume.block_size, total - 1)
        allocator = layout.allocator
        if last < allocator.next:
            raise UsageError(
                f"{size} bytes are too few: expected {allocator.next * volume.block_size} and "
                f"{_ALTERNATE} for the alternate volume header"
            )
        allocator.reserve(last, total - last)
        self.clumps = {
            name: self._clump(name, fork.blocks * volume.block_size, total)
            for name, fork in layout.special.items()
        }
        for name, tree in self._trees(layout).items():
            layout.special[name] = Fork(tree.data, layout.special[name].extents)
        bitmap = layout.special["allocationFile"]
        data = allocator.bitmap().ljust(bitmap.blocks * volume.block_size, b"\0")
        layout.special["allocationFile"] = Fork(data, bitmap.extents)
        header = self._header(layout, total)
        pieces = [(SECTOR * 2, header), (size - _ALTERNATE, header)]
        for fork in (
            *layout.special.values(),
            *layout.forks.values(),
            *layout.attributes.values(),
        ):
            at = 0
            for start, count in fork.extents:
                length = count * volume.block_size
                pieces.append((start * volume.block_size, fork.data[at : at + length]))
                at += length
        return Image.of(volume.name, size, pieces)

    def _header(self, layout: _Layout, total: int) -> bytes:
        volume = self.volume
        folders = sum(isinstance(item.entry, Directory) for item in self.items)
        attributes = _UNMOUNTED
        info = 0
        if volume.journaled:
            attributes |= _JOURNALED
            cnid = next(i.cnid for i in self.items if i.hidden and i.entry.path == INFO_NAME)
            info = layout.forks[cnid, _DATA].extents[0][0]
        values: dict[str, Value] = {
            "signature": SIGNATURE_X if volume.hfsx else SIGNATURE,
            "version": 5 if volume.hfsx else 4,
            "attributes": attributes,
            "lastMountedVersion": int.from_bytes(b"HFSJ" if volume.journaled else b"10.0", "big"),
            "journalInfoBlock": info,
            "createDate": self.date,
            "modifyDate": self.date,
            "checkedDate": self.date,
            "fileCount": len(self.items) - folders,
            "folderCount": folders - 1,
            "blockSize": volume.block_size,
            "totalBlocks": total,
            "freeBlocks": layout.allocator.free,
            "nextAllocation": layout.allocator.next,
            "rsrcClumpSize": volume.block_size * 4,
            "dataClumpSize": volume.block_size * 4,
            "nextCatalogID": FIRST_USER + len(self.items) - 1,
            "writeCount": 1,
            "encodingsBitmap": 1,
        }
        for name, fork in layout.special.items():
            values |= fork_values(name, fork, clump=self.clumps[name])
        return VOLUME_HEADER.pack(values)


def write(volume: HfsPlusVolume) -> Image:
    """The volume as a disk image.

    Raises:
        UsageError: it does not fit its size, a name is given twice.
    """
    return _Writer(volume).image()
