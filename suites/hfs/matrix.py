"""The mount cases of hfs and hfsplus: filesystem, point, errno, API, ro or rw, image."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cache

from errpath.cases.case import Device, MountCase
from errpath.cases.mounting import mount_step
from errpath.cases.steps import Reconfigure, Remount, Umount
from errpath.faults.plan import FaultPlan
from errpath.filesystems import Filesystem, load_filesystem
from errpath.images import Image, blank
from errpath.images.hfs import hfs as hfs_images
from errpath.images.hfs import hfsplus as hfsplus_images

__all__ = [
    "ERRNOS",
    "FILESYSTEMS",
    "context_cases",
    "fault_cases",
    "image_cases",
    "natural_cases",
    "option_cases",
    "remount_cases",
    "repeat_cases",
]

FILESYSTEMS = ("hfs", "hfsplus")
ERRNOS = ("EIO", "ENOMEM", "EACCES", "EBUSY", "EINVAL", "ENXIO")
APIS = ("mount", "fsopen")
MODES = ("rw", "ro")
# Images of which a mount fails by itself, and how.
BAD_IMAGES = ("blank", "wrong_magic", "truncated")
# A block major that no driver has in these guests.
_UNUSED_MAJOR = (240, 7)
# Byte of the MDB (HFS) and of the volume header (HFS+), and of their signature.
_HEADER = 1024


@cache
def image(filesystem: str, kind: str) -> Image:
    """`kind` is "valid" or one of BAD_IMAGES."""
    valid = hfs_images.volume().image() if filesystem == "hfs" else hfsplus_images.volume().image()
    if kind == "blank":
        return blank(valid.size, name=f"{filesystem}-blank")
    if kind == "wrong_magic":
        return valid.patched(_HEADER, b"\xde\xad", name=f"{filesystem}-wrong_magic")
    if kind == "truncated":
        # The header is still there, what it points to is not.
        return replace(valid.truncated(_HEADER + 512), name=f"{filesystem}-truncated")
    return replace(valid, name=f"{filesystem}-valid")


def _filesystems() -> Iterator[Filesystem]:
    return map(load_filesystem, FILESYSTEMS)


def fault_cases() -> Iterator[MountCase]:
    """A forced failure of setup_bdev_super or of fill_super, whatever the image holds."""
    for fs in _filesystems():
        for point in ("setup_bdev_super", fs.fill_super):
            for errno in ERRNOS:
                for api in APIS:
                    for mode in MODES:
                        for kind in ("valid", *BAD_IMAGES):
                            yield MountCase(
                                f"{fs.name}-{point}-{errno}-{api}-{mode}" + _suffix(kind),
                                fs.name,
                                Device(image(fs.name, kind)),
                                (mount_step(fs, api, mode, fail=FaultPlan(point, errno)),),
                                point=point,
                                errno=errno,
                            )


def natural_cases() -> Iterator[MountCase]:
    """setup_bdev_super fails by itself: no injection anywhere."""
    for fs in _filesystems():
        for api in APIS:
            for kind in ("valid", "blank"):
                yield MountCase(
                    f"{fs.name}-readonly_device-EACCES-{api}-rw" + _suffix(kind),
                    fs.name,
                    Device(image(fs.name, kind), readonly=True),
                    (mount_step(fs, api, "rw", expect="EACCES"),),
                    point="readonly_device",
                    errno="EACCES",
                )
            for mode in MODES:
                yield MountCase(
                    f"{fs.name}-held_device-EBUSY-{api}-{mode}",
                    fs.name,
                    Device(image(fs.name, "valid"), held=True),
                    (mount_step(fs, api, mode, expect="EBUSY"),),
                    point="held_device",
                    errno="EBUSY",
                )
                yield MountCase(
                    f"{fs.name}-no_driver-ENXIO-{api}-{mode}",
                    fs.name,
                    Device(node=_UNUSED_MAJOR),
                    (mount_step(fs, api, mode, expect="ENXIO"),),
                    point="no_driver",
                    errno="ENXIO",
                )


def image_cases() -> Iterator[MountCase]:
    """No fault: a valid volume mounts and unmounts, a bad image is refused by fill_super itself."""
    for fs in _filesystems():
        for api in APIS:
            for mode in MODES:
                yield MountCase(
                    f"{fs.name}-none-{api}-{mode}",
                    fs.name,
                    Device(image(fs.name, "valid")),
                    (mount_step(fs, api, mode), Umount()),
                )
                for kind in BAD_IMAGES:
                    yield MountCase(
                        f"{fs.name}-none-EINVAL-{api}-{mode}-{kind}",
                        fs.name,
                        Device(image(fs.name, kind)),
                        (mount_step(fs, api, mode, expect="EINVAL"),),
                        errno="EINVAL",
                    )


def remount_cases() -> Iterator[MountCase]:
    """Reconfiguring makes a second context, which must be given back as well."""
    for fs in _filesystems():
        for api in APIS:
            again = Remount if api == "mount" else Reconfigure
            for first, second in (("rw", "ro"), ("ro", "rw"), ("rw", "rw")):
                flags = ("ro",) if second == "ro" else ()
                yield MountCase(
                    f"{fs.name}-remount-{first}-to-{second}-{api}",
                    fs.name,
                    Device(image(fs.name, "valid")),
                    (mount_step(fs, api, first), again(flags=flags), Umount()),
                    point="remount",
                )
            yield MountCase(
                f"{fs.name}-{fs.reconfigure}-EIO-{api}",
                fs.name,
                Device(image(fs.name, "valid")),
                (
                    mount_step(fs, api, "rw"),
                    again(flags=("ro",), fail=FaultPlan(fs.reconfigure, "EIO")),
                    Umount(),
                ),
                point=fs.reconfigure,
                errno="EIO",
            )


def option_cases() -> Iterator[MountCase]:
    """Option parsing that fails, first or after options that made the context own something."""
    for fs in _filesystems():
        bad = (fs.bad_option[0], fs.bad_option[1])
        good = tuple((key, value) for key, value in fs.good_options)
        lists = {
            "bad_option": (bad,),
            "good_then_bad_option": (*good, bad),
            "option_twice": (*good, *good, bad),
            "unknown_option": (("errpath_no_such_option", "1"),),
        }
        for name, options in lists.items():
            for api in APIS:
                yield MountCase(
                    f"{fs.name}-{name}-{fs.bad_option_errno}-{api}",
                    fs.name,
                    Device(image(fs.name, "valid")),
                    (mount_step(fs, api, "rw", options=options, expect=fs.bad_option_errno),),
                    point="options",
                    errno=fs.bad_option_errno,
                )
        for api in APIS:
            yield MountCase(
                f"{fs.name}-good_options-{api}",
                fs.name,
                Device(image(fs.name, "valid")),
                (mount_step(fs, api, "rw", options=good), Umount()),
                point="options",
            )


def context_cases() -> Iterator[MountCase]:
    """A context that is closed without a mount."""
    for fs in _filesystems():
        good = tuple((key, value) for key, value in fs.good_options)
        for mode in MODES:
            yield MountCase(
                f"{fs.name}-context-closed-after-options-{mode}",
                fs.name,
                Device(image(fs.name, "valid")),
                (mount_step(fs, "fsopen", mode, options=good, until="options"),),
                point="context",
            )
            yield MountCase(
                f"{fs.name}-context-closed-after-create-{mode}",
                fs.name,
                Device(image(fs.name, "valid")),
                (mount_step(fs, "fsopen", mode, until="create"),),
                point="context",
            )


def repeat_cases() -> Iterator[MountCase]:
    """Mounts of one device again: after a failure, twice at once, and with other flags."""
    for fs in _filesystems():
        for api in APIS:
            for point in ("setup_bdev_super", fs.fill_super):
                yield MountCase(
                    f"{fs.name}-{point}-EIO-then-mount-{api}",
                    fs.name,
                    Device(image(fs.name, "valid")),
                    (
                        mount_step(fs, api, "rw", fail=FaultPlan(point, "EIO")),
                        mount_step(fs, api, "rw"),
                        Umount(),
                    ),
                    point=point,
                    errno="EIO",
                )
            # mount(2) refuses the same filesystem on the same mount point; move_mount does not.
            yield MountCase(
                f"{fs.name}-mounted-twice-{api}",
                fs.name,
                Device(image(fs.name, "valid")),
                (
                    mount_step(fs, api, "rw"),
                    mount_step(fs, "fsopen", "rw"),
                    Umount(),
                    Umount(),
                ),
                point="repeat",
            )
            yield MountCase(
                f"{fs.name}-mounted-rw-then-ro-EBUSY-{api}",
                fs.name,
                Device(image(fs.name, "valid")),
                (
                    mount_step(fs, api, "rw"),
                    mount_step(fs, api, "ro", expect="EBUSY"),
                    Umount(),
                ),
                point="repeat",
                errno="EBUSY",
            )


def _suffix(kind: str) -> str:
    return "" if kind == "valid" else f"-{kind}"
