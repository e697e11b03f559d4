"""Kernel tarballs, unpacked once."""

from __future__ import annotations

import hashlib
from pathlib import Path

from errpath.errors import SourceError
from errpath.kernel.layout import Layout
from errpath.kernel.source.directory import PristineDirectory
from errpath.util.locks import file_lock
from errpath.util.process import ProgramError, run
from errpath.util.progress import Progress
from errpath.util.room import need_room

__all__ = ["is_kernel_tree", "open_tarball", "unpack"]

# A kernel that xz has packed is ten times as large, in files.
_GROWTH = 10


def is_kernel_tree(directory: Path) -> bool:
    """Whether a directory looks like the top of a Linux source tree."""
    return all((directory / name).exists() for name in ("Makefile", "Kbuild", "scripts/kconfig"))


def open_tarball(layout: Layout, tarball: Path, progress: Progress) -> PristineDirectory:
    """The unpacked content of a tarball; its path, size and time of change stand for it.

    Raises:
        SourceError: it is no tarball, or holds no kernel.
    """
    status = tarball.stat()
    text = f"{tarball.resolve()}\0{status.st_size}\0{status.st_mtime_ns}"
    name = f"{tarball.name.partition('.tar')[0]}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"
    source = PristineDirectory(layout.sources / name, f"tar-{name}", str(tarball))
    if not source.root.is_dir():
        with file_lock(layout.locks / f"source-{name}", f"unpacking {tarball}", progress=progress):
            if not source.root.is_dir():
                with progress.step(f"unpacking {tarball}"):
                    unpack(layout, tarball, source.root)
    return source


def unpack(layout: Layout, tarball: Path, final: Path) -> None:
    """Unpack a tarball whose one top directory is a kernel tree, as `final`.

    Raises:
        SourceError: it is no tarball, or holds no kernel.
    """
    need_room(layout.sources, _GROWTH * tarball.stat().st_size, f"unpacking {tarball.name}")
    with layout.making(final) as directory:
        argv: list[str | Path] = ["tar", "--extract", "--file", tarball, "--directory", directory]
        # The archive's top directory has another name in each archive.
        argv += ["--strip-components=1", "--no-same-owner", "--no-same-permissions"]
        try:
            run(argv)
        except ProgramError as error:
            if b"No space left" in error.completed.stderr:
                raise
            raise SourceError(f"{tarball}: {error}") from error
        if not is_kernel_tree(directory):
            raise SourceError(f"{tarball}: holds no kernel tree (no Makefile, Kbuild, Kconfig)")
