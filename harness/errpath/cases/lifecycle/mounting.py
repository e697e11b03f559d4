"""Cells of events (a) to (d): setup_bdev_super and fill_super fail, bad images, plain mounts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from errpath.cases.case import Device
from errpath.cases.lifecycle.cell import (
    Cell,
    option_pairs,
    step,
    usual_device,
    usual_kind,
    valid_modes,
)
from errpath.cases.mounting import APIS, MODES
from errpath.cases.steps import Step, Umount
from errpath.cases.volume_steps import ReadFile, WriteFile
from errpath.faults.plan import FaultPlan
from errpath.filesystems import Filesystem
from errpath.filesystems.mkfs import BAD_IMAGES, VALID, image, image_kinds, unmade

__all__ = ["bad_images", "fill_super", "plain_mounts", "setup_bdev"]

# More than a block of most volumes.
_FILE, _TEXT = "written", "What one mount writes, the next one reads.\n" * 50
# A block major that no driver has in these guests.
_UNUSED_MAJOR = (240, 7)


def _injected(
    fs: Filesystem, api: str, function: str, errnos: Sequence[str], images: Sequence[str]
) -> Iterator[Cell]:
    """`function` forced to fail, alone and followed by a mount that must work."""
    for errno in errnos:
        for mode in MODES:
            for kind in images or (usual_kind(fs.name),):
                forced = step(fs, api, mode, fail=FaultPlan(function, errno))
                device = Device(image(fs.name, kind))
                label = kind if images else ""
                yield Cell("injected", function, device, (forced,), api, mode, label)
    if usual_kind(fs.name) == VALID:
        mode = valid_modes(fs)[0]
        forced = step(fs, api, mode, fail=FaultPlan(function, "EIO"))
        steps = (forced, step(fs, api, mode), Umount())
        yield Cell("injected/then-mount", function, usual_device(fs), steps, api, mode)


def setup_bdev(fs: Filesystem, errnos: Sequence[str], images: Sequence[str]) -> Iterator[Cell]:
    """(a): forced, and the natural ways, which need no injection."""
    for api in APIS:
        yield from _injected(fs, api, "setup_bdev_super", errnos, images)
        expect = fs.expected("readonly_device")
        for kind in images or (usual_kind(fs.name),):
            device = Device(image(fs.name, kind), readonly=True)
            mount = step(fs, api, "rw", expect=expect)
            after = () if expect else (Umount(),)
            steps = (mount, *after)
            label = kind if images else ""
            yield Cell("readonly_device", "readonly_device", device, steps, api, "rw", label)
        for mode in MODES:
            held = usual_device(fs, held=True)
            mount = step(fs, api, mode, expect=fs.expected("held_device"))
            yield Cell("held_device", "held_device", held, (mount,), api, mode)
            mount = step(fs, api, mode, expect=fs.expected("no_driver"))
            node = Device(node=_UNUSED_MAJOR)
            yield Cell("no_driver", "no_driver", node, (mount,), api, mode)


def fill_super(fs: Filesystem, errnos: Sequence[str], images: Sequence[str]) -> Iterator[Cell]:
    """(b): forced before the function's first line."""
    for api in APIS:
        yield from _injected(fs, api, fs.fill_super, errnos, images)


def bad_images(fs: Filesystem, errnos: Sequence[str], images: Sequence[str]) -> Iterator[Cell]:
    """(c): no fault anywhere, an image that the filesystem refuses."""
    for kind in BAD_IMAGES:
        if kind not in image_kinds(fs):
            continue
        expect = fs.expected(kind)
        gone = kind != "blank" and unmade(fs)
        device = Device() if gone else Device(image(fs.name, kind))
        for api in APIS:
            for mode in valid_modes(fs):
                steps: tuple[Step, ...] = (step(fs, api, mode, expect=expect, served=False),)
                steps += () if expect else (Umount(),)
                yield Cell("image", "image", device, steps, api, mode, kind)


def plain_mounts(fs: Filesystem, errnos: Sequence[str], images: Sequence[str]) -> Iterator[Cell]:
    """(d): a mount that works, with and without options, twice in a row and twice at once; what one
    mount has written is read by the next."""
    device = usual_device(fs)
    for api in APIS:
        for mode in valid_modes(fs):
            steps = (step(fs, api, mode), Umount())
            yield Cell("plain", "none", device, steps, api, mode)
        mode = valid_modes(fs)[0]
        once = (step(fs, api, mode, options=option_pairs(fs.good_options)), Umount())
        if fs.good_options:
            yield Cell("options", "options", device, once, api, mode)
        yield Cell("twice", "repeat", device, (*once, *once), api, mode)
        if mode == "rw" and not fs.read_only:
            errno = fs.expected("written")
            write = WriteFile(_FILE, _TEXT, expect=errno)
            again = (step(fs, api, "ro"), ReadFile(_FILE, _TEXT), Umount())
            written: tuple[Step, ...] = (step(fs, api, mode), write, Umount())
            if not errno:
                written += again
            yield Cell("written", "none", device, written, api, mode)
        # mount(2) refuses the same filesystem on the same mount point; move_mount does not.
        over = (step(fs, api, mode), step(fs, "fsopen", mode), Umount(), Umount())
        yield Cell("mounted_twice", "repeat", device, over, api, mode)
        refusal = fs.expected("rw")
        if refusal:
            refused = step(fs, api, "rw", expect=refusal)
            yield Cell("refused", "none", device, (refused,), api, "rw")
