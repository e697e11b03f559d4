"""A second object tree out of a first, for another configuration of the same sources."""

from __future__ import annotations

import os
from pathlib import Path

from errpath.kernel.layout import remove_tree
from errpath.util.process import run

__all__ = ["seed"]


def seed(old: Path, new: Path) -> None:
    """Copy an object tree, times included, so that make finds its objects current.

    The tools that a build makes for itself note where they lie. Noted paths are changed without
    changing the time of the file: a tool that seems new makes every object seem old.
    """
    part = new.with_name(f"{new.name}.new")
    remove_tree(part)
    # --reflink: share the blocks where the file system can.
    run(["cp", "--archive", "--reflink=auto", old, part])
    for name in ("errpath.log", "errpath.core", "errpath.configured"):
        (part / name).unlink(missing_ok=True)
    for path in [part / "Makefile", *(part / "tools").rglob("*")]:
        if path.is_file() and not path.is_symlink() and path.suffix in ("", ".cmd", ".d"):
            _move_paths(path, os.fsencode(old), os.fsencode(new))
    part.rename(new)


def _move_paths(path: Path, old: bytes, new: bytes) -> None:
    content = path.read_bytes()
    # A program's debug information may name the path too, and nothing reads that.
    if old in content and not content.startswith(b"\x7fELF"):
        status = path.stat()
        path.write_bytes(content.replace(old, new))
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
