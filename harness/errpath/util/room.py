"""Room on a disk, asked for before the work where it can be known."""

from __future__ import annotations

import os
from pathlib import Path

from errpath.errors import InfrastructureError

__all__ = ["need_room"]

_MIB = 2**20


def need_room(directory: Path, size: int, what: str) -> None:
    """See that the disk of a directory, which need not be there yet, has `size` bytes left for
    `what`.

    Raises:
        InfrastructureError: it has not; the text names the place, what is left and what it takes.
    """
    there = next(parent for parent in (directory, *directory.parents) if parent.exists())
    status = os.statvfs(there)
    free = status.f_bavail * status.f_frsize
    if free < size:
        raise InfrastructureError(
            f"{directory}: {free // _MIB} MiB are free, {what} takes about {-(-size // _MIB)} MiB; "
            "free space, or remove kernels: errpath kernel rm"
        )
