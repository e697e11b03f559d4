"""Superblocks that are still listed, which nothing else of a kernel shows.

A superblock whose last user has gone, but not its last reference, has no mount, no device and no
inodes any more; it only stands in the list of fs/super.c. The probe module reads that list.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable

from errpath.guest.channel import AgentError
from errpath.oracles.failure import RESOURCE_LEAK, Failure
from errpath.oracles.kmemleak import LeakGuest

__all__ = ["SUPERS_FILE", "count_supers", "supers_left"]

SUPERS_FILE = "/sys/kernel/debug/errpath_supers"


def count_supers(text: str) -> Iterable[tuple[str, int]]:
    """How many superblocks of each type, from lines of type, name and state."""
    return Counter(line.split()[0] for line in text.splitlines() if line.strip()).items()


def supers_left(guest: LeakGuest, fstypes: Collection[str]) -> tuple[Failure, ...]:
    """What is listed of these types; nothing where the guest cannot list them."""
    try:
        text = guest.read_file(SUPERS_FILE).decode(errors="replace")
    except AgentError:
        return ()
    left = []
    for line in text.splitlines():
        fstype, name, state = line.split()
        if fstype in fstypes:
            left.append(
                Failure(
                    RESOURCE_LEAK,
                    f"superblock of {fstype} still listed",
                    resource=f"superblocks: {fstype}",
                    detail=f"{name}, {state}",
                )
            )
    return tuple(left)
