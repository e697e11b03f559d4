"""Jiffies of a guest as seconds."""

from __future__ import annotations

import errno

import pytest

from errpath.guest.channel import AgentError
from errpath.oracles.jiffies import Moment, read_moment, seconds_at

_TEXT = b"""Timer List Version: v0.10
HRTIMER_MAX_CLOCK_BASES: 8
now at 12500000000 nsecs

cpu: 0
 clock 0:
  .base:       0000000000000000
  .nohz_mode      : 2
  .last_jiffies   : 4294895419
jiffies: 4294895421
"""


class _Guest:
    def __init__(self, text: bytes | None) -> None:
        self._text = text

    def read_file(self, path: str) -> bytes:
        if self._text is None:
            raise AgentError("file.read", errno.ENOENT, path)
        return self._text


def test_one_moment_is_read() -> None:
    assert read_moment(_Guest(_TEXT)) == Moment(12.5, 4294895421)


@pytest.mark.parametrize("text", [None, b"", b"now at 5 nsecs\n"])
def test_a_kernel_that_does_not_tell_is_no_error(text: bytes | None) -> None:
    assert read_moment(_Guest(text)) is None


@pytest.mark.parametrize("rate", [100, 250, 300, 1000])
def test_the_rate_is_measured_and_rounded(rate: int) -> None:
    # A jiffy more or less between two readings does not matter.
    first, second = Moment(10.0, 1000), Moment(10.5, 1000 + rate // 2 + 1)
    assert seconds_at(1001 + rate // 2 - 4 * rate, first, second) == pytest.approx(6.5)


def test_moments_that_are_too_near_say_nothing() -> None:
    assert seconds_at(1000, Moment(10.0, 1000), Moment(10.01, 1002)) is None
