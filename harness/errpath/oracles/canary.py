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

from errpath.errors import InfrastructureError
from errpath.oracles import kmemleak
from errpath.oracles.kmemleak import LeakGuest, Record
from errpath.oracles.modules import CANARY

__all__ = [
    "CANARY_FILE",
    "CanaryMissedError",
    "Check",
    "Planted",
    "check_with_canary",
    "plant",
    "reap",
]

CANARY_FILE = CANARY.file
# A protocol: everything that is unreferenced now, except what was cleared before.
Check = Callable[[LeakGuest], tuple[Record, ...]]

_FUNCTION = "errpath_canary_plant"
_TASK = "canary"
_ATTEMPTS = 3


class CanaryMissedError(InfrastructureError):
    """The check did not find what was planted: it cannot be believed, whatever it says."""


@dataclass(frozen=True)
class Planted:
    """What was planted: how many objects of each size, bytes."""

    sizes: tuple[int, ...]
    # The task that planted it, where others planted before; None for any.
    task: str | None = None

    def take_from(self, records: Iterable[Record]) -> tuple[Record, ...]:
        """The records that are not the canary's.

        Raises:
            CanaryMissedError: not every planted object is among `records`.
        """
        found: Counter[int] = Counter()
        rest: list[Record] = []
        for record in records:
            if any(site.function == _FUNCTION for site in record.backtrace):
                found[record.size] += self.task in (None, record.comm)
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


def plant(guest: LeakGuest, *, task: str | None = None) -> Planted:
    """Leak one object of each size, in a task that ends at once; `task` tells its records from
    those of a canary that was planted before and not reaped."""
    sizes = tuple(int(word) for word in guest.read_file(CANARY_FILE).decode().split())
    if not sizes:
        raise InfrastructureError(f"{CANARY_FILE}: gives no sizes; expected one a line")
    guest.write_file(CANARY_FILE, "plant", task=task or _TASK)
    return Planted(sizes, task)


def reap(guest: LeakGuest) -> None:
    """Free everything that was planted."""
    guest.write_file(CANARY_FILE, "reap")


def check_with_canary(guest: LeakGuest, check: Check) -> tuple[Record, ...]:
    """What `check` finds, in a run of it that also found its canary. Then all is forgotten.

    A stale pointer may hide one address for as long as it stands: then the check is made again with
    another canary, which lies elsewhere, and which must be found whole.

    Raises:
        CanaryMissedError: it was not, in any of three runs.
    """
    planted = plant(guest)
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            records = planted.take_from(check(guest))
            break
        except CanaryMissedError:
            if attempt == _ATTEMPTS:
                raise
            planted = plant(guest, task=f"{_TASK}-{attempt}")
    reap(guest)
    kmemleak.clear(guest)
    return records
