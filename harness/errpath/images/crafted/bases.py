"""The valid images that catalogue entries corrupt, by name.

Each is the smallest one that has what its corruptions need.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache

from errpath.errors import UsageError
from errpath.images.hfs import hfs, hfsplus
from errpath.images.hfs.entries import Directory, Entry, File, HardLink, Symlink, default_entries
from errpath.images.hfs.formats import PARTITION_MAP_ENTRY
from errpath.images.hfs.hfsplus_items import PRIVATE_DIRECTORY
from errpath.images.hfs.partition import NEW_SIGNATURE, with_new_map, with_old_map
from errpath.images.image import SECTOR, Image, blank

__all__ = ["BASES", "VOLUMES", "base_image", "base_volume", "sound_bases"]


def _many(count: int = 12) -> tuple[Entry, ...]:
    files = (File(path=f"folder/file{n:02}", data=b"%02d\n" % n) for n in range(count))
    return (Directory(path="folder"), *files)


def _long_names(count: int = 40) -> tuple[Entry, ...]:
    """Names that fill the leaves, so that one record more splits a node."""
    return tuple(File(path=f"{n:02}" + "n" * 144) for n in range(count))


def _last_of_the_lower_half() -> tuple[Entry, ...]:
    """A file that begins a leaf, before a directory of a longer name. The index above is nearly
    full, and the leaf's key the last of its lower half."""
    return (
        *(Directory(path=f"a{n:03}" + "n" * 127) for n in range(86)),
        File(path="b" + "n" * 11, data=b"b"),
        File(path="c" + "n" * 22, data=b"c"),
        *(Directory(path=f"d{n:03}" + "n" * 241) for n in range(20)),
    )


def _one_leaf() -> tuple[Entry, ...]:
    """Four names that fill one leaf."""
    return tuple(File(path=f"{n}" + "n" * 175) for n in range(4))


