"""Valid volumes of many shapes, by name, for the tests that show them to other programs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from errpath.images.crafted.bases import BASES, base_image
from errpath.images.hfs import hfs, hfsplus
from errpath.images.hfs.entries import Directory, Entry, File, HardLink, Symlink, default_entries
from errpath.images.image import Image

__all__ = ["HFS", "HFSPLUS", "pattern"]


def pattern(size: int, seed: int = 0) -> bytes:
    """Bytes that tell their place, so that a block in a wrong place is seen."""
    return b"".join((seed << 48 | at).to_bytes(8, "big") for at in range(-(-size // 8)))[:size]


def _many(count: int) -> tuple[Entry, ...]:
    folders = tuple(Directory(path=f"folder {n}") for n in range(5))
    files = tuple(
        File(path=f"folder {n % 5}/file {n:04}", data=pattern(n % 700, n)) for n in range(count)
    )
    return (*folders, *files)


def _deep_path(depth: int) -> tuple[Entry, ...]:
    paths = ["/".join(f"level{n}" for n in range(1, d + 1)) for d in range(1, depth + 1)]
    return (*(Directory(path=p) for p in paths), File(path=f"{paths[-1]}/file", data=b"deep"))


def _forks(block: int) -> tuple[Entry, ...]:
    """Forks of many extents, several of them with more than one record in the extents tree."""
    return (
        *default_entries(),
        File(path="data", data=pattern(40 * block - 5, 1), fragments=40),
        File(path="both", data=pattern(9 * block, 2), fragments=9,
             resource=pattern(30 * block, 3), resource_fragments=30),
        File(path="three", data=pattern(3 * block, 4), fragments=3),
        File(path="empty"),
    )  # fmt: skip


# Without Greek tonos: fsck and later systems decompose it otherwise than TN1150 and the kernel.
_NAMES_PLUS = (
    "a" * 255,
    "é" * 127,
    "Ω" * 255,
    "한글 이름",
    "ÅÄÖ åäö",
    "with:colon",
    "emoji \U0001f600",
    "\u200dignored joiner",
    "ჰ Ⴀ",
    "ﬁ ligature",
)
_NAMES_HFS = ("a" * 31, "É" * 31, "Åå", "fichier été", "with:colon", "“quoted”", "b", "A", "ÿŸ")


def _named(names: tuple[str, ...]) -> tuple[Entry, ...]:
    return tuple(File(path=name, data=name.encode()) for name in names)


def _bases(prefix: str) -> dict[str, Callable[[], Image]]:
    names = (name for name in BASES if name.startswith(prefix) and "map" not in name)
    return {name: partial(base_image, name) for name in names}


HFS: Mapping[str, Callable[[], Image]] = {
    **{
        name: partial(base_image, name)
        for name in BASES
        if name.startswith("hfs-") and "map" not in name
    },
    "hfs": partial(base_image, "hfs"),
    "300-files": lambda: hfs.volume(entries=_many(300)).image(),
    "map-nodes": lambda: hfs.volume(spare_nodes=5000).image(),
    "4-levels": lambda: hfs.volume(entries=_many(60), records_per_node=4).image(),
    "deep-path": lambda: hfs.volume(entries=_deep_path(30)).image(),
    "forks": lambda: hfs.volume(entries=_forks(512)).image(),
    "forks-deep-extents": lambda: hfs.volume(entries=_forks(512), records_per_node=2).image(),
    "names": lambda: hfs.volume(entries=_named(_NAMES_HFS)).image(),
    "no-file-threads": lambda: hfs.volume(file_threads=False).image(),
    "blocks-1536": lambda: hfs.volume(block_size=1536, entries=_forks(1536)).image(),
    "floppy": lambda: hfs.volume(size=800 * 1024, entries=_forks(512)).image(),
    "300-MiB": lambda: hfs.volume(size=300 << 20, block_size=8192, entries=_many(20)).image(),
}

HFSPLUS: Mapping[str, Callable[[], Image]] = {
    **_bases("hfsplus-"),
    "hfsplus": partial(base_image, "hfsplus"),
    "hfsx": partial(base_image, "hfsx"),
    "hfsx-folding": partial(base_image, "hfsx-folding"),
    "smallest": lambda: hfsplus.volume(
        entries=(), block_size=512, free_blocks=1, spare_nodes=0, private_directory=False
    ).image(),
    "300-files": lambda: hfsplus.volume(entries=_many(300)).image(),
    "map-nodes": lambda: hfsplus.HfsPlusVolume(
        entries=default_entries(), extents_node_size=512, spare_nodes=2500
    ).image(),
    "4-levels": lambda: hfsplus.volume(entries=_many(60), records_per_node=4).image(),
    "deep-path": lambda: hfsplus.volume(entries=_deep_path(60)).image(),
    "forks": lambda: hfsplus.volume(entries=_forks(4096)).image(),
    "forks-512": lambda: hfsplus.volume(entries=_forks(512), block_size=512).image(),
    "forks-deep-extents": lambda: hfsplus.volume(entries=_forks(4096), records_per_node=2).image(),
    "names": lambda: hfsplus.volume(entries=_named(_NAMES_PLUS)).image(),
    "names-by-case": lambda: hfsplus.volume(
        hfsx=True, case_sensitive=True, entries=_named(("a", "A", "é", "É", "b", "B"))
    ).image(),
    "links": lambda: hfsplus.volume(
        entries=(
            *default_entries(),
            HardLink(path="one", target="readme"),
            HardLink(path="folder/two", target="readme"),
            HardLink(path="three", target="folder/nested"),
            Symlink(path="symlink", target="folder/nested"),
        )
    ).image(),
    "attributes-deep": lambda: hfsplus.volume(
        entries=tuple(
            File(path=f"f{n}", xattrs=tuple((f"user.{k}", pattern(k * 97, k)) for k in range(9)))
            for n in range(12)
        ),
        records_per_node=5,
    ).image(),
    "attribute-in-fork": lambda: hfsplus.volume(
        entries=(File(path="file", xattrs=(("user.large", pattern(9000)),)),)
    ).image(),
    "blocks-65536": lambda: hfsplus.volume(block_size=65536).image(),
    "300-MiB": lambda: hfsplus.volume(size=300 << 20, entries=_many(20)).image(),
    "odd-size": lambda: hfsplus.volume(size=(1 << 20) + 512 * 3).image(),
    "wrapped-512": lambda: hfs.wrapper(
        hfsplus.volume(block_size=512).image(), block_size=512
    ).image(),
}  # fmt: skip
