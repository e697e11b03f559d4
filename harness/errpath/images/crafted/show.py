"""Show an image decoded, as text, with what differs from its base marked.

One line per field; fields that are zero are left out. In a crafted image the corrupted fields are
marked with `!`, and what they were stands beside.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from errpath.images.crafted.document import Section, loads
from errpath.images.hfs.entries import EPOCH
from errpath.images.hfs.layout import Leaf, Value, decode
from errpath.images.image import SECTOR, Image

__all__ = ["changed_values", "render_value", "show"]

_DATES = ("Date", "CrDat", "MdDat", "BkDat", "drLsMod", "drVolBkUp")
_CODES = ("fdType", "fdCreator", "drSigWord", "drEmbedSigWord", "signature", "Sig")
_KINDS = {-1: "leaf", 0: "index", 1: "header", 2: "map"}


def _code(value: int, width: int) -> str:
    data = value.to_bytes(width, "big")
    return repr(data.decode("mac_roman")) if all(32 <= byte < 127 for byte in data) else ""


def _remark(leaf: Leaf, value: int) -> str:
    """What a number means, where a reader would have to look it up."""
    name = leaf.path.rpartition(".")[2]
    if name == "kind":
        return _KINDS.get(value, "unknown")
    if name.endswith(_CODES):
        return _code(value, leaf.width)
    if name.endswith(_DATES) and value >= EPOCH:
        return datetime.fromtimestamp(value - EPOCH, UTC).strftime("%Y-%m-%d %H:%M:%S")
    return str(value) if value > 9 else ""


def render_value(leaf: Leaf, value: Value) -> str:
    """A value as text: numbers in hex with what they mean, characters as such."""
    if isinstance(value, bytes):
        wide = leaf.path.endswith(("unicode", "attrName"))
        text = value.decode("utf-16-be" if wide else "mac_roman", "replace").rstrip("\0")
        return repr(text) if text.replace("\0", "").isprintable() else value.hex()
    number = str(value) if value < 0 else f"{value:#0{2 + 2 * leaf.width}x}"
    remark = _remark(leaf, value)
    return f"{number} ({remark})" if remark else number


def _read(image: Image, section: Section, leaf: Leaf) -> bytes:
    return section.region.slice(leaf.offset, leaf.width).read(image)


def _changes(image: Image, base: Image, section: Section) -> dict[str, tuple[bytes, bytes]]:
    """(was, is) by field path, of the fields of a section that differ."""
    found: dict[str, tuple[bytes, bytes]] = {}
    for leaf in section.fields:
        was, now = _read(base, section, leaf), _read(image, section, leaf)
        if was != now:
            found[leaf.path] = (was, now)
    return found


def changed_values(image: Image, base: Image) -> Iterator[str]:
    """The fields in which an image differs from its base, with what they were, and the sectors that
    differ outside of them; none where it holds no volume of HFS or HFS+."""
    sections = loads(base).sections
    for section in sections:
        leaves = {leaf.path: leaf for leaf in section.fields}
        for path, (was, now) in _changes(image, base, section).items():
            leaf = leaves[path]
            yield f"{section.path}.{path} = {_text(leaf, now)}, was {_text(leaf, was)}"
    if sections:
        yield from (line.removeprefix("! ") for line in _loose_lines(image, base, sections))


def _text(leaf: Leaf, data: bytes) -> str:
    if len(data) < leaf.width:
        return "cut off"
    return render_value(leaf, decode(leaf.kind, data))


def _section_lines(image: Image, base: Image, section: Section, *, whole: bool) -> Iterator[str]:
    changes = _changes(image, base, section)
    if not whole and not changes:
        return
    offset = section.region.pieces[0][0]
    yield f"{section.path} ({section.struct}) at {offset:#x}"
    for leaf in section.fields:
        data = _read(image, section, leaf)
        if leaf.path in changes:
            was, now = changes[leaf.path]
            yield f"! {leaf.path} = {_text(leaf, now)}, was {_text(leaf, was)}"
        elif any(data):
            yield f"  {leaf.path} = {_text(leaf, data)}"


def _loose_lines(image: Image, base: Image, sections: tuple[Section, ...]) -> Iterator[str]:
    """Differences outside of every field, by sector."""
    smaller = image if image.size <= base.size else base
    left, right = image.truncated(smaller.size), base.truncated(smaller.size)
    holes: list[tuple[int, bytes]] = []
    for section in sections:
        for offset, length in section.region.pieces:
            length = max(0, min(length, smaller.size - offset))
            holes.append((offset, bytes(length)) if length else (0, b""))
    for offset, data in left.patched_all(holes).delta(right.patched_all(holes)):
        for at in range(0, len(data), SECTOR):
            yield f"! sector {(offset + at) // SECTOR} differs, outside of any field"


def show(image: Image, *, base: Image | None = None, whole: bool = True) -> str:
    """The decoded structures of an image as text.

    Args:
        base: the valid image that this one was made from. It says what stands where, so that a
            structure is shown even where its corruption hides it; the differences are marked.
        whole: with the structures that do not differ.
    """
    reference = image if base is None else base
    sections = loads(reference).sections
    lines = [f"{image.name}: {image.size} bytes, sha256 {image.sha256}"]
    if base is not None and image.size != base.size:
        lines.append(f"! size = {image.size} bytes, was {base.size}")
    for section in sections:
        lines += _section_lines(image, reference, section, whole=whole)
    if base is not None:
        lines += _loose_lines(image, base, sections)
    return "\n".join(lines) + "\n"
