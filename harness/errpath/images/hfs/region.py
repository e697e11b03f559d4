"""A run of bytes that lies in pieces on the disk, such as a fork."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

from errpath.images.image import Image

__all__ = ["Region"]


@dataclass(frozen=True)
class Region:
    """Bytes in logical order, each piece as (offset in the image, length)."""

    pieces: tuple[tuple[int, int], ...]

    @classmethod
    def within(cls, size: int, pieces: Iterable[tuple[int, int]]) -> Region:
        """The pieces as far as they lie in an image of `size` bytes.

        A piece that reaches over the end is cut there and everything behind it is dropped: what
        follows would otherwise stand at a wrong place.
        """
        kept: list[tuple[int, int]] = []
        for offset, length in pieces:
            room = max(0, min(length, size - offset))
            if room:
                kept.append((offset, room))
            if room < length:
                break
        return cls(tuple(kept))

    @cached_property
    def length(self) -> int:
        """Bytes."""
        return sum(length for _, length in self.pieces)

    def slice(self, start: int, length: int) -> Region:
        """`length` bytes from `start`; less where the region ends before."""
        found: list[tuple[int, int]] = []
        at = 0
        for offset, size in self.pieces:
            low, high = max(start, at), min(start + length, at + size)
            if low < high:
                found.append((offset + low - at, high - low))
            at += size
        return Region(tuple(found))

    def read(self, image: Image) -> bytes:
        """The bytes, in logical order."""
        return b"".join(image.read(offset, length) for offset, length in self.pieces)

    def patches(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """How these bytes are written: (offset in the image, data)."""
        at = 0
        for offset, length in self.pieces:
            yield offset, data[at : at + length]
            at += length
