"""Steps of a case: mounting, reconfiguring and unmounting. One frozen class each, which takes only
the arguments that its system calls have."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from errpath.faults.model import Fault
from errpath.util.errnos import errno_name, errno_value

__all__ = [
    "FsOpen",
    "Meanwhile",
    "Mount",
    "Option",
    "Options",
    "Reconfigure",
    "Remount",
    "Step",
    "Umount",
]

# Key and value of a mount option; None for an option without a value.
Option = tuple[str, str | None]
# As pairs, as a mapping, or as `mount -o` takes them ("errors=remount-ro,noload").
Options = tuple[Option, ...] | Mapping[str, str | None] | str

# guests/agent/steps.c has the same names.
_FLAGS = ("ro", "nosuid", "nodev", "noexec", "sync", "dirsync", "silent")
_UNTIL = ("options", "create", "mount")
# guests/agent/pair.c, PAIR_STEPS_MAX
_MEANWHILE_MAX = 16
# What the agent must do itself, or keeps for the case's own task.
_FIRST_ONLY = ("freeze", "thaw", "keep", "restore", "readback", "probe")


@dataclass(frozen=True)
class Meanwhile:
    """What a second task does while the step's own task waits at the entry of a function.

    The first goes on when the second has ended, or stands still because it waits for the first
    (`errpath.cases.case.SecondTask`).
    """

    # Where the first waits: a function that is called where it may sleep; "hfs:hfs_btree_write" is
    # that of the module hfs, where others have one of the name.
    at: str
    # What the second does; nothing of it may be made to fail.
    steps: tuple[Step, ...]
    # The call at which the first waits, from 1.
    nth: int = 1
    # A kernel thread that comes there before the first waits in its place: a sync is mostly theirs.
    threads: bool = False

    def __post_init__(self) -> None:
        if not re.fullmatch(r"(\w+:)?[A-Za-z_][\w.]*", self.at):
            raise ValueError(f"at: got {self.at!r}; expected a C function's name")
        if not 1 <= len(self.steps) <= _MEANWHILE_MAX:
            raise ValueError(f"steps: got {len(self.steps)}; expected 1 to {_MEANWHILE_MAX}")
        if self.nth < 1:
            raise ValueError(f"nth: got {self.nth}; expected at least 1")
        for step in self.steps:
            if step.fail is not None or step.meanwhile is not None or step.op in _FIRST_ONLY:
                raise ValueError(
                    f"steps: got {step.op}; expected steps without fail= and meanwhile=, and none "
                    f"of: {', '.join(_FIRST_ONLY)}"
                )

    @property
    def id(self) -> str:
        """What is done and where, as part of a case's id."""
        nth = f"-{self.nth}" if self.nth > 1 else ""
        threads = "-threads" if self.threads else ""
        steps = "-".join(step.op for step in self.steps)
        return f"at-{self.at.replace(':', '-')}{nth}{threads}-{steps}"

    def as_request(self) -> dict[str, Any]:
        """The agent's form."""
        steps = [step.as_request() for step in self.steps]
        threads = {"threads": True} if self.threads else {}
        return {"function": self.at, "nth": self.nth, "steps": steps, **threads}


@dataclass(frozen=True, kw_only=True)
class Step:
    """One operation of the case's task, and the errno that it must give."""

    # Name of the operation in the agent's requests and in reports.
    op: ClassVar[str]
    # What fails while this step runs.
    fail: Fault | None = None
    # Name or number of the errno that it must give, "" for success; None: that of `fail`.
    expect: str | int | None = None
    # Any errno will do.
    any_errno: bool = False
    # The case goes on after any errno of it.
    carries_on: bool = False
    # What a second task does in the middle of it.
    meanwhile: Meanwhile | None = None

    def __init_subclass__(cls, *, op: str = "") -> None:
        super().__init_subclass__()
        if op:
            cls.op = op

    def __post_init__(self) -> None:
        if isinstance(self.expect, int):
            object.__setattr__(self, "expect", errno_name(self.expect).removeprefix("-"))
        if self.expect:
            errno_value(self.expected)

    @property
    def expected(self) -> str:
        """Name of the errno that it must give, "" for success."""
        if self.expect is None:
            return self.fail.errno if self.fail is not None else ""
        return str(self.expect)

    @property
    def armed(self) -> bool:
        """Whether something fails while this step runs."""
        return self.fail is not None

    @property
    def goes_on(self) -> bool:
        """Whether the case goes on after this step has failed."""
        return bool(self.expected) or self.carries_on

    @property
    def subject(self) -> str:
        """What the step works on, for reports."""
        return ""

    def arguments(self) -> dict[str, Any]:
        """The step's own arguments in the agent's form; what is empty is left out."""
        return {}

    def as_request(self) -> dict[str, Any]:
        """The agent's form (docs/agent-protocol.md)."""
        own = {key: value for key, value in self.arguments().items() if value}
        arm = self.fail.as_request().get("arm") if self.fail is not None else None
        fault = {"arm": arm} if arm else {"armed": self.armed}
        wait = {"wait": self.meanwhile.as_request()} if self.meanwhile is not None else {}
        return {"op": self.op, **fault, "go_on": self.goes_on, **own, **wait}


