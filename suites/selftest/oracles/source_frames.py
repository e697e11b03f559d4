"""Source positions as a symbolizer gives them, for tests."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["SourceFrame"]


@dataclass(frozen=True)
class SourceFrame:
    """One position."""

    function: str
    file: str
    line: int
