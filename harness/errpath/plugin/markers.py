"""pytest: markers that select cases by filesystem, point of failure and errno."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from errpath.cases.case import MountCase
from errpath.filesystems import known_filesystems, load_filesystem

__all__ = ["mark_case", "register_markers"]

_POINTS = (
    *("setup_bdev_super", "readonly_device", "held_device", "no_driver", "options"),
    *("context", "remount", "repeat", "crafted", "none"),
)
_ERRNOS = (
    *("EIO", "ENOMEM", "EACCES", "EBUSY", "EINVAL", "ENXIO"),
    *("EEXIST", "ENOENT", "ENOSPC", "ENOTDIR"),
)
_registered_key = pytest.StashKey[set[str]]()


def register_markers(config: pytest.Config) -> None:
    """Register what `pytest --markers` lists before anything is collected."""
    markers = {
        "filesystems(*names)": "filesystems that the `guest` fixture loads",
        "unjudged": "the test passes whatever the verdict on its case is",
        "qemu": "boots a guest; needs QEMU and a built kernel",
    }
    for name in known_filesystems():
        filesystem = load_filesystem(name)
        markers[name] = f"cases of {name}"
        for function in (filesystem.fill_super, filesystem.reconfigure):
            if function:
                markers[function] = f"cases in which {function} is failed"
    markers |= {point: f"cases of the point {point}" for point in _POINTS}
    markers |= {errno: f"cases that end in -{errno}" for errno in _ERRNOS}
    config.stash[_registered_key] = set()
    _register(config, markers)


def mark_case(item: pytest.Item, case: MountCase) -> None:
    """Mark a test by its case; a name of the suite's own is registered, as markers are strict."""
    names = {
        case.filesystem: f"cases of {case.filesystem}",
        case.point: f"cases of the point {case.point}",
        case.errno: f"cases that end in -{case.errno}",
        "qemu": "",
    }
    names.pop("", None)
    _register(item.config, names)
    for name in names:
        # Not pytest.mark.NAME: that refuses a leading underscore, as of __ext4_iget.
        mark = pytest.Mark(name, (), {}, _ispytest=True)
        item.add_marker(pytest.MarkDecorator(mark, _ispytest=True))


def _register(config: pytest.Config, markers: Mapping[str, str]) -> None:
    registered = config.stash[_registered_key]
    for name, text in markers.items():
        if name not in registered:
            registered.add(name)
            config.addinivalue_line("markers", f"{name}: {text}")
