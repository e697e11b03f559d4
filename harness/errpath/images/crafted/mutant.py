"""A mutated image as what it is made of: a valid base and the bytes written over it.

Thousands of mutants travel to guests and into failure reports. As deltas they are a few hundred
bytes each, and one can be made again from the line that was printed.
"""

from __future__ import annotations

import base64
import binascii
import zlib
from dataclasses import dataclass, field

from errpath.errors import UsageError
from errpath.images.image import Image

__all__ = ["Mutant"]


@dataclass(frozen=True)
class Mutant:
    """A base image and what is changed in it."""

    base: Image = field(repr=False)
    # (offset, data), written in order.
    pieces: tuple[tuple[int, bytes], ...]
    # Bytes of the device; None keeps the base's.
    size: int | None = None
    # What was done, one line each.
    notes: tuple[str, ...] = ()

    def image(self) -> Image:
        """The mutated image."""
        image = self.base.patched_all(self.pieces, name=f"mutant of {self.base.name}")
        return image if self.size is None else image.truncated(self.size)

    @property
    def blob(self) -> str:
        """One line of text from which `from_blob` makes this mutant again."""
        lines = [
            f"{self.base.name} {self.base.sha256[:16]} {'' if self.size is None else self.size}"
        ]
        lines += [f"{offset} {data.hex()}" for offset, data in self.pieces]
        return base64.b85encode(zlib.compress("\n".join(lines).encode(), 9)).decode()

    @classmethod
    def base_of(cls, blob: str) -> str:
        """The name of the base image of a blob.

        Raises:
            UsageError: the blob is damaged.
        """
        return _text(blob).partition(" ")[0]

    @classmethod
    def from_blob(cls, blob: str, base: Image) -> Mutant:
        """The mutant of this blob.

        Raises:
            UsageError: the blob is damaged, or of another base image.
        """
        try:
            head, *rest = _text(blob).split("\n")
            name, digest, size = head.split(" ")
            pairs = [line.split(" ") for line in rest]
            pieces = tuple((int(offset), bytes.fromhex(data)) for offset, data in pairs)
        except ValueError as error:
            raise UsageError(f"not the blob of a mutated image: {error}") from None
        if digest != base.sha256[:16]:
            raise UsageError(f"the blob is of {name} ({digest}…): expected that base image")
        return cls(base=base, pieces=pieces, size=int(size) if size else None)


def _text(blob: str) -> str:
    try:
        return zlib.decompress(base64.b85decode(blob)).decode()
    except (ValueError, zlib.error, binascii.Error) as error:
        raise UsageError(f"not the blob of a mutated image: {error}") from None
