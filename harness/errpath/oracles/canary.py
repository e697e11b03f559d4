"""The canary: leaks planted on purpose. A check that misses one is discarded.

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
    "Checked",
    "Planted",
    "check_beside_canary",
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
    """The check did not find what was planted: its silence proves nothing."""


@dataclass(frozen=True)
class Checked:
    """What a check found. A canary gates silence, never evidence: what was found was leaked."""

    records: tuple[Record, ...]
    # Why silence proves nothing; empty where the check found its canary.
    blind: str = ""


@dataclass(frozen=True)
class Planted:
    """What was planted: how many objects of each size, bytes."""

    sizes: tuple[int, ...]
    # The task that planted it, where others planted before; None for any.
    task: str | None = None

    def split(self, records: Iterable[Record]) -> Checked:
        """The records that are not the canary's, and whether every planted object is among
        `records`."""
        found: Counter[int] = Counter()
        rest: list[Record] = []
        for record in records:
            if any(site.function == _FUNCTION for site in record.backtrace):
                found[record.size] += self.task in (None, record.comm)
            else:
                rest.append(record)
        missed = Counter(self.sizes) - found
        if not missed:
            return Checked(tuple(rest))
        sizes = ", ".join(str(size) for size in sorted(missed.elements()))
        return Checked(
            tuple(rest),
            f"canary: {missed.total()} of {len(self.sizes)} planted leaks were not found "
            f"(sizes {sizes}); leak checks of this boot prove nothing (is slab_debug=U missing?)",
        )


def plant(guest: LeakGuest, *, task: str | None = None) -> Planted:
    """Leak one object of each size, in a task that ends at once; `task` distinguishes its records
    from those of a canary that was planted before and not reaped.

    Raises:
        InfrastructureError: the module gives no sizes.
    """
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

    Raises:
        CanaryMissedError: it was not, in any of three runs.
    """
    checked = check_beside_canary(guest, check)
    if checked.blind:
        raise CanaryMissedError(checked.blind)
    return checked.records


def check_beside_canary(guest: LeakGuest, check: Check) -> Checked:
    """What `check` finds, and whether it found a canary beside it. Then all is forgotten.

    A stale pointer may hide one address for as long as it stands: then the check is made again with
    another canary, which lies elsewhere, and which must be found whole; three times at most. What
    any of the runs found counts.
    """
    planted = plant(guest)
    found: dict[int, Record] = {}
    for attempt in range(1, _ATTEMPTS + 1):
        checked = planted.split(check(guest))
        found |= {record.address: record for record in checked.records}
        if not checked.blind or attempt == _ATTEMPTS:
            break
        planted = plant(guest, task=f"{_TASK}-{attempt}")
    reap(guest)
    kmemleak.clear(guest)
    return Checked(tuple(found.values()), checked.blind)
