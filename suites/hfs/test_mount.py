"""Mounts of hfs and hfsplus that fail, on purpose or by themselves, and mounts that do not.

Each case asserts the errno, that the fault fired, that nothing crashed and that nothing leaked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

import pytest

from errpath.cases.case import MountCase
from errpath.runner.options import Choice
from errpath.runner.verdict import Verdict

from ..known import expect_pass_or_known
from . import matrix


@pytest.fixture
def judge(
    verdict: Verdict, expect_pass: Callable[[], None], kernel_choice: Choice
) -> Callable[[], None]:
    """The test's last word: a pass, or a known issue."""
    return partial(expect_pass_or_known, kernel_choice, verdict, expect_pass)


def _cases(cases: Iterable[MountCase]) -> pytest.MarkDecorator:
    found = list(cases)
    return pytest.mark.parametrize("case", found, ids=[case.id for case in found])


@_cases(matrix.fault_cases())
def test_forced_failure(case: MountCase, judge: Callable[[], None]) -> None:
    judge()


@_cases(matrix.natural_cases())
def test_natural_failure(case: MountCase, judge: Callable[[], None]) -> None:
    judge()


@_cases(matrix.image_cases())
def test_image(case: MountCase, judge: Callable[[], None]) -> None:
    judge()


@_cases(matrix.remount_cases())
def test_remount(case: MountCase, judge: Callable[[], None]) -> None:
    judge()


@_cases(matrix.option_cases())
def test_options(case: MountCase, judge: Callable[[], None]) -> None:
    judge()


@_cases(matrix.context_cases())
def test_context(case: MountCase, judge: Callable[[], None]) -> None:
    judge()


@_cases(matrix.repeat_cases())
def test_repeat(case: MountCase, judge: Callable[[], None]) -> None:
    judge()
