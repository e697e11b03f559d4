"""Mount cases of the crafted images (`errpath.images.crafted`), valid ones included."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import ClassVar

from errpath.cases.case import Alternative, Device, MountCase, Outcome
from errpath.cases.mounting import APIS, MODES, mount_step
from errpath.cases.read_back import differences, parse_entries
from errpath.cases.steps import Step, Umount
from errpath.cases.volume_steps import ReadBack, WriteProbe
from errpath.faults.plan import FaultPlan
from errpath.filesystems import load_filesystem
from errpath.images.crafted.catalogue import (
    Case,
    Expectation,
    base_image,
    base_volume,
    catalogue,
)
from errpath.images.hfs.entries import File
from errpath.images.hfs.expected import ExpectedEntry, expected_entries
from errpath.images.hfs.journal import BUFFER_NAME, INFO_NAME
from errpath.kernel.features.change import Change

__all__ = [
    "KeepsXattrs",
    "LogContains",
    "ReadsBack",
    "crafted_cases",
    "forced_cases",
    "known_issue_cases",
]

# No need to wait as long for a case that is known to hang, or to crash and then hang, as for the
# others. On a kernel without that bug it takes some 10 ms; on a busy machine, what comes before the
# crash takes longer than half a second.
_HANG_SECONDS, _CRASH_SECONDS, _SECONDS = 0.6, 4.0, 20.0
# By image: each has half a dozen cases, and takes milliseconds to make.
_DEVICES: dict[str, Device] = {}
_JOURNAL = (INFO_NAME.encode(), BUFFER_NAME.encode())


@dataclass(frozen=True)
class LogContains:
    """The kernel said this: in its log, or in that of the fs_context."""

    kind: ClassVar[str] = "log"
    text: str

    def __call__(self, outcome: Outcome) -> str:
        logs = [outcome.kmsg, *(line for step in outcome.steps for line in step.log)]
        if any(self.text in log for log in logs):
            return ""
        printed = "; ".join(line for log in logs for line in log.splitlines()[-3:])
        return f"message: got {printed!r}; expected {self.text!r}"


@dataclass(frozen=True)
class ReadsBack:
    """What was written is read back, and nothing else."""

    kind: ClassVar[str] = "data mismatch"
    expected: tuple[ExpectedEntry, ...]

    def __call__(self, outcome: Outcome) -> str:
        found = differences(parse_entries(outcome.entries), self.expected, also=_JOURNAL)
        return f"read back: {'; '.join(found)}" if found else ""


@dataclass(frozen=True)
class KeepsXattrs:
    """These extended attributes are read back, whatever else is."""

    kind: ClassVar[str] = "data mismatch"
    # By path.
    expected: tuple[tuple[bytes, tuple[tuple[bytes, bytes], ...]], ...]

    def __call__(self, outcome: Outcome) -> str:
        found = {
            entry.path: tuple(entry.xattrs.items()) for entry in parse_entries(outcome.entries)
        }
        lost = [
            f"{path.decode(errors='replace')}: {name.decode(errors='replace')}"
            for path, xattrs in self.expected
            for name, value in xattrs
            if (name, value) not in found.get(path, ())
        ]
        return f"extended attributes lost: {', '.join(lost)}" if lost else ""


def crafted_cases(*, apis: Sequence[str] = APIS) -> Iterator[MountCase]:
    """Every image of the catalogue but those of known issues, by these APIs, read-write and
    read-only."""
    for filesystem, crafted in _catalogue():
        if not crafted.bug or crafted.hidden:
            for api in apis:
                for mode in _modes(crafted):
                    case = _mounted(filesystem, crafted, api, mode)
                    # In a guest of its own where another would find what it left there.
                    contaminates_guest = crafted.contaminates_guest and mode == "rw"
                    yield replace(case, batch=case.id) if contaminates_guest else case


def known_issue_cases() -> Iterator[tuple[str, MountCase]]:
    """(what is wrong, case) of the images that show a bug of the kernel, each once."""
    for filesystem, crafted in _catalogue():
        if crafted.bug and not crafted.hidden:
            mode = "ro" if crafted.mount_read_only else "rw"
            case = _mounted(filesystem, crafted, "mount", mode)
            # Leaks are looked at twice, by the slow check: all of them at once.
            batch = "leaks" if crafted.bug == "leak" else ""
            yield crafted.known_issue, replace(case, exclusive=True, batch=batch)


def forced_cases() -> Iterator[MountCase]:
    """The same images with a forced failure: whatever an image holds, it is never looked at."""
    for filesystem, crafted in _catalogue():
        fs = load_filesystem(filesystem)
        # An option that is refused ends a mount before any of these functions.
        if _parses_options_only(crafted):
            continue
        for point, errno, api, mode in (
            ("setup_bdev_super", "EIO", "mount", "rw"),
            (fs.fill_super, "ENOMEM", "fsopen", "ro"),
        ):
            yield MountCase(
                f"{crafted.name}-{point}-{errno}-{api}-{mode}",
                filesystem,
                _device(crafted),
                (mount_step(fs, api, mode, fail=FaultPlan(point, errno), options=crafted.options),),
                point=point,
                errno=errno,
            )


def _catalogue() -> Iterator[tuple[str, Case]]:
    for filesystem in ("hfs", "hfsplus"):
        for crafted in catalogue(filesystem).cases:
            yield filesystem, crafted


def _modes(crafted: Case) -> tuple[str, ...]:
    return ("ro",) if crafted.mount_read_only else MODES


def _parses_options_only(crafted: Case) -> bool:
    return crafted.exit in ("H0", "P0")


def _mounted(filesystem: str, crafted: Case, api: str, mode: str) -> MountCase:
    others = [(one, _mounted(filesystem, one.of(crafted), api, mode)) for one in crafted.expect]
    alternatives = tuple(
        Alternative(_change(one), other.steps, other.checks, other.errno) for one, other in others
    )
    return replace(_plain(filesystem, crafted, api, mode), alternatives=alternatives)


def _change(one: Expectation) -> Change:
    return Change(one.commit, one.function, one.file, one.pattern)


def _plain(filesystem: str, crafted: Case, api: str, mode: str) -> MountCase:
    fs = load_filesystem(filesystem)
    succeeds = not crafted.errno or (crafted.writable_only and mode == "ro")
    errno = "" if succeeds else crafted.errno
    if errno and api == "fsopen":
        errno = crafted.fsopen_errno or errno
    mount = mount_step(fs, api, mode, expect=errno, options=crafted.options)
    mount = replace(mount, any_errno=crafted.any_errno)
    says: tuple[LogContains, ...] = ()
    # What is said about a mount that writes is not said about one that does not.
    if crafted.message and not (mode == "ro" and (crafted.writable_only or crafted.exit == "RO")):
        says = (LogContains(crafted.message),)
    reads: tuple[ReadsBack, ...] = ()
    steps: tuple[Step, ...] = (mount,)
    if succeeds:
        # A volume that is not corrupted reads as it was written; of others it is enough that
        # nothing crashes.
        corrupted = bool(crafted.set or crafted.text or crafted.hex)
        expected = _expected(crafted.base, finder_info=crafted.finder_info)
        reads = (ReadsBack(expected),) if not corrupted else ()
        frozen = crafted.readonly or mode == "ro"
        # A root that is whatever its memory held may refuse a write for any reason.
        anything = crafted.any_errno or (corrupted and not frozen)
        write = WriteProbe(expect="EROFS" if frozen else "", any_errno=anything)
        steps = (mount, ReadBack(any_errno=corrupted), write, Umount())
    checks: tuple[Callable[[Outcome], str], ...] = (*says, *reads)
    if crafted.keeps_attributes:
        kept = tuple((entry.path, entry.xattrs) for entry in reads[0].expected if entry.xattrs)
        steps = (mount, write, Umount(), mount, ReadBack(), Umount())
        checks = (KeepsXattrs(kept),)
    return MountCase(
        f"{crafted.name}-{api}-{mode}",
        filesystem,
        _device(crafted),
        steps,
        point="crafted",
        errno=errno,
        seconds=_seconds(crafted),
        checks=checks,
    )


@cache
def _expected(base: str, *, finder_info: bool) -> tuple[ExpectedEntry, ...]:
    volume = base_volume(base)
    assert volume is not None
    found = expected_entries(volume)
    if not finder_info:
        return found
    info = {
        entry.path.encode(): (entry.type + entry.creator).ljust(32, b"\0")
        for entry in volume.entries
        if isinstance(entry, File)
    }
    return tuple(
        replace(entry, xattrs=((b"osx.com.apple.FinderInfo", info[entry.path]),))
        if entry.path in info
        else entry
        for entry in found
    )


def _device(crafted: Case) -> Device:
    if crafted.name not in _DEVICES:
        _DEVICES[crafted.name] = _made(crafted)
    return _DEVICES[crafted.name]


def _made(crafted: Case) -> Device:
    """The base image and what is different: bases are many times larger than their corruptions."""
    size = crafted.logical_block_size if crafted.logical_block_size != 512 else 0
    image = crafted.image()
    base = base_image(crafted.base)
    longer = image.size > base.size
    fitted = base.placed(0, image.size) if longer else base.truncated(image.size)
    return Device(
        base,
        pieces=image.delta(fitted),
        size=image.size if image.size != base.size else None,
        block_size=size,
    )


def _seconds(crafted: Case) -> float:
    if not crafted.bug or crafted.hidden:
        return _SECONDS
    return _HANG_SECONDS if crafted.bug == "hang" else _CRASH_SECONDS
