"""Crafted images of hfs and hfsplus: each drives one exit of the mount path, by its bytes alone.

Asserted are the errno, what the kernel says, that what mounts reads as it was written, no crash and
no leak.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from errpath.cases import crafted
from errpath.cases.case import MountCase

_PLAIN = tuple(crafted.crafted_cases())
_FORCED = tuple(crafted.forced_cases())
_KNOWN = tuple(case for _, case in crafted.known_issue_cases())


@pytest.mark.parametrize("case", _PLAIN, ids=[case.id for case in _PLAIN])
def test_crafted_image(case: MountCase, expect_pass: Callable[[], None]) -> None:
    expect_pass()


@pytest.mark.parametrize("case", _FORCED, ids=[case.id for case in _FORCED])
def test_crafted_image_with_a_forced_failure(
    case: MountCase, expect_pass: Callable[[], None]
) -> None:
    expect_pass()


@pytest.mark.parametrize("case", _KNOWN, ids=[case.id for case in _KNOWN])
def test_known_issue(case: MountCase, expect_pass: Callable[[], None]) -> None:
    """What the default kernel gets wrong today (suites/known-issues.yaml, docs/findings)."""
    expect_pass()
