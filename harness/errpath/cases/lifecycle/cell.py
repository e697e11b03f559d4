"""One cell of the life-cycle matrix, and what the cells of a filesystem have in common."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from errpath.cases.case import Device, MountCase
from errpath.cases.mounting import MODES
from errpath.cases.steps import FsOpen, Mount, Option, Reconfigure, Remount, Step
from errpath.faults.plan import FaultPlan
from errpath.filesystems import Filesystem, load_filesystem
from errpath.filesystems.mkfs import VALID, image, image_kinds, unmade

__all__ = [
    "UNKNOWN_OPTION",
    "Cell",
    "again_step",
    "option_pairs",
    "step",
    "usual_device",
    "usual_kind",
    "valid_modes",
]

UNKNOWN_OPTION: Option = ("errpath_no_such_option", "1")


@dataclass(frozen=True)
class Cell:
    """One case before it has an id."""

    # Key of the tables of ids; what is before a slash is the variant that a filesystem may lack.
    kind: str
    # What the case is about, for markers.
    point: str
    device: Device
    steps: tuple[Step, ...]
    api: str = ""
    # The first mount's.
    mode: str = ""
    # Kind of image, where it is chosen.
    image: str = ""

    @property
    def variant(self) -> str:
        """The name under which a filesystem's `lacks` may have it."""
        return self.image if self.kind == "image" else self.kind.partition("/")[0]

    @property
    def errno(self) -> str:
        """Name of the first errno that is expected, or ""."""
        return next((step.expected for step in self.steps if step.expected), "")

    def case(self, case_id: str, filesystem: str, batch: str) -> MountCase:
        """The cell as a case."""
        return MountCase(
            case_id,
            filesystem,
            self.device,
            self.steps,
            point=self.point,
            errno=self.errno,
            batch=batch,
        )


@cache
def usual_kind(name: str) -> str:
    """The kind of image for events in which it does not matter: valid where there is one."""
    fs = load_filesystem(name)
    return VALID if VALID in image_kinds(fs) and not unmade(fs) else "blank"


def usual_device(fs: Filesystem, *, readonly: bool = False, held: bool = False) -> Device:
    """A device with the usual image."""
    return Device(image(fs.name, usual_kind(fs.name)), readonly=readonly, held=held)


def valid_modes(fs: Filesystem) -> tuple[str, ...]:
    """The modes in which a valid image mounts."""
    return ("ro",) if fs.expected("rw") else MODES


def option_pairs(options: tuple[tuple[str, ...], ...]) -> tuple[Option, ...]:
    """Options as a filesystem's file has them."""
    return tuple((option[0], option[1] if len(option) > 1 else None) for option in options)


def step(
    fs: Filesystem,
    api: str,
    mode: str,
    *,
    fail: FaultPlan | None = None,
    expect: str | None = None,
    options: tuple[Option, ...] = (),
    until: str = "mount",
    served: bool = True,
) -> Step:
    """One mount by either API; a server goes with it where the filesystem needs one."""
    flags = ("ro",) if mode == "ro" else ()
    every = (*option_pairs(fs.options), *options)
    served = fs.served and served
    if api == "mount":
        return Mount(fs.fstype, options=every, flags=flags, served=served, fail=fail, expect=expect)
    return FsOpen(
        fs.fstype,
        options=every,
        flags=flags,
        served=served,
        until=until,
        fail=fail,
        expect=expect,
    )


def again_step(
    fs: Filesystem,
    api: str,
    mode: str,
    *,
    fail: FaultPlan | None = None,
    expect: str | None = None,
    options: tuple[Option, ...] = (),
) -> Step:
    """One reconfigure by either API."""
    flags = ("ro",) if mode == "ro" else ()
    every = (*(option_pairs(fs.options) if fs.reconfigure_options else ()), *options)
    again = Remount if api == "mount" else Reconfigure
    return again(flags=flags, options=every, fail=fail, expect=expect)
