"""hypothesis strategies: valid volumes, and mutants of valid images.

A mutant changes one to four things: fields to values at their boundaries, links and pointers of
B-tree nodes, extents, record offsets, whole nodes, blind bytes, the device's size.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache

from hypothesis import strategies as st

from errpath.images.crafted.document import Section, loads
from errpath.images.crafted.fields import FieldMap
from errpath.images.crafted.mutant import Mutant
from errpath.images.hfs import macroman, unistr
from errpath.images.hfs.entries import Directory, Entry, File, Symlink
from errpath.images.hfs.hfs import HfsVolume
from errpath.images.hfs.hfsplus import HfsPlusVolume
from errpath.images.hfs.layout import Leaf, Value, decode, encode
from errpath.images.image import SECTOR, Image

__all__ = ["entries", "hfs_volumes", "hfsplus_volumes", "mutants"]

_MACROMAN = [
    code
    for code in bytes(range(0x20, 0x100)).decode("mac_roman")
    if code not in "/:" and code != "\x7f"
]
# A change: what is written, the device's new size, and a line that describes it.
_Change = tuple[tuple[tuple[int, bytes], ...], int | None, str]


def _no_dots(name: str) -> bool:
    """Not a name that means a place to Linux, and that fsck refuses."""
    return name not in (".", "..")


def _hfs_names(limit: int = macroman.MAX_NAME) -> st.SearchStrategy[str]:
    return st.text(alphabet=_MACROMAN, min_size=1, max_size=limit).filter(_no_dots)


def _hfsplus_names(last: str) -> st.SearchStrategy[str]:
    # Surrogates are no characters, `/` separates, and NUL is written as U+2400.
    letters = st.characters(
        exclude_categories=["Cs"], exclude_characters="/\0\u2400", max_codepoint=ord(last)
    )
    return st.text(alphabet=letters, min_size=1, max_size=40).filter(_no_dots)


def _folded(name: str, *, plus: bool) -> tuple[int, ...]:
    """What the volume compares of names; empty where no character counts."""
    if plus:
        return unistr.sort_key(unistr.encode_name(name), case_sensitive=False)
    return macroman.sort_key(macroman.encode_name(name))


@st.composite
def entries(
    draw: st.DrawFn, names: st.SearchStrategy[str], *, plus: bool, block_size: int
) -> tuple[Entry, ...]:
    """A tree of directories and files (HFS+: symbolic links) with these names."""
    made: list[Entry] = []
    folders = [""]
    seen: set[tuple[str, tuple[int, ...]]] = set()
    for name in draw(st.lists(names, max_size=12)):
        folder = draw(st.sampled_from(folders))
        key = _folded(name, plus=plus)
        if (folder, key) in seen or not key:
            continue
        seen.add((folder, key))
        path = f"{folder}/{name}" if folder else name
        kind = draw(st.sampled_from(["directory", "file", "file", "symlink" if plus else "file"]))
        if kind == "directory":
            made.append(Directory(path=path))
            folders.append(path)
        elif kind == "symlink":
            made.append(Symlink(path=path, target=draw(st.sampled_from(["readme", "a/b", "."]))))
        else:
            made.append(draw(_files(path, block_size)))
    return tuple(made)


@st.composite
def _files(draw: st.DrawFn, path: str, block_size: int) -> File:
    def fork() -> tuple[bytes, int]:
        blocks = draw(st.integers(0, 12))
        rest = draw(st.integers(0, 5)) if blocks else 0
        data = (bytes(range(256)) * (blocks * block_size // 256 + 1))[: blocks * block_size - rest]
        return data, draw(st.integers(1, max(1, blocks)))

    data, fragments = fork()
    resource, resource_fragments = fork()
    return File(
        path=path,
        data=data,
        fragments=fragments,
        resource=resource,
        resource_fragments=resource_fragments,
    )


@st.composite
def hfs_volumes(draw: st.DrawFn) -> HfsVolume:
    """A valid HFS volume of any shape that Linux mounts.

    The kernel reads a whole page from a tree's header node on, so behind it the volume must not
    end too soon.
    """
    block_size = draw(st.sampled_from([512, 1024, 1536, 4096]))
    return HfsVolume(
        name=draw(_hfs_names(27)),
        block_size=block_size,
        entries=draw(entries(_hfs_names(), plus=False, block_size=block_size)),
        free_blocks=draw(st.integers(8, 40)),
        spare_nodes=draw(st.integers(0, 9)),
        records_per_node=draw(st.sampled_from([None, 2, 3, 5])),
        file_threads=draw(st.booleans()),
    )


@st.composite
def hfsplus_volumes(draw: st.DrawFn, *, last: str = "\U0010ffff") -> HfsPlusVolume:
    """A valid HFS+ or HFSX volume of any shape; names have characters up to `last`."""
    block_size = draw(st.sampled_from([512, 1024, 4096]))
    hfsx = draw(st.booleans())
    return HfsPlusVolume(
        block_size=block_size,
        entries=draw(entries(_hfsplus_names(last), plus=True, block_size=block_size)),
        hfsx=hfsx,
        case_sensitive=hfsx and draw(st.booleans()),
        journaled=draw(st.booleans()),
        private_directory=draw(st.booleans()),
        free_blocks=draw(st.integers(1, 40)),
        spare_nodes=draw(st.integers(0, 5)),
        records_per_node=draw(st.sampled_from([None, 2, 3, 5])),
        attributes_tree=draw(st.booleans()),
    )


@cache
def _sections(base: Image) -> tuple[Section, ...]:
    return loads(base).sections


def _boundaries(kind: str, value: int) -> list[int]:
    """Values that a comparison may get wrong, for an integer field."""
    bits = int(kind[1:])
    top = (1 << bits) - 1
    found = [0, 1, 2, value - 1, value + 1, value * 2, value ^ 0x80, top, top - 1, top >> 1]
    found += [(top >> 1) + 1, 1 << (bits // 2), (1 << (bits // 2)) - 1]
    if kind[0] == "s":
        return sorted({(v & top) - ((v & top) >> (bits - 1) << bits) for v in found} - {value})
    return sorted({v & top for v in found} - {value})


def _field_change(section: Section, leaf: Leaf, value: Value) -> _Change:
    region = section.region.slice(leaf.offset, leaf.width)
    pieces = tuple(region.patches(encode(leaf.kind, value)))
    written = f"{value:#x}" if isinstance(value, int) else value.hex()
    return pieces, None, f"{section.path}.{leaf.path} = {written}"


def _fields(base: Image, wanted: Callable[[str], bool]) -> list[tuple[Section, Leaf]]:
    return [
        (section, leaf)
        for section in _sections(base)
        for leaf in section.fields
        if wanted(f"{section.path}.{leaf.path}") and leaf.kind[0] in "us"
        and not leaf.kind.endswith("s")
    ]  # fmt: skip


@st.composite
def _boundary(draw: st.DrawFn, base: Image) -> _Change:
    # By structure first: a volume has thousands of record fields and one header.
    section = draw(st.sampled_from([s for s in _sections(base) if s.fields]))
    leaf = draw(st.sampled_from(section.fields))
    if leaf.kind.endswith("s"):
        return _field_change(
            section, leaf, draw(st.binary(min_size=leaf.width, max_size=leaf.width))
        )
    value = decode(leaf.kind, section.region.slice(leaf.offset, leaf.width).read(base))
    assert isinstance(value, int)
    return _field_change(section, leaf, draw(st.sampled_from(_boundaries(leaf.kind, value))))


def _number_change(
    base: Image, suffixes: Sequence[str], values: st.SearchStrategy[int]
) -> st.SearchStrategy[_Change] | None:
    """One of the fields with these names gets one of these values."""
    found = _fields(base, lambda path: path.endswith(tuple(suffixes)))
    if not found:
        return None
    return st.tuples(st.sampled_from(found), values).map(
        lambda pair: _field_change(*pair[0], pair[1] & (1 << (8 * pair[0][1].width)) - 1)
    )


def _links(base: Image) -> st.SearchStrategy[_Change] | None:
    """Cycles in a tree: links and pointers to nodes of the same small numbers."""
    names = ("fLink", "bLink", "data.node", "rootNode", "firstLeafNode", "lastLeafNode")
    return _number_change(base, names, st.integers(0, 20))


def _extents(base: Image) -> st.SearchStrategy[_Change] | None:
    """Overlapping extents: starts and lengths like those of others."""
    return _number_change(
        base, ("StABN", "NumABlks", "startBlock", "blockCount"), st.integers(0, 60)
    )


def _offsets(base: Image) -> st.SearchStrategy[_Change] | None:
    """Wrong record offsets, and counts that make others count as offsets."""
    found = _fields(base, lambda path: ".offset[" in path or path.endswith("numRecords"))
    if not found:
        return None
    values = st.one_of(st.integers(0, 600), st.integers(0, 0xFFFF))
    return st.tuples(st.sampled_from(found), values).map(
        lambda pair: _field_change(*pair[0], pair[1])
    )


@st.composite
def _swap(draw: st.DrawFn, base: Image) -> _Change:
    """Two nodes of one tree change places."""
    trees = [tree for volume in FieldMap(base).disk.volumes for tree in volume.trees.values()]
    tree = draw(st.sampled_from(trees))
    one, other = draw(st.integers(0, tree.nodes - 1)), draw(st.integers(0, tree.nodes - 1))
    first, second = tree.node(one), tree.node(other)
    pieces = (*first.patches(second.read(base)), *second.patches(first.read(base)))
    return pieces, None, f"{tree.name}: nodes {one} and {other} swapped"


@st.composite
def _blind(draw: st.DrawFn, base: Image) -> _Change:
    start, data = draw(st.sampled_from(base.extents))
    offset = start + draw(st.integers(0, len(data) - 1))
    room = min(16, base.size - offset)
    written = draw(st.binary(min_size=1, max_size=room))
    return ((offset, written),), None, f"bytes at {offset:#x} = {written.hex()}"


@st.composite
def _cut(draw: st.DrawFn, base: Image) -> _Change:
    size = draw(st.integers(1, base.size // SECTOR)) * SECTOR
    return (), size, f"cut to {size} bytes"


@st.composite
def mutants(draw: st.DrawFn, bases: Sequence[Image]) -> Mutant:
    """A mutant of one of these images, which must hold volumes."""
    base = draw(st.sampled_from(bases))
    kinds: list[st.SearchStrategy[_Change]] = [_boundary(base), _boundary(base), _swap(base)]
    kinds += [kind for kind in (_links(base), _extents(base), _offsets(base)) if kind is not None]
    kinds += [_blind(base), _cut(base)]
    changes = draw(st.lists(st.one_of(kinds), min_size=1, max_size=4))
    sizes = [size for _, size, _ in changes if size is not None]
    return Mutant(
        base=base,
        pieces=tuple(piece for pieces, _, _ in changes for piece in pieces),
        size=min(sizes) if sizes else None,
        notes=tuple(note for _, _, note in changes),
    )
