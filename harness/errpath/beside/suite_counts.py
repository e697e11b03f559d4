"""What a suite's test keeps of what the kernel counts.

Programs of a test leave pages, dentries and slab objects of everybody behind, which come and go.
What only the filesystem under test takes is its own: references to its modules, its superblocks,
and what its modules' own lines have allocated, once nothing is mounted and every cache is dropped.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from errpath.oracles.counts import kept
from errpath.oracles.failure import Failure
from errpath.oracles.leaks import resource_failures
from errpath.oracles.resources import EXACT, MODULES, SUPERBLOCKS, Resource, ResourceLeak, settle
from errpath.runner.counting import read_counts
from errpath.runner.guests import PreparedGuest

__all__ = ["Rises", "SuiteCounts", "count_failures"]

# What was more after a test than before it, and by how much.
Rises = Mapping[Resource, int]


@dataclass
class SuiteCounts:
    """The counts of one guest, from one test to the next."""

    prepared: PreparedGuest
    _before: Mapping[str, str]

    @classmethod
    def begin(cls, prepared: PreparedGuest) -> SuiteCounts:
        """From here on."""
        settle(prepared.guest)
        return cls(prepared, read_counts(prepared.guest))

    def rises(self) -> Rises:
        """What is more than at the last call, or at the first: of the filesystems' own.

        Raises:
            ErrpathError: the guest went away meanwhile.
        """
        now = read_counts(self.prepared.guest)
        settle(self.prepared.guest)
        settled = read_counts(self.prepared.guest)
        (found,) = kept(self._before, [now], settled)
        self._before = settled
        return {one: more for one, more in found.items() if more > 0 and self._own(one)}

    def _own(self, resource: Resource) -> bool:
        if resource.oracle not in EXACT:
            return False
        modules = {name for names in self.prepared.modules.values() for name in names}
        if resource.oracle == MODULES:
            return resource.name in modules
        if resource.oracle == SUPERBLOCKS:
            return resource.name in self.prepared.modules
        return any(f"[{module}]" in resource.name for module in modules)


def count_failures(suspected: Rises, first: Rises, second: Rises) -> tuple[Failure, ...]:
    """What a test keeps, by two more runs of it in a fresh guest. A line of source may allocate at
    its first use and never again: it counts if it rises in the second run as well. What is mounted
    still is mounted a second time by sharing: a superblock or a module counts by the first."""
    again = {one: more for one, more in first.items() if one.oracle in (MODULES, SUPERBLOCKS)}
    again |= second
    both = {one: min(more, again[one]) for one, more in suspected.items() if one in again}
    return resource_failures(ResourceLeak(one, more, 1) for one, more in both.items())
