"""Mutants of images, of which those that reach new code are changed further. Pure.

Without feedback each mutant is a few changes away from a valid volume: what lies behind two checks
of a mount path is then found by two lucky changes at once. With it, the image that passed the first
check is changed for the second.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from errpath.images.crafted.mutant import Mutant
from errpath.images.image import Image

__all__ = ["Corpus"]

# Changes of one mutant over its parent's, and over its base in all.
_STEPS, _PIECES_MAX = 4, 24
# How often a mutant has a parent that reached new code, where there is one; and among how many
# of them, drawn, that is the one that went furthest.
_KEPT_SHARE = 0.7
_DRAWN = 3
# Values at which formats and their checks go wrong.
_VALUES = (0, 1, 2, 3, 7, 8, 16, 64, 127, 128, 255, 256, 512, 1024, 4096, 32767, 32768, 65535)
_LARGE = (1 << 31, (1 << 31) - 1, (1 << 32) - 1, 1 << 24)
# Bytes that are copied at most.
_COPY_MAX = 64


@dataclass(frozen=True)
class _Kept:
    """What reached new code, and how many edges it reached in all."""

    mutant: Mutant
    edges: int


@dataclass
class Corpus:
    """Valid volumes, and those of their mutants that reached new code."""

    seeds: Sequence[Image]
    random: random.Random
    # Whether what reaches new code is changed further.
    feedback: bool = True
    # Edges of the kernel's code that were reached (`errpath.cases.case.Outcome.coverage`).
    edges: set[int] = field(default_factory=set)
    _kept: list[_Kept] = field(default_factory=list)

    @property
    def kept(self) -> tuple[Mutant, ...]:
        """What reached new code, in order; each with the changes of its parents."""
        return tuple(one.mutant for one in self._kept)

    def next(self) -> Mutant:
        """A mutant of a seed, or of what was kept: the latter more often, and of it rather what
        went far. An image that is refused at once reaches new code once, and leads nowhere."""
        parent = Mutant(self.random.choice(self.seeds), ())
        if self.feedback and self._kept and self.random.random() < _KEPT_SHARE:
            drawn = (self.random.choice(self._kept) for _ in range(_DRAWN))
            parent = max(drawn, key=lambda one: one.edges).mutant
        pieces = list(parent.pieces)
        for _ in range(self.random.randint(1, _STEPS)):
            pieces.append(self._piece(replace(parent, pieces=tuple(pieces))))
        while len(pieces) > _PIECES_MAX:
            del pieces[self.random.randrange(len(pieces))]
        return replace(parent, pieces=tuple(pieces))

    def saw(self, mutant: Mutant, edges: Iterable[int]) -> int:
        """Note what a mutant reached; how many edges were new."""
        reached = set(edges)
        new = reached - self.edges
        self.edges |= new
        if new and self.feedback:
            self._kept.append(_Kept(mutant, len(reached)))
        return len(new)

    def _piece(self, mutant: Mutant) -> tuple[int, bytes]:
        """One change: a bit, a byte, a copy from elsewhere, or a number of two or four bytes."""
        image = mutant.base.patched_all(mutant.pieces)
        at = self._place(image)
        kind = self.random.randrange(5)
        old = image.read(at, 8).ljust(8, b"\0")
        if kind == 0:
            return at, bytes((old[0] ^ 1 << self.random.randrange(8),))
        if kind == 1:
            return at, bytes((self.random.randrange(256),))
        if kind == 2:
            length = self.random.randint(1, _COPY_MAX)
            return _fit(image, at, image.read(self._place(image), length))
        order = self.random.choice("<>")
        if kind == 3:
            at &= ~1
            value = self.random.choice((*_VALUES, self._near(image.read(at, 2), order)))
            return _fit(image, at, struct.pack(f"{order}H", value & 0xFFFF))
        at &= ~3
        value = self.random.choice((*_VALUES, *_LARGE, self._near(image.read(at, 4), order)))
        return _fit(image, at, struct.pack(f"{order}I", value & 0xFFFFFFFF))

    def _near(self, data: bytes, order: str) -> int:
        """A neighbour of the number that stands there."""
        value = int.from_bytes(data, "big" if order == ">" else "little")
        return value + self.random.choice((-1, 1))

    def _place(self, image: Image) -> int:
        """An offset in what is not zero, which is metadata mostly, or close behind it."""
        if not image.extents:
            return self.random.randrange(max(image.size - 8, 1))
        offset, data = self.random.choice(image.extents)
        start = self.random.randrange(0, len(data), 16)
        # Small extents are as likely as large ones; headers stand at the beginning of both.
        if self.random.random() < 0.4:
            start = self.random.randrange(min(len(data), 256))
        return min(offset + start + self.random.randrange(16), image.size - 1)


def _fit(image: Image, at: int, data: bytes) -> tuple[int, bytes]:
    return at, (data or b"\0")[: max(image.size - at, 1)]
