"""Kernels on which every mount of hfs goes wrong: each case has its verdict, soon."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

import pytest

from errpath.cases.case import MountCase
from errpath.cases.lifecycle import Matrix
from errpath.cases.steps import FsOpen, Mount
from errpath.oracles.failure import HANG, LEAK, OOPS, RESOURCE_LEAK, Kind
from errpath.runner.batch_runner import BatchRunner
from errpath.runner.guests import Boot, PreparedGuest
from errpath.runner.result import Result
from errpath.runner.testbed import Testbed
from errpath.runner.verdict import Status, Verdict
from errpath.util.progress import silent

pytestmark = [
    *(pytest.mark.qemu, pytest.mark.kernel_build),
    pytest.mark.xdist_group("guests"),
]

# Guests that may be used; a guest for each case that fails would be several times as many.
_GUESTS = 16
_SECONDS = 60.0
# Cases of the short run.
_FEW = 24


def _mounts(case: MountCase) -> int:
    return sum(isinstance(step, Mount | FsOpen) for step in case.every_step)


@pytest.mark.by_hand
@pytest.mark.parametrize(
    ("patch", "kind"),
    [
        ("every-mount-hangs.patch", HANG),
        ("every-mount-oopses.patch", OOPS),
        ("every-mount-leaks.patch", LEAK),
    ],
)
def test_a_broken_kernel_answers_soon(
    make_testbed: Callable[..., Testbed], patch: str, kind: Kind
) -> None:
    cases = Matrix().cases(("hfs",))
    failed = _failed(make_testbed(patches=[patch]), cases, kind)
    assert len(failed) > 20


def test_hangs_are_known_after_a_few(make_testbed: Callable[..., Testbed]) -> None:
    """In CI: mounts that fail before the hang, and mounts that meet it."""
    every = Matrix().cases(("hfs",))
    cases = [case for case in every if case.point in ("setup_bdev_super", "image")][:_FEW]
    failed = _failed(make_testbed(patches=["every-mount-hangs.patch"]), cases, HANG)
    assert len(failed) > 5


def _failed(testbed: Testbed, cases: Sequence[MountCase], kind: Kind) -> list[Verdict]:
    """Verdicts of the cases that fail on a kernel on which every mount fails in one way: soon, in
    few guests, and of no case that is sound."""
    functions = [case.fault.function for case in cases if case.fault is not None]
    testbed.build(("hfs",))
    boots = 0
    source = testbed.guest_source(("hfs",), tuple(dict.fromkeys(functions)))
    confirm = testbed.guest_source(("hfs",), tuple(dict.fromkeys(functions)), confirm=True)
    # Not timed: the frozen guest.
    source().guest.close()

    def counted(boot: Boot) -> Boot:
        def guest() -> PreparedGuest:
            nonlocal boots
            boots += 1
            return boot()

        return guest

    runner = BatchRunner(
        counted(source), confirm=counted(confirm), progress=silent(), count=True, first=16
    )
    began = time.monotonic()
    red: list[float] = []

    def publish(results: Mapping[str, Result]) -> None:
        if any(result.verdict.status is Status.FAIL for result in results.values()):
            red.append(time.monotonic() - began)

    try:
        results = runner.run(cases, publish)
    finally:
        runner.close()
    seconds = time.monotonic() - began
    verdicts = [result.verdict for result in results.values()]
    assert {one.status for one in verdicts} == {Status.PASS, Status.FAIL}
    # References to NLS tables stay on a sound kernel too.
    failed = [
        one
        for one in verdicts
        if one.status is Status.FAIL and one.failures[0].kind is not RESOURCE_LEAK
    ]
    assert {one.failures[0].kind for one in failed} == {kind}
    # What fails before fill_super, and is not mounted again, is sound.
    before = {case.id for case in cases if case.point == "setup_bdev_super" and _mounts(case) == 1}
    assert before
    assert not before & {one.case.id for one in failed}
    assert boots <= _GUESTS
    assert red[0] < _SECONDS / 2
    assert seconds < _SECONDS
    return failed
