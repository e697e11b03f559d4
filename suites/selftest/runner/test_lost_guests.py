"""QEMU killed at random moments of batches, confirmations and freezing: no verdict is lost."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from errpath.cases.case import Device, MountCase
from errpath.cases.steps import Mount, Umount
from errpath.errors import GuestLostError
from errpath.faults.plan import FaultPlan
from errpath.images.hfs import hfs
from errpath.runner.batch_runner import BatchRunner
from errpath.runner.guests import RETRIES, retried
from errpath.runner.result import Result
from errpath.runner.testbed import Testbed
from errpath.runner.verdict import Status
from errpath.util.progress import silent

pytestmark = pytest.mark.qemu

# No piece of work can be lost more often than it is tried again, whenever they fall.
_KILLS = RETRIES


def _qemu_processes() -> list[int]:
    """QEMU processes that this process has started."""
    children = [
        int(pid)
        for path in Path("/proc/self/task").glob("*/children")
        for pid in path.read_text().split()
    ]
    return [pid for pid in children if "qemu" in Path(f"/proc/{pid}/comm").read_text()]


@contextmanager
def _killer(kills: int, seed: int, *, seconds: float) -> Iterator[list[int]]:
    """Kill one of our QEMU processes every so many seconds, more or less; yields those killed."""
    chance = random.Random(seed)
    over = threading.Event()
    killed: list[int] = []

    def kill() -> None:
        while len(killed) < kills and not over.wait(chance.uniform(0, 2 * seconds)):
            for pid in _qemu_processes():
                os.kill(pid, signal.SIGKILL)
                killed.append(pid)

    thread = threading.Thread(target=kill, daemon=True)
    thread.start()
    try:
        yield killed
    finally:
        over.set()
        thread.join(20)


def _cases() -> list[MountCase]:
    image = Device(hfs.volume().image())
    cases = [
        MountCase(f"clean-{number}", "hfs", image, (Mount("hfs"), Umount()))
        for number in range(100)
    ]
    step = Mount("hfs", fail=FaultPlan("setup_bdev_super", "EIO"), expect="EIO")
    leak = MountCase("leaks", "hfs", image, (step,))
    wrong = replace(cases[0], id="wrong", steps=(Mount("hfs", expect="EIO"),))
    return [*cases[:50], leak, wrong, *cases[50:]]


def test_every_case_has_its_verdict(make_testbed: Callable[..., Testbed]) -> None:
    testbed = make_testbed(patches=["hfs-kill-sb-leak.patch"])
    functions = ("setup_bdev_super",)
    testbed.check()
    testbed.build(("hfs",))

    def run() -> dict[str, Result]:
        runner = BatchRunner(
            testbed.guest_source(("hfs",), functions),
            confirm=testbed.guest_source(("hfs",), functions, confirm=True),
            progress=silent(),
        )
        try:
            return runner.run(_cases())
        finally:
            runner.close()

    try:
        began = time.monotonic()
        undisturbed = run()
        seconds = (time.monotonic() - began) / _KILLS
        with _killer(_KILLS, seed=1, seconds=seconds) as killed:
            results = run()
    finally:
        testbed.close()
    errors = [r.verdict.reasons for r in results.values() if r.verdict.status is Status.ERROR]
    assert not errors, errors[0]
    assert killed, "no QEMU was killed"
    failed = {name for name, result in results.items() if result.verdict.status is Status.FAIL}
    assert failed == {"leaks", "wrong"}
    assert results.keys() == undisturbed.keys()


def test_a_guest_that_is_killed_while_it_is_frozen_is_made_again(
    make_testbed: Callable[..., Testbed],
) -> None:
    """A command line of its own, so that no frozen guest of it is in the cache."""
    testbed = make_testbed(append=[f"errpath_test={os.getpid()}.{random.random()}"])
    testbed.check()
    testbed.build(("hfs",))
    lost = 0

    def prepare() -> None:
        nonlocal lost
        try:
            testbed.guests.prepare(("hfs",), (), fast=True).guest.close()
        except GuestLostError:
            lost += 1
            raise

    with _killer(2, seed=3, seconds=0.5) as killed:
        retried(prepare)
    testbed.close()
    assert len(killed) == 2
    assert lost == 2
