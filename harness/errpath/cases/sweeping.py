"""The sequences of which a sweep fails every point: an event of a superblock's life, then ordinary
use of what is there after it.

One step is armed. Whether it fails or not is left to the kernel: what counts is what a failure
leaves behind. A reconfigure that failed leaves a mounted volume; after a failed mount the device is
mounted again.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from errpath.cases.case import Device
from errpath.cases.lifecycle.cell import option_pairs
from errpath.cases.steps import FsOpen, Meanwhile, Mount, Reconfigure, Remount, Step, Umount
from errpath.cases.volume_steps import (
    Freeze,
    Fsync,
    Keep,
    Restore,
    Stat,
    Sync,
    SyncAll,
    Thaw,
    Unlink,
    Use,
    WriteFile,
)
from errpath.errors import UsageError
from errpath.faults.model import Fault, Recording
from errpath.filesystems import (
    LOGICAL_BLOCKS,
    PAIRS,
    SOFT_BLOCKS,
    SWEEP_DEFAULT,
    SWEEP_EVENTS,
    Filesystem,
    load_filesystem,
)
from errpath.filesystems.mkfs import has_valid, unmade, volume_image

__all__ = ["Sequence", "cannot_have", "parse_sweep_events", "parse_volumes", "sequence"]

_ALL = "all"
# Events that reconfigure, mount or write what only a read-write mount can.
_WRITES = (
    *("mount-rw", "reconfigure", "reconfigure-ro", "freeze", "recovery", "readonly-device"),
    *("grow", "fsync-remount", "sync-grow", "sync-umount", "umount-mount", "umount-sync"),
    "remount-remount",
)
# Events that begin with a file that was written.
_FILES = ("fsync-remount", "sync-grow", "sync-umount", "umount-mount", "umount-sync")
_PAIR = "pair"
# Bytes of the names that `grow` makes: the most that HFS takes, so that few fill a node of a tree.
_NAME = 31
# Block sizes of the device, bytes, by event: of its own, and those that an ioctl sets.
_BLOCKS = {f"blocks-{size}": size for size in LOGICAL_BLOCKS}
_SOFT_BLOCKS = {f"soft-blocks-{size}": size for size in SOFT_BLOCKS}
# Bytes by which the device is longer than the volume, by event.
_ENDS = {"odd-end": 512, "short-end": -512}
# Events of devices that are not fit for every mount: their keys of `Filesystem.expect`.
_DEVICES = {
    "blocks-4096": "blocks_4096",
    "readonly-device": "readonly_device",
    "held-device": "held_device",
}


@dataclass(frozen=True)
class Sequence:
    """One event of one filesystem, or why it has none."""

    device: Device = field(default_factory=Device)
    steps: tuple[Step, ...] = ()
    # Name of the errno that the armed steps give when nothing is forced, "" for success; None where
    # any will do.
    expect: str | None = ""
    # Why it is not swept, else "".
    reason: str = ""
    # What a second task does while the armed step waits: of the events that are a pair.
    second: tuple[Step, ...] = ()

    def failing(self, fault: Fault) -> tuple[Step, ...]:
        """The steps with this fault in the armed ones, which otherwise record."""
        return tuple(replace(step, fail=fault) if step.armed else step for step in self.steps)

    def waiting(self, at: str, nth: int) -> tuple[Step, ...]:
        """The steps with the armed one waiting for the second task, at a call of a function."""
        pair = Meanwhile(at, self.second, nth=nth, threads=True)
        return tuple(
            replace(step, fail=None, meanwhile=pair) if step.armed else step for step in self.steps
        )

    @property
    def begins_with_a_mount(self) -> bool:
        """Whether nothing comes before the armed step: then any volume will do."""
        return self.steps[0].armed

    def of_any_volume(self) -> tuple[Step, ...]:
        """The steps with nothing forced, which may give what they like."""
        return tuple(replace(step, fail=None) if step.armed else step for step in self.steps)

    def untouched(self) -> tuple[Step, ...]:
        """The steps with nothing forced, of which the armed ones must give what they always do."""
        if self.expect is None:
            return self.of_any_volume()
        return tuple(
            replace(step, fail=None, any_errno=False, expect=self.expect) if step.armed else step
            for step in self.steps
        )


def parse_sweep_events(words: str) -> tuple[str, ...]:
    """The events that were named; the usual ones without a name, every one by `all`.

    Raises:
        UsageError: there is no such event.
    """
    names = tuple(dict.fromkeys(words.replace(",", " ").split()))
    for name in names:
        if name not in SWEEP_EVENTS and name != _ALL:
            known = ", ".join((*SWEEP_EVENTS, _ALL))
            raise UsageError(f"--sweep-event {name}: unknown; expected some of: {known}")
    return tuple(SWEEP_EVENTS) if _ALL in names else names or SWEEP_DEFAULT


def parse_volumes(words: str, filesystems: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """By filesystem, the volumes that were named: "" is the smallest, which alone is taken without
    a name; `all` is every one.

    Raises:
        UsageError: no filesystem has a volume of that name.
    """
    names = tuple(dict.fromkeys(words.replace(",", " ").split()))
    known = {name: tuple(load_filesystem(name).volumes) for name in filesystems}
    for name in names:
        if name != _ALL and not any(name in volumes for volumes in known.values()):
            such = ", ".join(dict.fromkeys(v for volumes in known.values() for v in volumes))
            raise UsageError(f"--volume {name}: unknown; expected some of: {such or 'none'}")
    if _ALL in names:
        return {name: ("", *volumes) for name, volumes in known.items()}
    return {
        name: tuple(one for one in names if one in volumes) if names else ("",)
        for name, volumes in known.items()
    }


def sequence(fs: Filesystem, event: str, volume: str = "") -> Sequence:
    """The sequence of an event on a volume; "" is the smallest."""
    reason = cannot_have(fs, event, volume)
    if reason:
        return Sequence(reason=reason)
    fs = fs.on_volume(volume)
    steps = _Steps(fs, "ro" if event == "mount-ro" or fs.expected("rw") else "rw")
    # The VFS does not mount the same superblock twice on one place.
    expect: str | None = "EBUSY" if event == "second-mount" else ""
    if event == "lookup-umount":
        expect = "ENOENT"
    elif event == "reconfigure":
        expect = fs.expected("reconfigure_rw")
    elif event == "reconfigure-ro":
        expect = fs.expected("reconfigure_ro")
    elif event in _DEVICES:
        expect = fs.expected(_DEVICES[event])
    elif event in _BLOCKS or event in _SOFT_BLOCKS or event in _ENDS:
        # Whether it can be mounted depends on the volume's own blocks, and where it has copies.
        expect = None
    image = volume_image(fs.name, volume)
    device = Device(
        image,
        size=image.size + _ENDS[event] if event in _ENDS else None,
        readonly=event == "readonly-device",
        held=event == "held-device",
        block_size=_BLOCKS.get(event, 0),
        soft_block_size=_SOFT_BLOCKS.get(event, 0),
    )
    if event in PAIRS:
        first, second = steps.pair(event)
        return Sequence(device, (*first, *steps.after(pair=True)), expect, second=second)
    return Sequence(device, (*steps.of(event), *steps.after()), expect)


class _Steps:
    """The steps of a filesystem's events."""

    def __init__(self, fs: Filesystem, mode: str) -> None:
        self._fs = fs
        self._options = option_pairs(fs.options)
        self._good = option_pairs(fs.good_options)
        flags: tuple[str, ...] = ("ro",) if mode == "ro" else ()
        self._mount = Mount(fs.fstype, options=self._options, flags=flags)
        self._use = Use(readonly=mode == "ro", any_errno=True, carries_on=True)
        # Files that two tasks have made are looked at, and none is written or removed.
        self._look = replace(self._use, readonly=True)
        self._umount = Umount(any_errno=True, carries_on=True)

    def after(self, *, pair: bool = False) -> tuple[Step, ...]:
        """What is done after every event."""
        return (_may_fail(self._mount), self._look if pair else self._use, self._umount)

    def of(self, event: str) -> tuple[Step, ...]:
        """The event with what stands around it."""
        match event:
            case "fsopen":
                options = (*self._options, *self._good)
                opened = FsOpen(self._fs.fstype, options=options, flags=self._mount.flags)
                return (_armed(opened), self._use, self._umount)
            case "reconfigure" | "reconfigure-ro":
                return self._remount(to_rw=event == "reconfigure")
            case "umount":
                return (self._mount, self._use, _armed(Umount()), self._use, self._umount)
            case "context":
                return tuple(map(_armed, self._contexts()))
            case "reconfigure-options":
                twice = (*self._good, *self._good)
                again = [_armed(Reconfigure(options=some)) for some in (self._good, twice)]
                return (self._mount, *again, self._use, self._umount)
            case "freeze":
                return (
                    *(self._mount, self._use, _armed(Freeze()), _armed(Thaw())),
                    *(_may_fail(Thaw()), self._use, self._umount),
                )
            case "second-mount":
                return (self._mount, _armed(self._mount), self._use, self._umount, self._umount)
            case "recovery":
                return (
                    *(self._mount, self._use, Keep(), self._umount, Restore()),
                    *(_armed(self._mount), self._use, self._umount),
                )
            case "grow":
                return self._grow()
        return (_armed(self._mount), self._use, self._umount)

    def pair(self, event: str) -> tuple[tuple[Step, ...], tuple[Step, ...]]:
        """What the case's task does, with one armed step, and what the second does meanwhile."""
        again = self._options if self._fs.reconfigure_options else ()
        read_only, writable = (Remount(flags=way, options=again) for way in (("ro",), ()))
        written = (self._mount, WriteFile(_PAIR, data="x"))
        opened = FsOpen(self._fs.fstype, options=self._options, flags=self._mount.flags)
        first: tuple[Step, ...]
        second: tuple[Step, ...]
        match event:
            case "fsync-remount":
                first, second = (*written, _paired(Fsync(_PAIR))), (read_only, writable)
            case "sync-grow":
                names = (f"m{number:02}".ljust(_NAME, "m") for number in range(14))
                # Written to before, the trees have room for the file, and are not in memory yet.
                before = WriteFile(f"{_PAIR}0", data="x")
                first = (self._mount, before, Umount(), *written, _paired(SyncAll()))
                second = tuple(WriteFile(name, data="") for name in names)
            case "sync-umount":
                first, second = (*written, _paired(SyncAll())), (Umount(),)
            case "umount-mount":
                first, second = (*written, _paired(Umount())), (opened,)
            case "umount-sync":
                first, second = (*written, _paired(Umount())), (SyncAll(),)
            case "mount-mount":
                first, second = (_paired(self._mount),), (opened,)
            case "lookup-umount":
                first, second = (self._mount, _paired(Stat("absent"))), (Umount(lazy=True),)
            case _:
                first, second = (self._mount, _paired(read_only)), (writable,)
        # Two mounts may be there, or none.
        return (*first, self._look, self._umount, self._umount), tuple(map(_may_fail, second))

    def _grow(self) -> tuple[Step, ...]:
        """Files are made until a tree has another level; after another mount more are made before
        them, where nothing behind is in memory, and all are removed."""
        behind, before = (
            tuple(f"{letter}{number:02}".ljust(_NAME, letter) for number in range(count))
            for letter, count in (("m", 12), ("a", 6))
        )
        return (
            self._mount,
            *(_armed(WriteFile(name, data="")) for name in behind),
            *(_armed(Sync()), self._umount, _may_fail(self._mount)),
            *(_armed(WriteFile(name, data="")) for name in before),
            *(_may_fail(WriteFile(name, data="")) for name in (*behind, *before)),
            *(_armed(Unlink(name)) for name in (*before, *behind)),
            *(_armed(Sync()), self._use, self._umount),
        )

    def _remount(self, *, to_rw: bool) -> tuple[Step, ...]:
        again = self._options if self._fs.reconfigure_options else ()
        first: tuple[str, ...] = ("ro",) if to_rw else ()
        then: tuple[str, ...] = () if to_rw else ("ro",)
        return (
            replace(self._mount, flags=first),
            _armed(Remount(flags=then, options=again)),
            self._use,
            _may_fail(Remount(flags=first, options=again)),
            self._umount,
        )

    def _contexts(self) -> list[FsOpen]:
        """Contexts that are closed without a superblock: each option, all of them, all twice."""
        fstype, until = self._fs.fstype, "options"
        each = [(option,) for option in self._good]
        sets = [(), *each, self._good] if len(each) > 1 else [(), *each]
        if self._good and not self._fs.expected("option_twice"):
            sets.append((*self._good, *self._good))
        own = [FsOpen(fstype, options=options, until=until) for options in sets]
        return own + [FsOpen(name, until=until) for name in self._fs.types]


def _may_fail(step: Step) -> Step:
    return replace(step, any_errno=True, carries_on=True)


def _paired(step: Step) -> Step:
    return replace(_may_fail(step), fail=Recording(("call",), threads=True))


def _armed(step: Step) -> Step:
    return replace(_may_fail(step), fail=Recording())


def cannot_have(fs: Filesystem, event: str, volume: str = "") -> str:
    """Why a filesystem cannot have an event; empty if it can. No volume is made for that."""
    if fs.image is None or not has_valid(fs):
        return "nothing here can make a valid image of it"
    if fs.served:
        return "its server runs in the case's task, and would be failed with it"
    missing = unmade(fs, volume)
    if missing:
        return missing
    if event in _WRITES and fs.expected("rw"):
        return "it mounts read-only alone"
    if event in _FILES and fs.expected("written"):
        return "nothing can be written to the smallest volume"
    if event == "freeze" and fs.expected("freeze"):
        return "it cannot be frozen"
    if event == "reconfigure-options" and (not fs.reconfigure_options or not fs.good_options):
        return "it has no option that a reconfigure takes"
    return ""
