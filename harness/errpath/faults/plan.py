"""Fault plans: which function fails, with what errno, how often."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from errpath.util.errnos import errno_name, errno_value

__all__ = ["FaultPlan"]


@dataclass(frozen=True, init=False)
class FaultPlan:
    """Make `function` return -`errno` instead of running, in the case's own task only.

    The kernel side is fail_function with task-filter
    (Documentation/fault-injection/fault-injection.rst).
    """

    # Name as in /proc/kallsyms; exported or static, built in or in a module.
    function: str
    # Name of the errno, such as "EIO"; its number is taken too.
    errno: str
    # How many calls fail before the function works again.
    times: int

    def __init__(self, function: str, errno: str | int, times: int = 1) -> None:
        name = errno_name(errno).removeprefix("-") if isinstance(errno, int) else errno
        for key, value in (("function", function), ("errno", name), ("times", times)):
            object.__setattr__(self, key, value)
        self._check()

    def _check(self) -> None:
        if not re.fullmatch(r"[A-Za-z_][\w.]*", self.function):
            raise ValueError(f"function: got {self.function!r}; expected a C function's name")
        if self.times < 1:
            raise ValueError(f"times: got {self.times}; expected at least 1")
        errno_value(self.errno)

    @property
    def id(self) -> str:
        """What is forced, as part of a case's id."""
        return f"{self.function}-{self.errno}"

    @property
    def text(self) -> str:
        """What is forced, for a report."""
        return f"{self.function} = -{self.errno}"

    def as_request(self) -> dict[str, Any]:
        """The agent's form. JSON integers are signed there: the value goes as its low 63 bits."""
        return {
            "function": self.function,
            "retval": -errno_value(self.errno),
            "times": self.times,
        }
