"""mkfs.hfsplus and fsck.hfsplus judge our images; fetched without touching the apt sources.

Debian keeps hfsprogs in its non-free component, which few machines follow. The package is fetched
through a private apt root (signature-checked as any other) and unpacked into the cache.
"""

from __future__ import annotations

import platform
import shutil
from pathlib import Path

from errpath.errors import InfrastructureError
from errpath.kernel.layout import Layout
from errpath.util.apt import find_mirror, private_apt
from errpath.util.cache import cache_root, scratch_directory
from errpath.util.deadline import Deadline
from errpath.util.process import program_path, run

__all__ = ["find_program", "install"]

_PACKAGE = "hfsprogs"
_UNPACK_SECONDS = 60.0


def _home() -> Path:
    return cache_root() / "tools" / _PACKAGE


def find_program(name: str) -> Path | None:
    """A program of the package, from the cache or from the machine; None if neither has it."""
    found = program_path(name)
    if found is not None:
        return Path(found)
    cached = _home() / "sbin" / name
    return cached if cached.is_file() else None


def install() -> Path:
    """Fetch and unpack the package; the folder of its programs.

    Raises:
        InfrastructureError: this is no Debian, or its archive does not have the package.
        ProgramError: apt could not fetch it.
    """
    home = _home()
    if (home / "sbin").is_dir():
        return home / "sbin"
    suite = platform.freedesktop_os_release().get("VERSION_CODENAME", "stable")
    with scratch_directory() as scratch:
        apt = private_apt(scratch / "apt", find_mirror(), suite, component="non-free")
        apt.update()
        candidate = apt.newest(_PACKAGE)
        if candidate is None:
            raise InfrastructureError(f"{_PACKAGE}: not in the non-free component of {suite}")
        package = apt.download(candidate, scratch)
        unpacked = scratch / "root"
        run(
            ["dpkg-deb", "-x", str(package), str(unpacked)],
            deadline=Deadline.after(_UNPACK_SECONDS, f"unpacking {package.name}"),
        )
        programs = next((path for path in unpacked.rglob("sbin") if path.is_dir()), None)
        if programs is None:
            raise InfrastructureError(f"{package.name}: holds no programs; expected mkfs.hfsplus")
        with Layout(cache_root()).making(home) as directory:
            shutil.copytree(programs, directory / "sbin", symlinks=True)
    return home / "sbin"
