"""Mounts of hfs and hfsplus that fail, on purpose or by themselves, and mounts that do not.

Each case asserts the errno, that the fault fired, that nothing crashed and that nothing leaked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pytest

from harness.cases import MountCase
from suites.hfs import matrix


def _cases(cases: Iterable[MountCase]) -> pytest.MarkDecorator:
    found = list(cases)
    return pytest.mark.parametrize("case", found, ids=[case.id for case in found])


@_cases(matrix.fault_cases())
def test_forced_failure(case: MountCase, expect_pass: Callable[[], None]) -> None:
    expect_pass()


@_cases(matrix.natural_cases())
def test_natural_failure(case: MountCase, expect_pass: Callable[[], None]) -> None:
    expect_pass()


@_cases(matrix.image_cases())
def test_image(case: MountCase, expect_pass: Callable[[], None]) -> None:
    expect_pass()


@_cases(matrix.remount_cases())
def test_remount(case: MountCase, expect_pass: Callable[[], None]) -> None:
    expect_pass()


@_cases(matrix.option_cases())
def test_options(case: MountCase, expect_pass: Callable[[], None]) -> None:
    expect_pass()


@_cases(matrix.context_cases())
def test_context(case: MountCase, expect_pass: Callable[[], None]) -> None:
    expect_pass()


@_cases(matrix.repeat_cases())
def test_repeat(case: MountCase, expect_pass: Callable[[], None]) -> None:
    expect_pass()
