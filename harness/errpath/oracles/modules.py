"""Modules of ours in a guest: canary, probe, what has a task wait; for tests, plants."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from errpath.guest.machine import Guest
from errpath.util.resources import GUESTS

__all__ = [
    "CANARY",
    "CORRUPT",
    "FAULTS",
    "HOLD",
    "PENDING",
    "PLANT",
    "PLANTS",
    "PROBE",
    "REPORTS",
    "WAIT",
    "OwnModule",
]


# Compared by identity, so that one can be a key: its mappings have no hash.
@dataclass(frozen=True, eq=False)
class OwnModule:
    """A module in guests/modules, alone in its directory."""

    # Of the directory; the module and the debugfs file of its commands are `errpath_<name>`.
    name: str
    # What is private to the kernel and therefore given by the host, as symbol to parameter:
    # functions, and data.
    functions: Mapping[str, str] = field(default_factory=dict)
    data: Mapping[str, str] = field(default_factory=dict)

    @property
    def directory(self) -> Path:
        """Where its source lies."""
        return GUESTS / "modules" / self.name

    @property
    def file(self) -> str:
        """Where its commands are written in the guest."""
        return f"/sys/kernel/debug/errpath_{self.name}"

    def parameters(self, guest: Guest) -> str:
        """Its parameters for this guest. A symbol that the kernel does not show is left out: the
        module then refuses the commands that need it."""
        return " ".join(
            f"{names[symbol.name]}={symbol.address:#x}"
            for names, data in ((self.functions, False), (self.data, True))
            if names
            for symbol in guest.symbols(names, data=data)
            if symbol.name in names and not symbol.module
        )


CANARY = OwnModule("canary")
PROBE = OwnModule(
    "probe",
    functions={
        "try_to_free_pages": "try_to_free",
        "codetag_lock_module_list": "tags_lock",
        "codetag_unlock_module_list": "tags_unlock",
        "codetag_get_ct_iter": "tags_begin",
        "codetag_next_ct": "tags_next",
    },
    data={
        "super_blocks": "super_blocks",
        "sb_lock": "sb_lock",
        "alloc_tag_cttype": "tag_type",
    },
)
# Timers and work that are armed.
PENDING = OwnModule("pending")
# A bug for each kind of report: loaded into a guest of its own.
REPORTS = OwnModule("reports")
# What fails single calls (`errpath.faults.point_module`).
FAULTS = OwnModule("faults")
# Has one task wait for another; its files are those of guests/agent/pair.c.
WAIT = OwnModule("wait")
# Objects and pages that stay, and leaks.
PLANT = OwnModule("plant")
# References to a mounted filesystem that stay.
HOLD = OwnModule("hold", data={"sb_lock": "sb_lock"})
# Double frees, writes after free, overruns.
CORRUPT = OwnModule("corrupt")

# Loaded by tests and benchmarks alone.
PLANTS = {module.name: module for module in (PLANT, HOLD, CORRUPT)}
