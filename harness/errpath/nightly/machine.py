"""What this machine has to give: cores, and memory that is free."""

from __future__ import annotations

import os
import platform
import re
from pathlib import Path

from errpath.nightly.job import Job
from errpath.nightly.plan import Limits

__all__ = ["available_mib", "host_name", "limits_of"]

# Of the available memory; the rest is for the page cache and for everybody else.
_SHARE = 0.8


def limits_of(job: Job) -> Limits:
    """What the job says, and for what it leaves open, what the machine has."""
    return Limits(
        cores=job.cores or len(os.sched_getaffinity(0)),
        memory_mib=job.memory_mib or int(available_mib() * _SHARE),
    )


def available_mib(proc: Path = Path("/proc"), cgroup: Path = Path("/sys/fs/cgroup")) -> int:
    """MiB that can be had without swapping: the kernel's estimate, the control group's cap."""
    match = re.search(r"^MemAvailable:\s+(\d+) kB", (proc / "meminfo").read_text(), re.MULTILINE)
    found = int(match[1]) // 1024 if match else 1024
    try:
        cap = (cgroup / "memory.max").read_text().strip()
        used = (cgroup / "memory.current").read_text().strip()
        if cap != "max":
            found = min(found, (int(cap) - int(used)) // 2**20)
    except OSError:
        # No control group of version 2.
        pass
    return max(found, 0)


def host_name() -> str:
    """The machine's name as the kernel has it, `unknown` without one."""
    return platform.node() or "unknown"
