"""Who took references to a page and who put them, from the stores to its count. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from errpath.guest.holders import Access, What
from errpath.oracles.frames import base_name
from errpath.oracles.timeline import Frame, Place, Resolve, Source, call_chain, own_place

__all__ = ["Taker", "count_takers"]

# Code that takes and puts pages for whoever calls it.
_GENERIC = (
    *("include/", "lib/", "arch/", "mm/", "block/", "drivers/", "kernel/"),
    *("fs/buffer.c", "fs/mpage.c", "fs/direct-io.c", "fs/iomap/", "fs/libfs.c"),
)
_COUNT_SHIFT = 32


@dataclass(frozen=True)
class Taker:
    """A function, and what it did to the count of one page."""

    # Where it took the first one; of one that only puts, where it put.
    place: Place
    taken: int
    put: int

    @property
    def kept(self) -> int:
        """References that it took and that it did not put itself."""
        return self.taken - self.put


def count_takers(
    accesses: Sequence[Access], allocator: str, resolve: Resolve, source: Source
) -> tuple[Taker, ...]:
    """Who took more references than it put, or fewer, from the last allocation of a page on, those
    that kept most first; () where `allocator` is not on the stack of that allocation."""
    stores = [one for one in accesses if one.what is What.STORED]
    counts = [_count(one.value) for one in stores]
    births = [n for n, count in enumerate(counts) if count == 1 and (not n or counts[n - 1] <= 0)]
    if not births:
        return ()
    start = births[-1]
    born = tuple(call_chain(stores[start], resolve))
    if not any(base_name(frame.function) == allocator for frame in born):
        return ()
    found: dict[str, Taker] = {}
    before = 0
    for one, count in zip(stores[start:], counts[start:], strict=True):
        change, before = count - before, count
        if not change:
            continue
        place = own_place(tuple(call_chain(one, resolve)), source, _of_filesystem)
        old = found.get(place.function, Taker(place, 0, 0))
        found[place.function] = Taker(
            old.place if old.taken or change < 0 else place,
            old.taken + max(change, 0),
            old.put - min(change, 0),
        )
    # Whoever looks at every page gives back what it took.
    uneven = (taker for taker in found.values() if taker.kept)
    return tuple(sorted(uneven, key=lambda taker: -taker.kept))


def _count(value: int) -> int:
    count = value >> _COUNT_SHIFT
    return count - (1 << 32) if count >> 31 else count


def _of_filesystem(frame: Frame) -> bool:
    """Whether a position is of a filesystem or of the VFS."""
    return frame.file.startswith("fs/") and not frame.file.startswith(_GENERIC)
