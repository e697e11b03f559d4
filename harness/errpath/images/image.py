"""An immutable disk image that keeps only the sectors that are not zero.

Crafted images travel as deltas and are compared by content, so an image has one canonical form:
runs of 512-byte sectors that hold something else than zeros, ascending, never touching.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from errpath.errors import UsageError

__all__ = ["SECTOR", "Image", "blank"]

# The smallest unit that is kept; HFS and HFS+ address their volumes in these.
SECTOR = 512

_ZEROS = bytes(1 << 16)


def _canonical(size: int, pieces: Iterable[tuple[int, bytes]]) -> tuple[tuple[int, bytes], ...]:
    """Runs of non-zero sectors; a later piece is written over an earlier one."""
    sectors: dict[int, bytearray] = {}
    for offset, data in pieces:
        if offset < 0 or offset + len(data) > size:
            raise UsageError(
                f"{len(data)} bytes at {offset} do not fit the image: expected 0 to {size}"
            )
        done = 0
        while done < len(data):
            number, start = divmod(offset + done, SECTOR)
            count = min(SECTOR - start, len(data) - done)
            sector = sectors.get(number)
            if sector is None:
                sector = sectors[number] = bytearray(SECTOR)
            sector[start : start + count] = data[done : done + count]
            done += count
    runs: list[tuple[int, bytearray]] = []
    for number in sorted(sectors):
        sector = sectors[number]
        if not any(sector):
            continue
        offset = number * SECTOR
        if runs and runs[-1][0] + len(runs[-1][1]) == offset:
            runs[-1][1].extend(sector)
        else:
            runs.append((offset, bytearray(sector)))
    return tuple((offset, bytes(run[: size - offset])) for offset, run in runs)


@dataclass(frozen=True)
class Image:
    """A disk image of `size` bytes; what `extents` does not cover reads as zeros.

    Make one with `Image.of`, `Image.from_bytes` or `blank`, which bring the extents into their
    canonical form: equal content then means equal extents.
    """

    name: str
    # Bytes; a device of this length.
    size: int
    # (offset, data), ascending, neither overlapping nor touching, zeros elsewhere.
    extents: tuple[tuple[int, bytes], ...] = ()

    def __post_init__(self) -> None:
        if self.size < 0:
            raise UsageError(f"image size is {self.size}: expected 0 or more bytes")
        end = 0
        for offset, data in self.extents:
            if offset < end or offset + len(data) > self.size:
                raise UsageError(
                    f"extent at {offset} of {len(data)} bytes: expected ascending extents "
                    f"that do not overlap, inside {self.size} bytes"
                )
            end = offset + len(data)

    @classmethod
    def of(cls, name: str, size: int, pieces: Iterable[tuple[int, bytes]]) -> Image:
        """The image of these pieces in canonical form; later pieces win where they overlap.

        Raises:
            UsageError: a piece reaches outside of the image.
        """
        return cls(name=name, size=size, extents=_canonical(size, pieces))

    @classmethod
    def from_bytes(cls, data: bytes, *, name: str = "image") -> Image:
        """The image that these bytes are."""
        return cls.of(name, len(data), [(0, data)] if data else [])

    @classmethod
    def from_file(cls, path: Path) -> Image:
        """The image in a file, named after it. Runs of zeros are not kept in memory."""
        pieces: list[tuple[int, bytes]] = []
        offset = 0
        with path.open("rb") as file:
            while chunk := file.read(len(_ZEROS)):
                if chunk != _ZEROS[: len(chunk)]:
                    pieces.append((offset, chunk))
                offset += len(chunk)
        return cls.of(path.name, offset, pieces)

    def read(self, offset: int, length: int) -> bytes:
        """`length` bytes from `offset`; what lies past the end of the image is cut off."""
        length = max(0, min(length, self.size - offset))
        out = bytearray(length)
        for start, data in self.extents:
            if start >= offset + length:
                break
            low, high = max(start, offset), min(start + len(data), offset + length)
            if low < high:
                out[low - offset : high - offset] = data[low - start : high - start]
        return bytes(out)

    def chunks(self) -> Iterator[bytes]:
        """The whole content in order, in pieces of bounded size."""
        at = 0
        for offset, data in (*self.extents, (self.size, b"")):
            while at < offset:
                count = min(len(_ZEROS), offset - at)
                yield _ZEROS[:count]
                at += count
            if data:
                yield data
                at += len(data)

    def to_bytes(self) -> bytes:
        """The whole content, zeros included."""
        return b"".join(self.chunks())

    def write(self, path: Path) -> None:
        """Write the image as a sparse file."""
        with path.open("wb") as file:
            file.truncate(self.size)
            for offset, data in self.extents:
                file.seek(offset)
                file.write(data)

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of the whole content, in hex: two images of equal content have the same."""
        digest = hashlib.sha256()
        for chunk in self.chunks():
            digest.update(chunk)
        return digest.hexdigest()

    @cached_property
    def key(self) -> str:
        """Equal for equal content, as `sha256` is; it reads what the image holds, not the zeros of
        a large device."""
        digest = hashlib.sha256(str(self.size).encode())
        for offset, data in self.extents:
            digest.update(f" {offset} {len(data)} ".encode() + data)
        return digest.hexdigest()

    def patched(self, offset: int, data: bytes, name: str | None = None) -> Image:
        """This image with `data` written at `offset`.

        Raises:
            UsageError: the data reaches outside of the image.
        """
        return self.patched_all([(offset, data)], name=name)

    def patched_all(self, pieces: Iterable[tuple[int, bytes]], *, name: str | None = None) -> Image:
        """This image with each piece written at its offset, in order."""
        return Image.of(name or self.name, self.size, [*self.extents, *pieces])

    def truncated(self, size: int, *, name: str | None = None) -> Image:
        """The first `size` bytes, as a device that was cut short.

        Raises:
            UsageError: the image has fewer.
        """
        if not 0 <= size <= self.size:
            raise UsageError(f"cannot cut to {size} bytes: expected 0 to {self.size}")
        pieces = [(o, d[: size - o]) for o, d in self.extents if o < size]
        return Image.of(name or self.name, size, pieces)

    def placed(self, offset: int, size: int, *, name: str | None = None) -> Image:
        """An image of `size` bytes that holds this one at `offset`, e.g. in a partition."""
        return Image.of(name or self.name, size, [(o + offset, d) for o, d in self.extents])

    def renamed(self, name: str) -> Image:
        """The same content under another name."""
        return Image(name=name, size=self.size, extents=self.extents)

    def delta(self, base: Image) -> tuple[tuple[int, bytes], ...]:
        """What must be written over `base` to get this image: (offset, data), sector-wise.

        Raises:
            UsageError: the sizes differ.
        """
        if base.size != self.size:
            raise UsageError(f"no delta between {base.size} and {self.size} bytes")
        touched: set[int] = set()
        for image in (self, base):
            for offset, data in image.extents:
                touched.update(range(offset // SECTOR, (offset + len(data) - 1) // SECTOR + 1))
        pieces: list[tuple[int, bytes]] = []
        for number in sorted(touched):
            mine = self.read(number * SECTOR, SECTOR)
            if mine != base.read(number * SECTOR, SECTOR):
                if pieces and pieces[-1][0] + len(pieces[-1][1]) == number * SECTOR:
                    pieces[-1] = (pieces[-1][0], pieces[-1][1] + mine)
                else:
                    pieces.append((number * SECTOR, mine))
        return tuple(pieces)


def blank(size: int, name: str = "blank") -> Image:
    """An image of `size` bytes, all zeros."""
    return Image(name=name, size=size)
