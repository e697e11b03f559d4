"""Run mount cases in a guest, one or many."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from errpath.cases.case import MountCase, Outcome
from errpath.guest.channel import AgentError, Reply
from errpath.guest.machine import Guest

__all__ = ["put_images", "run_case", "run_cases"]

# Seconds beyond a case's own for attaching its device and for the agent's own patience.
_SLACK_SECONDS = 40.0


def run_case(
    guest: Guest, case: MountCase, task: str, *, trace: bool = False, patience: float = 0.0
) -> Outcome:
    """Run `case` in a task named `task` and return what it did. `trace` and `patience` are
    `MountCase.as_request`'s.

    Raises:
        AgentError: the guest could not set the case up (device, fault).
        GuestPoisonedError: the guest did not survive it.
    """
    image_ids = put_images(guest, case)
    began = time.monotonic()
    reply = guest.call(
        "case.run",
        case.as_request(task, image_ids, trace=trace, patience=patience),
        blob=case.blob,
        seconds=case.seconds + _SLACK_SECONDS,
    )
    return _outcome(task, reply, began)


def run_cases(
    guest: Guest,
    work: Iterable[tuple[MountCase, str]],
    *,
    count: bool = False,
    settle: bool = False,
    patience: float = 0.0,
    over: Callable[[], bool] = lambda: False,
    changes: Callable[[MountCase], bool] = lambda case: False,
) -> Iterator[Outcome | AgentError]:
    """Run cases one after another, each in a task of its name; what each did, in order, or why the
    guest could not set it up. The images of all are brought into the guest first. With `count`,
    each reports what it has changed of what the kernel counts; `settle` and `patience` are
    `MountCase.as_request`'s, and `changes` says of which cases it is asked. Once `over`, no more of
    them begins: those under way are the last.

    Raises:
        GuestPoisonedError: at the case that the guest did not survive.
    """
    ready: list[tuple[MountCase, str, list[str | None]] | AgentError] = []
    for case, task in work:
        try:
            ready.append((case, task, put_images(guest, case)))
        except AgentError as error:
            ready.append(error)
    replies = guest.stream(
        "case.run",
        (
            (
                case.as_request(
                    task,
                    image_ids,
                    count=count,
                    settle=settle,
                    patience=patience,
                    changes=changes(case),
                ),
                case.seconds + _SLACK_SECONDS,
                case.blob,
            )
            for case, task, image_ids in (item for item in ready if isinstance(item, tuple))
            if not over()
        ),
    )
    began = time.monotonic()
    for item in ready:
        if isinstance(item, AgentError):
            yield item
            continue
        reply = next(replies, None)
        if reply is None:
            return
        # Several are under way at once: a case's time is from the answer before to its own.
        yield reply if isinstance(reply, AgentError) else _outcome(item[1], reply, began)
        began = time.monotonic()


def put_images(guest: Guest, case: MountCase) -> list[str | None]:
    """Bring the images of a case's devices into the guest; their names there.

    Raises:
        AgentError: there is no room for one.
    """
    return [
        guest.put_image(device.image) if device.image is not None else None
        for device in case.every_device
    ]


def _outcome(task: str, reply: Reply, began: float) -> Outcome:
    outcome = Outcome.from_reply(task, reply.values, reply.blob)
    return replace(outcome, seconds=time.monotonic() - began)
