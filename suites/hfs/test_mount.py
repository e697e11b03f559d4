"""Mounts of hfs and hfsplus that fail, on purpose or by themselves, and mounts that do not.

Each case asserts the errno, that the fault fired, that nothing crashed and that nothing leaked.
The life cycle of suites/killsb (`errpath.cases.lifecycle`), by more errnos and images.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from errpath.cases.case import MountCase
from errpath.cases.lifecycle import BY_POINT, Matrix

MATRIX = Matrix(
    errnos=("EIO", "ENOMEM", "EACCES", "EBUSY", "EINVAL", "ENXIO"),
    images=("valid", "blank", "broken", "truncated"),
    ids=BY_POINT,
    image_names={"broken": "wrong_magic"},
    batches=False,
)
CASES = MATRIX.cases(("hfs", "hfsplus"))


@pytest.mark.parametrize("case", CASES, ids=[case.id for case in CASES])
def test_mount(case: MountCase, expect_pass: Callable[[], None]) -> None:
    expect_pass()
