"""Hand out allocation blocks, and keep the volume's allocation bitmap."""

from __future__ import annotations

from errpath.errors import UsageError

__all__ = ["Allocator", "Extent"]

# (first allocation block, number of blocks)
Extent = tuple[int, int]


class Allocator:
    """Allocation blocks of one volume, handed out in ascending order."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._next = 0
        self._used: list[Extent] = []

    @property
    def next(self) -> int:
        """The first block that was never handed out."""
        return self._next

    @property
    def free(self) -> int:
        """Blocks that nothing holds."""
        return self._total - sum(count for _, count in self._used)

    def take(self, count: int) -> Extent:
        """`count` blocks in a row.

        Raises:
            UsageError: the volume is full.
        """
        start = self._next
        if start + count > self._total:
            raise UsageError(
                f"the volume is full: {count} blocks wanted at block {start}, "
                f"expected {start + count} or more blocks, not {self._total}"
            )
        if count:
            self._used.append((start, count))
        self._next += count
        return start, count

    def reserve(self, start: int, count: int) -> Extent:
        """These blocks, which lie behind all that is handed out in order.

        Raises:
            UsageError: some are handed out already, or lie behind the last.
        """
        if start < self._next or start + count > self._total:
            raise UsageError(f"blocks {start} to {start + count - 1} cannot be reserved")
        self._used.append((start, count))
        return start, count

    def skip(self, count: int = 1) -> None:
        """Leave blocks free behind what was handed out last."""
        self._next += count

    def fork(self, count: int, *, pieces: int = 1) -> tuple[Extent, ...]:
        """`count` blocks in this many extents, with one free block between two.

        Raises:
            UsageError: more extents than blocks, or the volume is full.
        """
        if pieces < 1 or (pieces > count and pieces > 1):
            raise UsageError(f"{count} blocks in {pieces} extents: expected 1 to {count} extents")
        extents: list[Extent] = []
        for number in range(pieces if count else 0):
            share = count // pieces + (number < count % pieces)
            if number:
                self.skip()
            extents.append(self.take(share))
        return tuple(extents)

    def bitmap(self) -> bytes:
        """One bit per block, the first in the highest bit of the first byte; no padding."""
        bits = bytearray(-(-self._total // 8))
        for start, count in self._used:
            _set_bits(bits, start, count)
        return bytes(bits)


def _set_bits(bits: bytearray, start: int, count: int) -> None:
    end = start + count
    while start < end and start % 8:
        bits[start // 8] |= 0x80 >> start % 8
        start += 1
    whole = (end - start) // 8
    bits[start // 8 : start // 8 + whole] = b"\xff" * whole
    for bit in range(start + whole * 8, end):
        bits[bit // 8] |= 0x80 >> bit % 8
