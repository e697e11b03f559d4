"""The life-cycle matrix: every event of a superblock's life, by filesystem, API and mode.

In: filesystem definitions and a `Matrix` (errnos, images, ids). Out: `Planned` cases, or the reason
why there is none: what was not run must be reported.
"""

from errpath.cases.lifecycle.matrix import BY_EVENT, BY_POINT, Matrix, Planned
from errpath.cases.lifecycle.selection import parse_events, parse_filesystems, plan, plan_crafted

__all__ = [
    "BY_EVENT",
    "BY_POINT",
    "Matrix",
    "Planned",
    "parse_events",
    "parse_filesystems",
    "plan",
    "plan_crafted",
]
