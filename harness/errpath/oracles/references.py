"""Who took references to what is counted by them, such as a page or an inode, and who put them,
from the stores to the count. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from errpath.guest.holders import Access, What
from errpath.guest.pages import Count
from errpath.oracles.frames import base_name
from errpath.oracles.timeline import (
    Frame,
    Place,
    Resolve,
    Source,
    call_chain,
    of_filesystem,
    own_place,
)

__all__ = ["Taker", "count_takers"]

# Code that takes and puts references for whoever calls it.
_GENERIC = (
    *("include/", "lib/", "arch/", "mm/", "block/", "drivers/", "kernel/"),
    *("fs/buffer.c", "fs/mpage.c", "fs/direct-io.c", "fs/iomap/", "fs/libfs.c"),
    *("fs/inode.c", "fs/dcache.c"),
)
# Slashes in the path of a file of a filesystem.
_IN_DIRECTORY = 2


@dataclass(frozen=True)
class Taker:
    """A function, and what it did to one count."""

    # Where it took the first one; of one that only puts, where it put.
    place: Place
    taken: int
    put: int
    # The filesystem's functions on the stack of that place, innermost first.
    way: tuple[str, ...] = ()

    @property
    def kept(self) -> int:
        """References that it took and that it did not put itself."""
        return self.taken - self.put


def count_takers(
    accesses: Sequence[Access],
    count: Count,
    allocators: Sequence[str],
    resolve: Resolve,
    source: Source,
    own: str,
) -> tuple[Taker, ...]:
    """Who took more references than it put, or fewer, from the last allocation on; () where none of
    `allocators` is on the stack of that allocation.

    Functions of the filesystem, whose directory is `own` (with its slash), come before those of
    what it is built on, such as jbd2, which takes references for itself, and these before the VFS,
    which hands them around; of them who kept as many as are left in the end, since what others
    took, others put, as where one function gets a buffer for all; then those of which no other put
    as many, and those that kept most."""
    stores = [one for one in accesses if one.what is What.STORED]
    counts = [count.of(one.value) for one in stores]
    start = _birth(stores, counts, count.born, allocators, resolve)
    if start is None:
        return ()
    found: dict[str, Taker] = {}
    before = 0
    for one, got in zip(stores[start:], counts[start:], strict=True):
        change, before = got - before, got
        if not change:
            continue
        chain = tuple(call_chain(one, resolve))
        place, way = own_place(chain, source, _of_filesystem), of_filesystem(chain)
        old = found.get(place.function, Taker(place, 0, 0, way))
        first = not old.taken and change > 0
        found[place.function] = Taker(
            place if first else old.place,
            old.taken + max(change, 0),
            old.put - min(change, 0),
            way if first else old.way,
        )
    # Whoever looks at every page gives back what it took.
    uneven = [taker for taker in found.values() if taker.kept]
    left = sum(taker.kept for taker in uneven)

    def order(taker: Taker) -> tuple[bool, bool, bool, bool, int]:
        file = taker.place.file
        others = not (taker.kept > 0 and file.startswith(own))
        vfs = file.count("/") < _IN_DIRECTORY
        return others, vfs, taker.kept != left, _paired(taker, uneven), -taker.kept

    return tuple(sorted(uneven, key=order))


def _paired(taker: Taker, takers: Sequence[Taker]) -> bool:
    """Whether another function of the same directory put as many as this one kept."""
    directory = taker.place.file.rpartition("/")[0]
    return any(
        one.kept == -taker.kept and one.place.file.rpartition("/")[0] == directory
        for one in takers
        if taker.kept > 0
    )


def _birth(
    stores: Sequence[Access],
    counts: Sequence[int],
    born: int,
    allocators: Sequence[str],
    resolve: Resolve,
) -> int | None:
    """Which store is that of the last allocation; None if that was somebody else's."""
    for n in range(len(counts) - 1, -1, -1):
        before = counts[n - 1] if n else None
        # One more than that before is a reference that was put.
        if counts[n] != born or before == born + 1:
            continue
        chain = call_chain(stores[n], resolve)
        if any(base_name(frame.function) in allocators for frame in chain):
            return n
        if before != born:
            return None
    return None


def _of_filesystem(frame: Frame) -> bool:
    """Whether a position is of a filesystem or of the VFS."""
    return frame.file.startswith("fs/") and not frame.file.startswith(_GENERIC)
