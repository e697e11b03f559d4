"""Mount cases and what came of them."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from errpath.cases.steps import Step
from errpath.faults.model import Fault, parts
from errpath.faults.plan import FaultPlan
from errpath.images import Image
from errpath.kernel.features.change import Change
from errpath.util.errnos import errno_name

__all__ = ["Alternative", "Device", "MountCase", "Outcome", "SecondTask", "StepOutcome"]

# guests/modules/wait/errpath_wait.c, PLACES_MAX
_PLACES_MAX = 16
# guests/agent/agent.h, DEVICES_MAX
_DEVICES_MAX = 8


@dataclass(frozen=True)
class Device:
    """What the case mounts: an image on a loop device, a bare device node, or nothing."""

    # A fresh copy of this image is attached for every run.
    image: Image | None = None
    # Written over the copy: (offset, bytes), so that many variants of one image travel as deltas.
    pieces: tuple[tuple[int, bytes], ...] = ()
    # Bytes of the device where it is not as long as the image; None keeps the image's.
    size: int | None = None
    # BLKROSET: the device refuses to be opened for writing.
    readonly: bool = False
    # Another opener holds the device exclusively while the steps run.
    held: bool = False
    # Logical block size, bytes; 0 for the driver's default.
    block_size: int = 0
    # BLKBSZSET: block size of the device's page cache, bytes; 0 leaves it.
    soft_block_size: int = 0
    # Major and minor of a block node, with or without a driver behind it.
    node: tuple[int, int] | None = None
    # Of a further device of a case: the steps find it as /dev/errpath/NAME.
    name: str = ""

    def __post_init__(self) -> None:
        if self.name and not re.fullmatch(r"[\w-]{1,32}", self.name):
            raise ValueError(f"name: got {self.name!r}; expected letters, digits, _ and -")

    def as_request(self, image_id: str | None) -> dict[str, Any]:
        """The agent's form (guests/agent/device.c)."""
        if self.node is not None:
            return {"node": list(self.node)}
        if image_id is None:
            return {}
        request: dict[str, Any] = {
            "image": image_id,
            "readonly": self.readonly,
            "held": self.held,
            "block_size": self.block_size,
        }
        if self.soft_block_size:
            request["soft_block_size"] = self.soft_block_size
        if self.pieces:
            request["extents"] = [[offset, len(data)] for offset, data in self.pieces]
        if self.size is not None:
            request["size"] = self.size
        return request

    @property
    def content(self) -> Image | None:
        """What the device holds before the case, changes included."""
        if self.image is None or (self.size is None and not self.pieces):
            return self.image
        image = self.image
        if self.size is not None and self.size < image.size:
            image = image.truncated(self.size)
        elif self.size is not None:
            image = image.placed(0, self.size)
        return image.patched_all(self.pieces)

    @property
    def blob(self) -> bytes:
        """The bytes of `pieces`, which go beside the request."""
        return b"".join(data for _, data in self.pieces)


@dataclass(frozen=True)
class Alternative:
    """What a case does and expects on a kernel that has a change, or that lacks one."""

    change: Change
    steps: tuple[Step, ...]
    checks: tuple[Callable[[Outcome], str], ...] = ()
    errno: str = ""
    without: bool = False


