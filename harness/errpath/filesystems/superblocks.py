"""Volumes of a filesystem with one field of the superblock broken."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from errpath.errors import DefinitionError, InfrastructureError
from errpath.filesystems import Filesystem, OnDisk
from errpath.images import Image
from errpath.images.broken.checksums import CHECKSUMS
from errpath.images.broken.structs import Field, fields_of

__all__ = ["Broken", "broken_volumes"]

# Bytes from a structure's beginning to the end of what its checksum is of, or stands in.
_WINDOW = 16384


@dataclass(frozen=True)
class Broken:
    """One value of one field, as what is written over the valid volume."""

    # Field and value, such as `s_log_block_size=max` or `s_first_ino+1`.
    name: str
    pieces: tuple[tuple[int, bytes], ...]


def broken_volumes(
    fs: Filesystem, image: Image, source: Callable[[str], str | None]
) -> tuple[Broken, ...]:
    """Each field of the filesystem's superblock at each boundary, in their order, the checksum
    right; nothing where its definition names no structure.

    `source` gives a file of the kernel's source.

    Raises:
        InfrastructureError: the structure is not there; DefinitionError: there is no such checksum.
    """
    found: dict[tuple[tuple[int, bytes], ...], Broken] = {}
    for place in fs.superblock:
        if place.checksum and place.checksum not in CHECKSUMS:
            raise DefinitionError(
                f"filesystem {fs.name}: superblock: checksum: got {place.checksum!r}; "
                f"expected one of: {', '.join(CHECKSUMS)}"
            )
        texts = [source(header) for header in place.headers]
        missing = [h for h, text in zip(place.headers, texts, strict=True) if text is None]
        if missing:
            raise InfrastructureError(f"{fs.name}: {missing[0]}: not in the kernel's source")
        text = "\n".join(text for text in texts if text)
        for broken in _broken(place, fields_of(text, place.struct, place.order), image):
            found.setdefault(broken.pieces, broken)
    return tuple(found.values())


def _broken(place: OnDisk, fields: tuple[Field, ...], image: Image) -> Iterator[Broken]:
    begin = place.at if place.sum_at is None else place.sum_at
    old = image.read(begin, _WINDOW)
    for field in fields:
        at = place.at - begin + field.offset
        if at + field.size > len(old):
            continue
        number = int.from_bytes(old[at : at + field.size], field.order)
        for name, value in _values(number, 8 * field.size):
            data = value.to_bytes(field.size, field.order)
            window = Image.from_bytes(old, name=image.name).patched(at, data)
            if place.checksum:
                window = CHECKSUMS[place.checksum](window, 0)
            runs = tuple(_runs(old, window.read(0, len(old))))
            if runs:
                starts = (begin, *place.copies)
                pieces = tuple((at + offset, run) for at in starts for offset, run in runs)
                yield Broken(f"{field.name}{name}", pieces)


def _values(number: int, bits: int) -> Iterator[tuple[str, int]]:
    """The values at the boundaries, each once, without the one that is there."""
    top = (1 << bits) - 1
    values = {
        "=0": 0,
        "=1": 1,
        "=max": top,
        "=sign": 1 << bits - 1,
        "+1": number + 1 & top,
        "-1": number - 1 & top,
    }
    seen = {number}
    for name, value in values.items():
        if value not in seen:
            seen.add(value)
            yield name, value


def _runs(old: bytes, new: bytes) -> Iterator[tuple[int, bytes]]:
    """Where bytes differ."""
    begin: int | None = None
    for at in range(len(new) + 1):
        if at < len(new) and old[at] != new[at]:
            begin = at if begin is None else begin
        elif begin is not None:
            yield begin, new[begin:at]
            begin = None
