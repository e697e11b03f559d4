"""The sequences of which a sweep fails every point: an event of a superblock's life, then ordinary
use of what is there after it.

One step is armed. Whether it fails or not is left to the kernel: what counts is what a failure
leaves behind. A reconfigure that failed leaves a mounted volume; after a failed mount the device is
mounted again.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from errpath.cases.case import Device
from errpath.cases.steps import FsOpen, Mount, Remount, Step, Umount
from errpath.cases.volume_steps import Use
from errpath.errors import UsageError
from errpath.faults.model import Fault, Recording
from errpath.filesystems import SWEEP_EVENTS, Filesystem
from errpath.filesystems.mkfs import VALID, has_valid, image, unmade

__all__ = ["Sequence", "parse_sweep_events", "sequence"]


@dataclass(frozen=True)
class Sequence:
    """One event of one filesystem, or why it has none."""

    device: Device = field(default_factory=Device)
    steps: tuple[Step, ...] = ()
    # Why it is not swept, else "".
    reason: str = ""

    def failing(self, fault: Fault | None) -> tuple[Step, ...]:
        """The steps with this fault, or none, in the armed one, which otherwise records."""
        return tuple(replace(step, fail=fault) if step.armed else step for step in self.steps)


def parse_sweep_events(words: str) -> tuple[str, ...]:
    """The events that were named, all without a name.

    Raises:
        UsageError: there is no such event.
    """
    names = tuple(dict.fromkeys(words.replace(",", " ").split()))
    for name in names:
        if name not in SWEEP_EVENTS:
            raise UsageError(
                f"--sweep-event {name}: unknown; expected some of: {', '.join(SWEEP_EVENTS)}"
            )
    return names or tuple(SWEEP_EVENTS)


def sequence(fs: Filesystem, event: str) -> Sequence:
    """The sequence of an event."""
    reason = _reason(fs, event)
    if reason:
        return Sequence(reason=reason)
    mode = "ro" if event == "mount-ro" or fs.expected("rw") else "rw"
    flags: tuple[str, ...] = ("ro",) if mode == "ro" else ()
    options = tuple(
        (option[0], option[1] if len(option) > 1 else None)
        for option in (*fs.options, *(fs.good_options if event == "fsopen" else ()))
    )
    mount = Mount(fs.fstype, options=options, flags=flags)
    use = Use(readonly=mode == "ro", any_errno=True, carries_on=True)
    umount = Umount(any_errno=True, carries_on=True)
    after = (_may_fail(mount), use, umount)
    armed: tuple[Step, ...]
    match event:
        case "mount-ro" | "mount-rw":
            armed = (_armed(mount), use, umount)
        case "fsopen":
            armed = (_armed(FsOpen(fs.fstype, options=options, flags=flags)), use, umount)
        case "reconfigure" | "reconfigure-ro":
            to_rw = event == "reconfigure"
            again = options if fs.reconfigure_options else ()
            first = replace(mount, flags=("ro",) if to_rw else ())
            armed = (
                first,
                _armed(Remount(flags=() if to_rw else ("ro",), options=again)),
                use,
                _may_fail(Remount(flags=("ro",) if to_rw else (), options=again)),
                umount,
            )
        case _:
            armed = (mount, use, _armed(Umount()), use, umount)
    return Sequence(Device(image(fs.name, VALID)), (*armed, *after))


def _may_fail(step: Step) -> Step:
    return replace(step, any_errno=True, carries_on=True)


def _armed(step: Step) -> Step:
    return replace(_may_fail(step), fail=Recording())


def _reason(fs: Filesystem, event: str) -> str:
    if fs.image is None or not has_valid(fs):
        return "nothing here can make a valid image of it"
    if fs.served:
        return "its server runs in the case's task, and would be failed with it"
    missing = unmade(fs)
    if missing:
        return missing
    if event.startswith("reconfigure") and fs.expected("rw"):
        return "it mounts read-only alone"
    if event == "mount-rw" and fs.expected("rw"):
        return "it mounts read-only alone"
    return ""