def _pairs(options: Options) -> tuple[Option, ...]:
    if isinstance(options, str):
        words = (word.partition("=") for word in options.split(",") if word)
        return tuple((key, value if mark else None) for key, mark, value in words)
    return tuple(options.items()) if isinstance(options, Mapping) else tuple(options)


@dataclass(frozen=True, kw_only=True)
class _Configuring(Step):
    """What mounting and reconfiguring have in common."""

    options: Options = ()
    # Mount flags: "ro", "nosuid", "nodev", "noexec", "sync", "dirsync", "silent".
    flags: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "options", _pairs(self.options))
        if not set(self.flags) <= set(_FLAGS):
            raise ValueError(f"flags: got {self.flags!r}; expected a tuple of: {', '.join(_FLAGS)}")

    @property
    def pairs(self) -> tuple[Option, ...]:
        """The options as pairs of key and value."""
        return _pairs(self.options)

    @property
    def data(self) -> str:
        """The options as mount(2) takes them."""
        return ",".join(key if value is None else f"{key}={value}" for key, value in self.pairs)

    @property
    def subject(self) -> str:
        return ",".join(self.flags) or "rw"


@dataclass(frozen=True)
class _Mounting(_Configuring):
    # Name that the filesystem registers.
    fstype: str
    # A server behind /dev/fuse answers for what is mounted (guests/agent/fuse.c).
    served: bool = False

    @property
    def subject(self) -> str:
        return f"{self.fstype} {','.join(self.flags) or 'rw'}"


@dataclass(frozen=True)
class Mount(_Mounting, op="mount"):
    """mount(2) of the case's device on /mnt."""

    def arguments(self) -> dict[str, Any]:
        return {
            "fstype": self.fstype,
            "flags": list(self.flags),
            "data": self.data,
            "served": self.served,
        }


@dataclass(frozen=True)
class FsOpen(_Mounting, op="fsopen"):
    """fsopen(2) and what follows: fsconfig(2) for each option, fsmount(2), move_mount(2)."""

    # The last thing that is done: "options" (no superblock), "create" (no mount) or "mount".
    until: str = "mount"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.until not in _UNTIL:
            raise ValueError(f"until: got {self.until!r}; expected one of: {', '.join(_UNTIL)}")

    def arguments(self) -> dict[str, Any]:
        return {
            "fstype": self.fstype,
            "flags": list(self.flags),
            "options": [list(option) for option in self.pairs],
            "until": self.until,
            "served": self.served,
        }


@dataclass(frozen=True)
class Remount(_Configuring, op="remount"):
    """mount(2) with MS_REMOUNT."""

    def arguments(self) -> dict[str, Any]:
        return {"flags": list(self.flags), "data": self.data}


@dataclass(frozen=True)
class Reconfigure(_Configuring, op="reconfigure"):
    """fspick(2), fsconfig(2) for each option, and FSCONFIG_CMD_RECONFIGURE."""

    def arguments(self) -> dict[str, Any]:
        return {"flags": list(self.flags), "options": [list(option) for option in self.pairs]}


@dataclass(frozen=True)
class Umount(Step, op="umount"):
    """umount(2) of /mnt."""

    # MNT_DETACH: the superblock ends with its last user.
    lazy: bool = False

    @property
    def subject(self) -> str:
        return "lazy" if self.lazy else ""

    def arguments(self) -> dict[str, Any]:
        return {"flags": ["lazy"] if self.lazy else []}
