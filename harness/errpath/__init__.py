"""errpath: fault injection and leak checks for the mount error paths of Linux filesystems.

What suite authors import; each name is loaded when it is used (docs/writing-suites.md).
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from errpath.cases.case import Device, MountCase, Outcome, SecondTask, StepOutcome
    from errpath.cases.crafted import LogContains
    from errpath.cases.lifecycle import BY_EVENT, BY_POINT, Matrix
    from errpath.cases.steps import (
        FsOpen,
        Meanwhile,
        Mount,
        Reconfigure,
        Remount,
        Step,
        Umount,
    )
    from errpath.cases.volume_steps import (
        AppendFile,
        Fallocate,
        Freeze,
        Fsync,
        GetXattr,
        ListXattr,
        Mkdir,
        ReadBack,
        Readdir,
        ReadFile,
        RemoveXattr,
        Rename,
        SetXattr,
        Stat,
        Statfs,
        Sync,
        SyncAll,
        Thaw,
        Truncate,
        Unlink,
        WriteFile,
        WriteProbe,
    )
    from errpath.faults.model import Alloc, Both, Call, Fault, Flush, Read, Write
    from errpath.filesystems.mkfs import image
    from errpath.images.image import Image, blank
    from errpath.plugin.kept import expect_not_reproduced, kept_cases, kept_reproducers
    from errpath.plugin.user_guest import UserGuest
    from errpath.runner.verdict import Status, Verdict

__all__ = [
    "BY_EVENT",
    "BY_POINT",
    "Alloc",
    "AppendFile",
    "Both",
    "Call",
    "Device",
    "Fallocate",
    "Fault",
    "Flush",
    "Freeze",
    "FsOpen",
    "Fsync",
    "GetXattr",
    "Image",
    "ListXattr",
    "LogContains",
    "Matrix",
    "Meanwhile",
    "Mkdir",
    "Mount",
    "MountCase",
    "Outcome",
    "Read",
    "ReadBack",
    "ReadFile",
    "Readdir",
    "Reconfigure",
    "Remount",
    "RemoveXattr",
    "Rename",
    "SecondTask",
    "SetXattr",
    "Stat",
    "Statfs",
    "Status",
    "Step",
    "StepOutcome",
    "Sync",
    "SyncAll",
    "Thaw",
    "Truncate",
    "Umount",
    "Unlink",
    "UserGuest",
    "Verdict",
    "Write",
    "WriteFile",
    "WriteProbe",
    "__version__",
    "blank",
    "expect_not_reproduced",
    "image",
    "kept_cases",
    "kept_reproducers",
]

__version__ = "0.1.0"

# Where each name lives.
_HOMES = {
    "errpath.cases.case": "Device MountCase Outcome SecondTask StepOutcome",
    "errpath.cases.crafted": "LogContains",
    "errpath.cases.lifecycle": "BY_EVENT BY_POINT Matrix",
    "errpath.cases.steps": "FsOpen Meanwhile Mount Reconfigure Remount Step Umount",
    "errpath.cases.volume_steps": "AppendFile Fallocate Freeze Fsync GetXattr ListXattr Mkdir "
    "ReadBack ReadFile Readdir RemoveXattr Rename SetXattr Stat Statfs Sync SyncAll Thaw Truncate "
    "Unlink WriteFile WriteProbe",
    "errpath.faults.model": "Alloc Both Call Fault Flush Read Write",
    "errpath.filesystems.mkfs": "image",
    "errpath.images.image": "Image blank",
    "errpath.plugin.kept": "expect_not_reproduced kept_cases kept_reproducers",
    "errpath.plugin.user_guest": "UserGuest",
    "errpath.runner.verdict": "Status Verdict",
}


if not TYPE_CHECKING:  # mypy would take every name to be there

    def __getattr__(name: str) -> object:
        for module, words in _HOMES.items():
            if name in words.split():
                return getattr(import_module(module), name)
        raise AttributeError(f"module 'errpath' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
