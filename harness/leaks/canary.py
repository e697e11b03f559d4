"""The canary: leaks planted on purpose, which a check must find or its word is worth nothing.

Since SLUB has per-CPU sheaves, kmemleak on a default boot misses nearly every leak: the sheaf's
array keeps stale pointers to the objects that it handed out. A verdict therefore stands only where
the same check, on the same boot, has just found single objects planted in several kmalloc caches,
each the most recent allocation of its cache (guests/modules/canary).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from harness.errors import RigError
from harness.leaks import kmemleak
from harness.leaks.kmemleak import LeakGuest, Record

__all__ = ["CANARY_FILE", "CanaryMissedError", "Check", "Planted", "plant", "reap", "vouched"]

CANARY_FILE = "/sys/kernel/debug/errpath_canary"
# A protocol: everything that is unreferenced now, except what was cleared before.
Check = Callable[[LeakGuest], tuple[Record, ...]]

_FUNCTION = "errpath_canary_plant"
_TASK = "canary"
_ATTEMPTS = 3


class CanaryMissedError(RigError):
    """The check did not find what was planted: it cannot be believed, whatever it says."""


@dataclass(frozen=True)
class Planted:
    """What was planted: how many objects of each size, bytes."""

    sizes: tuple[int, ...]

    def take_from(self, records: Iterable[Record]) -> tuple[Record, ...]:
        """The records that are not the canary's.

        Raises:
            CanaryMissedError: not every planted object is among `records`.
        """
        found: Counter[int] = Counter()
        rest: list[Record] = []
        for record in records:
            if any(site.function == _FUNCTION for site in record.backtrace):
                found[record.size] += 1
            else:
                rest.append(record)
        missed = Counter(self.sizes) - found
        if missed:
            sizes = ", ".join(str(size) for size in sorted(missed.elements()))
            raise CanaryMissedError(
                f"canary: {missed.total()} of {len(self.sizes)} planted leaks were not found "
                f"(sizes {sizes}); this boot cannot be believed (is slab_debug=U missing?)"
            )
        return tuple(rest)


def plant(guest: LeakGuest) -> Planted:
    """Leak one object of each size, in a task that ends at once."""
    sizes = tuple(int(word) for word in guest.read_file(CANARY_FILE).decode().split())
    if not sizes:
        raise RigError(f"{CANARY_FILE}: gives no sizes; expected one a line")
    guest.write_file(CANARY_FILE, "plant", task=_TASK)
    return Planted(sizes)


def reap(guest: LeakGuest) -> None:
    """Free everything that was planted."""
    guest.write_file(CANARY_FILE, "reap")


def vouched(guest: LeakGuest, check: Check) -> tuple[Record, ...]:
    """What `check` finds, in a run of it that also found its canary. Then all is forgotten.

    A stale pointer on some thread's stack may hide one object for a while: then the check is made
    again. What it finds then, it finds of everything else too.

    Raises:
        CanaryMissedError: it did not find its canary in any of three runs.
    """
    planted = plant(guest)
    for attempt in range(_ATTEMPTS):
        try:
            records = planted.take_from(check(guest))
            break
        except CanaryMissedError:
            if attempt == _ATTEMPTS - 1:
                raise
    reap(guest)
    kmemleak.clear(guest)
    return records