def _fragmented(pieces: int, block: int) -> tuple[Entry, ...]:
    data = bytes(range(256)) * (pieces * block // 256)
    file = File(path="fragmented", data=data, fragments=pieces, resource=b"resource fork\n")
    return (*default_entries(), file)


def _links() -> tuple[Entry, ...]:
    return (
        *default_entries(),
        Symlink(path="symlink", target="folder/nested"),
        HardLink(path="hardlink", target="readme"),
    )


def _attributes() -> tuple[Entry, ...]:
    value = (("user.errpath", b"value"), ("user.other", b"x" * 100))
    return (*default_entries(), File(path="attributes", xattrs=value))


def _small_attributes() -> tuple[Entry, ...]:
    """Several files with two attributes each."""
    return tuple(
        File(path=f"file{n}", xattrs=(("user.a", b"%d" % n), ("user.b", b"b" * n)))
        for n in range(1, 7)
    )


def _large_attributes() -> tuple[Entry, ...]:
    """Two attributes as large as records may be, which leave no room in their leaf."""
    large = (("user." + "a" * 105, b"a" * 3800), ("user." + "b" * 122, b"b" * 3798))
    return (*default_entries(), File(path="attributes", xattrs=large))


def _map_to_the_end() -> Image:
    """A `PM` map of which every sector behind the first is an entry, up to the device's end."""
    total = 16
    entry = PARTITION_MAP_ENTRY.pack(
        {
            "pmSig": NEW_SIGNATURE,
            "pmMapBlkCnt": 0x7FFFFFFF,
            "pmParType": b"Apple_Free".ljust(32, b"\0"),
        }
    )
    pieces = [(number * SECTOR, entry) for number in range(1, total)]
    return Image.of("map-to-the-end", total * SECTOR, pieces)


_Volume = hfs.HfsVolume | hfsplus.HfsPlusVolume

VOLUMES: Mapping[str, Callable[[], _Volume]] = {
    "hfs": lambda: hfs.volume(),
    # Sectors of 4096 bytes can hold it: blocks as large as sectors, from such a sector on.
    "hfs-4k": lambda: hfs.HfsVolume(
        block_size=4096, entries=default_entries(), size=48 * 4096, extra_sectors=4
    ),
    "hfs-deep": lambda: hfs.volume(entries=_many(), records_per_node=3),
    "hfs-fragmented": lambda: hfs.volume(entries=_fragmented(10, 512)),
    # The catalog's first blocks are apart, and its last ones stand in the extents tree.
    "hfs-catalog-pieces": lambda: hfs.HfsVolume(
        entries=_many(), records_per_node=3, catalog_fragments=26
    ),
    "hfs-catalog-pages": lambda: hfs.HfsVolume(
        block_size=4096, entries=_many(), records_per_node=3, catalog_fragments=4, spare_nodes=8
    ),
    # A file in the root directory that is named like the volume.
    "hfs-namesake": lambda: hfs.volume(entries=(File(path="errpath"),)),
    # Valid, but the catalog's header node is less than a page before the device's end.
    "hfs-smallest": lambda: hfs.volume(entries=(), free_blocks=1, spare_nodes=0),
    "hfsplus": lambda: hfsplus.volume(),
    "hfsplus-512": lambda: hfsplus.volume(block_size=512, size=64 * 1024),
    "hfsplus-attributes": lambda: hfsplus.volume(entries=_attributes()),
    "hfsplus-attributes-large": lambda: hfsplus.volume(entries=_large_attributes()),
    # The files of the extents tree and of the attributes tree in pieces; the latter in more pieces
    # than the volume header holds, with its root in the last.
    "hfsplus-trees-pieces": lambda: hfsplus.HfsPlusVolume(
        entries=_small_attributes(),
        records_per_node=2,
        spare_nodes=0,
        extents_fragments=2,
        attributes_fragments=11,
    ),
    "hfsplus-catalog-pieces": lambda: hfsplus.HfsPlusVolume(
        entries=_many(), records_per_node=3, catalog_fragments=12
    ),
    "hfsplus-deep": lambda: hfsplus.volume(entries=_many(), records_per_node=3),
    "hfsplus-fragmented": lambda: hfsplus.volume(entries=_fragmented(20, 4096)),
    # Neither a free node nor a free block, so that the catalog cannot take a new directory.
    "hfsplus-full": lambda: hfsplus.volume(private_directory=False, spare_nodes=0, free_blocks=0),
    "hfsplus-journaled": lambda: hfsplus.volume(journaled=True),
    "hfsplus-links": lambda: hfsplus.volume(entries=_links()),
    # Volume names whose lengths decide what fits a record.
    "hfsplus-name-8": lambda: hfsplus.volume(name="errpath8"),
    "hfsplus-name-39": lambda: hfsplus.volume(name="errpath" + "-" * 32),
    "hfsplus-name-255": lambda: hfsplus.volume(name="errpath" + "-" * 248),
    "hfsplus-namesake": lambda: hfsplus.volume(entries=(File(path="errpath"),)),
    # Leaves without room for one record more: making the private directory splits one.
    "hfsplus-no-private-tight": lambda: hfsplus.volume(
        private_directory=False, entries=_long_names()
    ),
    "hfsplus-no-private-tight-full": lambda: hfsplus.volume(
        private_directory=False, entries=_long_names(), spare_nodes=0, free_blocks=0
    ),
    # One leaf without room for one record more, under no index.
    "hfsplus-leaf-tight": lambda: hfsplus.volume(private_directory=False, entries=_one_leaf()),
    "hfsplus-leaf-tight-full": lambda: hfsplus.volume(
        private_directory=False, entries=_one_leaf(), spare_nodes=20, free_blocks=0
    ),
    # Enough long names for an index node whose upper half begins with a leaf of the root directory.
    "hfsplus-no-private-wide": lambda: hfsplus.volume(
        private_directory=False, entries=_long_names(58)
    ),
    "hfsplus-no-private-deep": lambda: hfsplus.volume(
        private_directory=False, entries=_many(), records_per_node=3
    ),
    # A leaf that begins in the middle of the root directory.
    "hfsplus-no-private-pairs": lambda: hfsplus.volume(
        private_directory=False, entries=_many(4), records_per_node=2
    ),
    # A directory in the root directory that is named like the volume.
    "hfsplus-namesake-deep": lambda: hfsplus.volume(
        private_directory=False,
        entries=(Directory(path="errpath"), *_many(4)),
        records_per_node=3,
    ),
    # A private metadata directory, and many free nodes.
    "hfsplus-deep-spare": lambda: hfsplus.volume(
        entries=_many(), records_per_node=3, spare_nodes=64
    ),
    # Nodes as small as the kernel takes them.
    "hfsplus-nodes-512": lambda: hfsplus.HfsPlusVolume(
        private_directory=False, block_size=512, catalog_node_size=512, entries=_many(4)
    ),
    # A catalog in as many pieces as the volume header holds, and one of more; both must grow.
    "hfsplus-grow-8": lambda: hfsplus.HfsPlusVolume(
        private_directory=False, entries=_long_names(), spare_nodes=0, catalog_fragments=8
    ),
    "hfsplus-grow-10": lambda: hfsplus.HfsPlusVolume(
        private_directory=False, entries=_long_names(), spare_nodes=0, catalog_fragments=10
    ),
    # A catalog in more pieces than the volume header holds: three levels; with free nodes behind
    # those in use, so that no mount reads what the extents tree maps; with one leaf.
    "hfsplus-grow-deep": lambda: hfsplus.HfsPlusVolume(
        private_directory=False,
        entries=_many(6),
        records_per_node=3,
        spare_nodes=0,
        catalog_fragments=9,
    ),
    "hfsplus-grow-spare": lambda: hfsplus.HfsPlusVolume(
        private_directory=False, entries=_long_names(), spare_nodes=6, catalog_fragments=10
    ),
    "hfsplus-grow-leaf": lambda: hfsplus.HfsPlusVolume(
        private_directory=False, entries=(), spare_nodes=8, catalog_fragments=9
    ),
    "hfsplus-no-private": lambda: hfsplus.volume(private_directory=False),
    # A file that is named like the private metadata directory.
    "hfsplus-private-file": lambda: hfsplus.volume(
        private_directory=False, entries=(File(path=PRIVATE_DIRECTORY),)
    ),
    "hfsplus-unlink-splits": lambda: hfsplus.volume(
        entries=_last_of_the_lower_half(), spare_nodes=8
    ),
    "hfsx": lambda: hfsplus.volume(hfsx=True, case_sensitive=True),
    "hfsx-folding": lambda: hfsplus.volume(hfsx=True),
}

# Images that hold one of these volumes in something else: what makes them, and the volume.
_AROUND: Mapping[str, tuple[Callable[[Image], Image], str]] = {
    "hfs-old-map": (with_old_map, "hfs"),
    "hfs-new-map": (with_new_map, "hfs"),
    "hfs-4k-old-map": (with_old_map, "hfs-4k"),
    "hfsplus-new-map": (with_new_map, "hfsplus"),
    "hfsplus-old-map": (with_old_map, "hfsplus"),
    "hfsplus-wrapped": (lambda image: hfs.wrapper(image).image(), "hfsplus"),
}

# And two without a volume.
_OTHERS: Mapping[str, Callable[[], Image]] = {
    "blank": lambda: blank(64 * 1024),
    "map-to-the-end": _map_to_the_end,
}

BASES: tuple[str, ...] = (*VOLUMES, *_AROUND, *_OTHERS)


def base_volume(name: str) -> _Volume | None:
    """The volume in a base image, as it was given to the writer; None where there is none."""
    made = VOLUMES.get(_AROUND[name][1] if name in _AROUND else name)
    return made() if made is not None else None


def sound_bases(filesystem: str) -> tuple[str, ...]:
    """The bases of hfs or hfsplus that a kernel can write to; () for another filesystem. Writing to
    HFS with blocks over 1024 bytes hangs by itself (docs/findings/hfs-mdb-commit-deadlock.md), and
    to one HFS+ volume crashes (docs/findings/hfsplus-update-parent-split.md): of their mutants
    nothing is learned."""
    kind = {"hfs": hfs.HfsVolume, "hfsplus": hfsplus.HfsPlusVolume}.get(filesystem)
    found = []
    for name in BASES:
        volume = base_volume(name)
        if kind is None or not isinstance(volume, kind) or name == "hfsplus-unlink-splits":
            continue
        if not isinstance(volume, hfs.HfsVolume) or volume.block_size <= 1024:
            found.append(name)
    return tuple(found)


@cache
def base_image(name: str) -> Image:
    """The base image of this name.

    Raises:
        UsageError: there is none.
    """
    if name not in BASES:
        raise UsageError(f"base {name!r}: expected one of {', '.join(BASES)}")
    if name in _OTHERS:
        return _OTHERS[name]().renamed(name)
    if name in _AROUND:
        around, volume = _AROUND[name]
        return around(base_image(volume)).renamed(name)
    return VOLUMES[name]().image().renamed(name)
