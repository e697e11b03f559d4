"""The step that mounts, by either API."""

from __future__ import annotations

from errpath.cases.case import Step
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
    armed: bool = False,
    expect: str = "",
    options: tuple[tuple[str, str | None], ...] = (),
    until: str = "mount",
) -> Step:
    """One mount by either API."""
    flags = ("ro",) if mode == "ro" else ()
    if api == "mount":
        data = ",".join(key if value is None else f"{key}={value}" for key, value in options)
        return Step("mount", filesystem.fstype, flags=flags, data=data, armed=armed, expect=expect)
    return Step(
        "fsopen",
        filesystem.fstype,
        flags=flags,
        options=options,
        until=until,
        armed=armed,
        expect=expect,
    )