@dataclass(frozen=True)
class MountCase:
    """A device and steps, of which some may be made to fail."""

    id: str
    filesystem: str
    device: Device
    steps: tuple[Step, ...]
    # What the case is about, for markers: the point of failure and the errno that it forces.
    point: str = "none"
    errno: str = ""
    # Cases of the same batch share guests, and no others: what one of them breaks, only they lose.
    batch: str = ""
    # Seconds of wall time, in the default guest, after which the task counts as hung.
    seconds: float = 20.0
    # What else must hold of the outcome: each says what is wrong, or nothing.
    checks: tuple[Callable[[Outcome], str], ...] = ()
    # It is known to take its guest down: it shares none with cases that do not.
    exclusive: bool = False
    # Further devices, each with a name: an external log, a second member of a volume.
    devices: tuple[Device, ...] = ()
    # What to collect of the code that the case's task runs (needs a kernel with KCOV): "blocks",
    # the addresses of its basic blocks, or "edges" between them (see Outcome.coverage).
    coverage: str = ""
    # What it is on kernels that have a change, or that lack one; one applies at most. Steps, checks
    # and errno above are for kernels to which none applies.
    alternatives: tuple[Alternative, ...] = ()
    # What is not as the case says, on the kernel that it runs on; for reports.
    differs: str = ""

    def __post_init__(self) -> None:
        if not self.steps:
            raise ValueError(f"case {self.id}: expected at least one step")
        if len(self.faults) > 1 and any(isinstance(fault, FaultPlan) for fault in self.faults):
            raise ValueError(
                f"case {self.id}: expected one fault plan, in whatever steps it is armed"
            )
        if len({*self.places}) > _PLACES_MAX:
            raise ValueError(f"case {self.id}: waits at more than {_PLACES_MAX} functions")
        planned = {fault.function for fault in self.faults if isinstance(fault, FaultPlan)}
        if planned & {*self.places}:
            raise ValueError(
                f"case {self.id}: {', '.join(planned)} fails and is waited at; expected Call(…) "
                "for what fails, or another place"
            )
        names = [device.name for device in self.devices]
        if len({*names, ""}) <= len(names) or len(names) > _DEVICES_MAX:
            text = f"{_DEVICES_MAX} further devices at most, each with a name of its own"
            raise ValueError(f"case {self.id}: expected {text}")

    @property
    def every_device(self) -> tuple[Device, ...]:
        """The one that is mounted, and the further ones."""
        return (self.device, *self.devices)

    @property
    def blob(self) -> bytes:
        """What goes beside the request: the pieces of all devices."""
        return b"".join(device.blob for device in self.every_device)

    @property
    def faults(self) -> tuple[Fault, ...]:
        """What fails in the steps that are armed, each once. Steps that have the same one share its
        counts."""
        forced = (step.fail for step in self.steps if step.fail is not None)
        return tuple(dict.fromkeys(part for fault in forced for part in parts(fault)))

    @property
    def every_step(self) -> tuple[Step, ...]:
        """Its own steps and those of second tasks, each behind the step that waits for it."""
        steps: list[Step] = []
        for step in self.steps:
            steps += (step, *(step.meanwhile.steps if step.meanwhile is not None else ()))
        return tuple(steps)

    @property
    def places(self) -> tuple[str, ...]:
        """The functions at which its task waits for a second one."""
        return tuple(step.meanwhile.at for step in self.steps if step.meanwhile is not None)

    @property
    def fault(self) -> Fault | None:
        """What the first armed step has."""
        return next((step.fail for step in self.steps if step.fail is not None), None)

    def missed(self, outcome: Outcome) -> Fault | None:
        """A fault that did not hit in the steps that ran; None where all did."""
        if not outcome.fired:
            return self.fault
        counts: dict[Fault, int] = {}
        for step, got in zip(self.steps, outcome.steps, strict=False):
            if step.fail is not None and got.fired is not None:
                counts[step.fail] = max(counts.get(step.fail, 0), got.fired)
        return next((fault for fault, count in counts.items() if not count), None)

    def as_request(
        self,
        task: str,
        image_ids: Sequence[str | None],
        *,
        trace: bool = False,
        count: bool = False,
        settle: bool = False,
        patience: float = 0.0,
        changes: bool = False,
    ) -> dict[str, Any]:
        """The agent's form (guests/agent/case.c), with the names that the images of `every_device`
        have in the guest. `trace` switches the tracer on. `count` asks what has changed of what the
        kernel counts, with `settle` once what waits for RCU or for reclaim has come back. A task
        that stands still for `patience` seconds counts as hung; 0 leaves it its own `seconds`.
        `changes` asks what the device holds otherwise than before."""
        further = [
            {**device.as_request(image_id), "name": device.name}
            for device, image_id in zip(self.devices, image_ids[1:], strict=True)
        ]
        return {
            "name": task,
            "trace": trace,
            "device": self.device.as_request(image_ids[0]),
            **({"devices": further} if further else {}),
            "fault": self.fault.as_request() if isinstance(self.fault, FaultPlan) else None,
            "steps": [step.as_request() for step in self.steps],
            "timeout_ms": int(self.seconds * 1000),
            **({"coverage": self.coverage} if self.coverage else {}),
            **({"count": True} if count else {}),
            **({"settle": True} if settle else {}),
            **({"changes": True} if changes else {}),
            **({"patience_ms": int(patience * 1000)} if patience else {}),
        }


@dataclass(frozen=True)
class SecondTask:
    """What a second task did while a step waited (`errpath.cases.steps.Meanwhile`)."""

    pid: int
    steps: tuple[StepOutcome, ...] = ()
    # How many of its steps had ended when the first task went on.
    before: int = 0
    # The first went on because the second stood still: that waited for the first.
    waited: bool = False
    # It did not end; its kernel stack where the kernel tells.
    hung: bool = False
    stack: str = ""
    # Signal that ended it, and its exit status: not 0 where a step could not even be tried.
    signal: int | None = None
    status: int = 0

    @classmethod
    def from_reply(cls, values: Mapping[str, Any]) -> SecondTask:
        """From the agent's reply to case.run."""
        return cls(
            pid=int(values["pid"]),
            steps=tuple(map(_step, values["steps"])),
            before=int(values["before"]),
            waited=bool(values["waited"]),
            hung=bool(values.get("hung", False)),
            stack=str(values.get("stack", "")),
            signal=values.get("signal"),
            status=int(values.get("status", 0)),
        )


@dataclass(frozen=True)
class StepOutcome:
    """What one step gave."""

    # Positive errno, 0 for success.
    errno: int
    # The system call that gave it, or the last one.
    syscall: str
    # The fs_context's own log.
    log: tuple[str, ...] = ()
    # How often the step's own fault has hit, with what it did in the steps right before that have
    # the same one; None without one, or where the case has a fault plan.
    fired: int | None = None

    def __str__(self) -> str:
        log = f" ({'; '.join(self.log)})" if self.log else ""
        return f"{self.syscall}: {errno_name(self.errno)}{log}"


