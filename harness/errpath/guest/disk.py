"""Disks of a guest: virtio block devices, known in the guest by their serial."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from errpath.errors import InfrastructureError

__all__ = ["Disk", "open_disk"]

# VIRTIO_BLK_ID_BYTES
_SERIAL_MAX = 20


@dataclass(frozen=True)
class Disk:
    """One disk: a file that is only read, or an empty one in memory that ends with its guest."""

    # /sys/block/*/serial in the guest.
    serial: str
    # The file; None for an empty disk.
    path: Path | None = None
    # Bytes of an empty disk.
    size: int = 0

    def __post_init__(self) -> None:
        if not 0 < len(self.serial) <= _SERIAL_MAX:
            raise ValueError(f"serial: got {self.serial!r}; expected 1 to {_SERIAL_MAX} characters")
        if (self.path is None) != (self.size > 0):
            raise ValueError(f"disk {self.serial}: expected either a path or a size")

    @property
    def readonly(self) -> bool:
        """Whether the guest may not write it: a file of the user's."""
        return self.path is not None


def open_disk(disk: Disk) -> BinaryIO:
    """The open file of a disk's content, whose descriptor QEMU inherits. An empty one takes memory
    only where it is written to.

    Raises:
        InfrastructureError: the file cannot be read.
    """
    if disk.path is None:
        descriptor = os.memfd_create(f"errpath-{disk.serial}", os.MFD_CLOEXEC)
        os.ftruncate(descriptor, disk.size)
        return os.fdopen(descriptor, "r+b")
    try:
        return disk.path.open("rb")
    except OSError as error:
        raise InfrastructureError(f"{disk.path}: {error.strerror}; expected a disk") from None
