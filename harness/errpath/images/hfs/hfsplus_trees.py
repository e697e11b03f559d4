"""The B-trees of an HFS+ volume, and the clump sizes of its special files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from errpath.images.hfs.blocks import Allocator
from errpath.images.hfs.btree import BIG_KEYS, VARIABLE_INDEX_KEYS, BuiltTree, TreeShape, build_tree
from errpath.images.hfs.entries import mac_date
from errpath.images.hfs.hfsplus_catalog import (
    Fork,
    Style,
    attribute_records,
    catalog_records,
    overflow_records,
)
from errpath.images.hfs.hfsplus_items import Item
from errpath.images.hfs.parameters import HfsPlusParameters

__all__ = ["DATA_FORK", "RESOURCE_FORK", "Layout", "Trees"]

DATA_FORK, RESOURCE_FORK = 0x00, 0xFF
# CNIDs of the special files that may go on in the extents tree.
_OVERFLOWING = {"catalogFile": 4, "attributesFile": 8}
_KEY_BINARY, _KEY_FOLDED = 0xBC, 0xCF


@dataclass
class Layout:
    """Where everything lies in a volume of so many blocks."""

    allocator: Allocator
    # The special files; a tree's data comes last, when all extents are known.
    special: dict[str, Fork] = field(default_factory=dict)
    forks: dict[tuple[int, int], Fork] = field(default_factory=dict)
    attributes: dict[tuple[int, str], Fork] = field(default_factory=dict)


class Trees:
    """Builds the trees of one volume."""

    def __init__(
        self, volume: HfsPlusParameters, items: Sequence[Item], *, with_attributes: bool
    ) -> None:
        self.volume = volume
        self.items = items
        self.with_attributes = with_attributes
        # Clump sizes of the special files, known when the volume's size is.
        self.clumps: dict[str, int] = {}

    def set_clumps(self, layout: Layout, total: int) -> None:
        """Note the clump sizes in a volume of `total` blocks."""
        self.clumps = {
            name: self._clump(name, fork.blocks * self.volume.block_size, total)
            for name, fork in layout.special.items()
        }

    def built(self, layout: Layout) -> dict[str, BuiltTree]:
        """The trees of a volume that is laid out so, by the names of the special files."""
        volume = self.volume
        style = Style(
            date=mac_date(volume.date),
            folder_counts=volume.hfsx,
            case_sensitive=volume.case_sensitive,
        )
        records = {
            "extentsFile": overflow_records(
                layout.forks
                | {
                    (cnid, DATA_FORK): layout.special[name]
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
