"""HFS and HFS+ volumes on which something is done, and that are then read whole."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from errpath.cases.case import Device, MountCase
from errpath.cases.crafted import ReadsBack
from errpath.cases.mounting import mount_step
from errpath.cases.steps import Step, Umount
from errpath.cases.volume_steps import ReadBack
from errpath.filesystems import load_filesystem
from errpath.images import Image
from errpath.images.hfs.expected import expected_entries
from errpath.images.hfs.hfs import HfsVolume
from errpath.images.hfs.hfsplus import HfsPlusVolume

__all__ = ["in_turn", "volume_case"]


def in_turn(filesystem: str, mounts: Iterable[Sequence[Step]]) -> tuple[Step, ...]:
    """What is done in one read-write mount after another."""
    mount = mount_step(load_filesystem(filesystem), "mount", "rw")
    return tuple(step for own in mounts for step in (mount, *own, Umount()))


def volume_case(
    case_id: str,
    volume: HfsVolume | HfsPlusVolume,
    mounts: Iterable[Sequence[Step]],
    *,
    point: str,
    image: Image | None = None,
) -> MountCase:
    """What is done in one mount after another, and then all of the volume is read: it holds what
    `volume` has. It begins as `image`, as `volume` without it."""
    filesystem = "hfs" if isinstance(volume, HfsVolume) else "hfsplus"
    return MountCase(
        case_id,
        filesystem,
        Device(image or volume.image()),
        in_turn(filesystem, (*mounts, (ReadBack(),))),
        point=point,
        checks=(ReadsBack(expected_entries(volume)),),
    )