@dataclass(frozen=True)
class Outcome:
    """What a case did, before anything is said about leaks."""

    # Name and pid of the case's task: they are on every record of what it allocated.
    task: str
    pid: int
    steps: tuple[StepOutcome, ...] = ()
    # How often the fault hit; None where there was no fault.
    fired: int | None = None
    # Signal that ended the task: the kernel kills a task that oopses.
    signal: int | None = None
    # The task did not end in time; its kernel stack where the kernel gives it.
    hung: bool = False
    stack: str = ""
    # Second tasks, by the number of the step in which they ran; also of a step that did not end.
    second_tasks: Mapping[int, SecondTask] = field(default_factory=dict)
    # Why a step did not wait for its second task: "armed", it did not come to the place, or
    # "atomic", it may not sleep there.
    no_wait: str = ""
    # It slept for so many seconds without being woken, in a kernel with nothing else to do; 0 where
    # its time was up.
    stood_still: float = 0.0
    # Mounts that the case left, and errno of an exclusive open of its device afterwards.
    left_mounted: int = 0
    device_errno: int = 0
    # What the kernel printed, from the device's attachment to its end; a digit for each line, its
    # level; and how many messages it overwrote before they were read.
    kmsg: str = ""
    kmsg_levels: str = ""
    kmsg_lost: int = 0
    # The same of the time since the case before in the same guest, or since boot.
    kmsg_before: str = ""
    kmsg_before_levels: str = ""
    kmsg_before_lost: int = 0
    # What it printed from then to the next case in the same guest, where there was one.
    kmsg_after: str = ""
    kmsg_after_levels: str = ""
    # Sectors of the device that are not as they were before the case, as (offset, bytes), where it
    # was asked for; and whether there are more.
    changed: tuple[tuple[int, bytes], ...] = ()
    changed_cut: bool = False
    # What the filesystem's checker has against the device afterwards (`errpath.filesystems.fsck`);
    # empty where it passed or was not asked.
    fsck: str = ""
    # Why the checker could not be run.
    unchecked: str = ""
    # The agent's exit status for the task: not 0 where a step could not even be tried.
    status: int = 0
    # What was read back (see harness/errpath/cases/read_back.py).
    entries: bytes = b""
    # Addresses of the basic blocks that the task ran; or, of each two that it ran one after the
    # other, the lower 32 bits of both addresses, the first one's above the second one's.
    coverage: tuple[int, ...] = ()
    # What has changed of what the kernel counts, by source, where it was asked for
    # (`errpath.oracles.counts`).
    counts: Mapping[str, str] = field(default_factory=dict)
    # Of wall time, its transfer to the guest included.
    seconds: float = 0.0
    # When it began, seconds of the guest's monotonic clock.
    began: float = 0.0

    @property
    def pids(self) -> tuple[int, ...]:
        """Of all its tasks, which have one name."""
        return (self.pid, *(second.pid for second in self.second_tasks.values()))

    @classmethod
    def from_reply(cls, task: str, values: Mapping[str, Any], blob: bytes = b"") -> Outcome:
        """From the agent's reply to case.run."""
        size = int(values.get("entries", 0))
        second_tasks = {
            int(told["step"]): SecondTask.from_reply(told) for told in values.get("second", ())
        }
        code = size + 8 * int(values.get("coverage", 0))
        return cls(
            task=task,
            pid=int(values["pid"]),
            steps=tuple(map(_step, values.get("steps", ()))),
            second_tasks=second_tasks,
            no_wait=str(values.get("no_wait", "")),
            fired=values.get("fired"),
            signal=values.get("signal"),
            hung=bool(values.get("hung", False)),
            stack=str(values.get("stack", "")),
            stood_still=int(values.get("stood_still_ms", 0)) / 1000,
            left_mounted=int(values.get("left_mounted", 0)),
            device_errno=int(values.get("device_errno", 0)),
            kmsg=str(values.get("kmsg", "")),
            kmsg_levels=str(values.get("kmsg_levels", "")),
            kmsg_lost=int(values.get("kmsg_lost", 0)),
            kmsg_before=str(values.get("kmsg_before", "")),
            kmsg_before_levels=str(values.get("kmsg_before_levels", "")),
            kmsg_before_lost=int(values.get("kmsg_before_lost", 0)),
            status=int(values.get("status", 0)),
            entries=blob[:size],
            coverage=struct.unpack(f">{(code - size) // 8}Q", blob[size:code]),
            changed=tuple(_pieces(values.get("changed", ()), blob[code:])),
            changed_cut=bool(values.get("changed_cut", False)),
            counts=dict(values.get("counts", {})),
            began=int(values.get("began_ms", 0)) / 1000,
        )


def _pieces(places: Iterable[Sequence[int]], data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    for offset, length in places:
        yield offset, data[at : at + length]
        at += length


def _step(values: Mapping[str, Any]) -> StepOutcome:
    lines: Sequence[str] = str(values["log"]).splitlines()
    errno, syscall = int(values["errno"]), str(values["syscall"])
    return StepOutcome(errno, syscall, tuple(lines), values.get("fired"))
