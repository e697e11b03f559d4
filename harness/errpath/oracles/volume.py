"""What a case has done to its volume: nothing where nothing was mounted for writing, and nothing
that the filesystem's own checker minds where something was."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence

from errpath.cases.case import MountCase, Outcome, StepOutcome
from errpath.cases.steps import FsOpen, Mount, Reconfigure, Remount, Step
from errpath.filesystems import Filesystem, load_filesystem
from errpath.filesystems.fsck import has_bits
from errpath.filesystems.mkfs import VALID, image, image_kinds, unmade
from errpath.images.crafted.show import changed_values
from errpath.oracles.failure import VOLUME, Failure

__all__ = ["asks_changes", "is_to_be_checked", "volume_failures"]

# Calls that fail before there is a superblock, or with which it ends.
_BEFORE_MOUNT = ("mount", "fsopen", "fsconfig", "fsconfig_create")
_FIELDS_MAX = 6


def asks_changes(case: MountCase) -> bool:
    """Whether it is of interest what a case changes of its device."""
    steps = case.every_step
    # What is written back after a loss of power is no write of the filesystem's.
    if case.device.image is None or any(step.op in ("keep", "restore") for step in steps):
        return False
    certain = any(_writes(step) and not step.expected and not step.any_errno for step in steps)
    readonly = load_filesystem(case.filesystem).read_only
    return readonly or not certain or _checkable(case)


def is_to_be_checked(case: MountCase, outcome: Outcome) -> bool:
    """Whether the checker of the filesystem should pass the device: a valid volume was mounted for
    writing, nothing was forced to fail, and all ended well."""
    return (
        bool(outcome.changed)
        and _checkable(case)
        and _was_writable(case, outcome)
        and not (outcome.hung or outcome.fired or outcome.changed_cut or outcome.device_errno)
        and outcome.signal is None
        and len(list(_ran(case, outcome))) == len(case.every_step)
    )


def volume_failures(
    case: MountCase, outcome: Outcome, *, load: Callable[[str], Filesystem] = load_filesystem
) -> tuple[Failure, ...]:
    """A failure where a mount that must not write has written, and where the checker found the
    volume invalid. `load` gives a filesystem's definition."""
    found = []
    if outcome.changed and not outcome.hung and outcome.signal is None:
        how, name = _reader(case, outcome)
        fields = _fields(case, outcome) if how else []
        keys = (how, "fault") if outcome.fired else (how,)
        if how and not _permitted(load(case.filesystem), keys, fields):
            detail = _where(outcome, fields)
            found.append(Failure(VOLUME, f"{name} changed the volume", detail=detail))
    if outcome.fsck:
        title = "the volume is not valid after a clean mount"
        found.append(Failure(VOLUME, title, detail=outcome.fsck))
    return tuple(found)


def _reader(case: MountCase, outcome: Outcome) -> tuple[str, str]:
    """The key of `Filesystem.writes` and the name of what was done without a right to write."""
    if _was_writable(case, outcome):
        return "", ""
    mounted = any(
        isinstance(step, Mount | FsOpen) and _is_there(got) for step, got in _ran(case, outcome)
    )
    return ("readonly", "a read-only mount") if mounted else ("failed", "a mount that failed")


def _ran(case: MountCase, outcome: Outcome) -> Iterator[tuple[Step, StepOutcome]]:
    """The steps that ended, those of second tasks as well."""
    for number, (step, got) in enumerate(zip(case.steps, outcome.steps, strict=False)):
        yield step, got
        second = outcome.second_tasks.get(number)
        if second is not None and step.meanwhile is not None:
            yield from zip(step.meanwhile.steps, second.steps, strict=False)


def _writes(step: Step) -> bool:
    """Whether what is mounted may be written to once the step has succeeded."""
    if isinstance(step, FsOpen) and step.until == "options":
        return False
    return isinstance(step, Mount | FsOpen | Remount | Reconfigure) and "ro" not in step.flags


def _is_there(got: StepOutcome) -> bool:
    """Whether a step that mounts has come to a superblock."""
    return got.errno == 0 or got.syscall not in _BEFORE_MOUNT


def _was_writable(case: MountCase, outcome: Outcome) -> bool:
    writable = not load_filesystem(case.filesystem).read_only
    return writable and any(_writes(step) and _is_there(got) for step, got in _ran(case, outcome))


def _checkable(case: MountCase) -> bool:
    """Whether a case begins with the valid volume of a filesystem that has a checker."""
    fs = load_filesystem(case.filesystem)
    device = case.device
    if not fs.fsck or device.pieces or device.size is not None or case.devices:
        return False
    if fs.image is None or VALID not in image_kinds(fs) or unmade(fs):
        return False
    return any(map(_writes, case.every_step)) and (
        device.image is None or device.image == image(fs.name) or has_bits(fs, device.image)
    )


def _fields(case: MountCase, outcome: Outcome) -> list[str]:
    """Fields of HFS and HFS+ that are not as they were."""
    before = case.device.content
    assert before is not None
    return list(changed_values(before.patched_all(outcome.changed), before))


def _permitted(fs: Filesystem, keys: Sequence[str], fields: Sequence[str]) -> bool:
    if not any(key in fs.writes for key in keys):
        return False
    only = fs.writes_only
    return not only or (bool(fields) and all(re.match(only, one) for one in fields))


def _where(outcome: Outcome, fields: Sequence[str]) -> str:
    """What is not as it was: fields of HFS and HFS+, sectors of others."""
    count = sum(len(data) for _, data in outcome.changed) // 512
    sectors = f"{count} sector{'s' if count > 1 else ''} from byte {outcome.changed[0][0]} on"
    shown = "; ".join(fields[:_FIELDS_MAX])
    more = f"; {len(fields) - _FIELDS_MAX} more" if len(fields) > _FIELDS_MAX else ""
    return f"{sectors}: {shown}{more}" if shown else sectors
