"""Lay out an HFS+ volume and write it."""

from __future__ import annotations

from errpath.errors import UsageError
from errpath.images.hfs.blocks import Allocator
from errpath.images.hfs.entries import Directory, File, Symlink, mac_date
from errpath.images.hfs.formats import VOLUME_HEADER
from errpath.images.hfs.hfsplus_catalog import MAX_INLINE, Fork, fork_values
from errpath.images.hfs.hfsplus_items import FIRST_USER, Item, identify
from errpath.images.hfs.hfsplus_trees import DATA_FORK, RESOURCE_FORK, Layout, Trees
from errpath.images.hfs.journal import BUFFER_NAME, INFO_NAME, journal_buffer, journal_info_block
from errpath.images.hfs.layout import Value
from errpath.images.hfs.parameters import HfsPlusParameters
from errpath.images.image import SECTOR, Image

__all__ = ["SIGNATURE", "SIGNATURE_X", "write"]

# signature: "H+" and "HX"
SIGNATURE, SIGNATURE_X = 0x482B, 0x4858
# attributes: unmounted cleanly, journaled, unused nodes are zeroes
_UNMOUNTED, _JOURNALED, _UNUSED_NODE_FIX = 0x0100, 0x2000, 0x80000000
# Bytes from the volume's start to behind the volume header; bytes that the alternate one ends with.
_HEADER_END, _ALTERNATE = 1536, 1024
_MAX_BLOCKS = 0xFFFFFFFF


class _Writer:
    """One run of writing a volume."""

    def __init__(self, volume: HfsPlusParameters) -> None:
        self.volume = volume
        self.date = mac_date(volume.date)
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
        self.trees = Trees(volume, self.items, with_attributes=self.with_attributes)

    def _blocks(self, size: int) -> int:
        return -(-size // self.volume.block_size)

    def _data(self, item: Item) -> tuple[tuple[int, bytes, int], ...]:
        entry = item.entry
        if isinstance(entry, Symlink):
            return ((DATA_FORK, entry.target.encode(), 1),)
        if isinstance(entry, File) and not item.hidden:
            return (
                (DATA_FORK, entry.data, entry.fragments),
                (RESOURCE_FORK, entry.resource, entry.resource_fragments),
            )
        return ()

    def _place(self, total: int, sizes: dict[str, int]) -> Layout:
        """Lay out a volume of `total` blocks whose trees have these sizes in bytes."""
        volume = self.volume
        allocator = Allocator(total)
        layout = Layout(allocator)
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
            layout.forks[info.cnid, DATA_FORK] = Fork(data.ljust(block, b"\0"), extents)
            data = journal_buffer(volume.journal_size).ljust(volume.journal_size, b"\0")
            layout.forks[buffer.cnid, DATA_FORK] = Fork(data, journal)
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
        sizes = {name: len(tree.data) for name, tree in self.trees.built(draft).items()}
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
        self.trees.set_clumps(layout, total)
        for name, tree in self.trees.built(layout).items():
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

    def _header(self, layout: Layout, total: int) -> bytes:
        volume = self.volume
        folders = sum(isinstance(item.entry, Directory) for item in self.items)
        attributes = _UNMOUNTED | (_UNUSED_NODE_FIX if volume.unused_node_fix else 0)
        info = 0
        if volume.journaled:
            attributes |= _JOURNALED
            cnid = next(i.cnid for i in self.items if i.hidden and i.entry.path == INFO_NAME)
            info = layout.forks[cnid, DATA_FORK].extents[0][0]
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
            values |= fork_values(name, fork, clump=self.trees.clumps[name])
        return VOLUME_HEADER.pack(values)


def write(volume: HfsPlusParameters) -> Image:
    """The volume as a disk image.

    Raises:
        UsageError: it does not fit its size, a name is given twice.
    """
    return _Writer(volume).image()
