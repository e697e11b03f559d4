"""The step that mounts, by either API."""

from __future__ import annotations

from errpath.cases.steps import FsOpen, Mount, Options
from errpath.faults.model import Fault
from errpath.filesystems import Filesystem

__all__ = ["APIS", "MODES", "mount_step"]

# mount(2), and fsopen with what follows.
APIS = ("mount", "fsopen")
MODES = ("rw", "ro")


def mount_step(
    filesystem: Filesystem,
    api: str,
    mode: str,
    *,
    fail: Fault | None = None,
    expect: str | None = None,
    options: Options = (),
    until: str = "mount",
) -> Mount | FsOpen:
    """One mount by either API."""
    flags = ("ro",) if mode == "ro" else ()
    fstype = filesystem.fstype
    if api == "mount":
        return Mount(fstype, options=options, flags=flags, fail=fail, expect=expect)
    return FsOpen(fstype, options=options, flags=flags, until=until, fail=fail, expect=expect)
