"""What the text of reports needs of a symbolizer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from errpath.oracles import timeline

__all__ = ["Decoder", "Frame"]


class Frame(timeline.Frame, Protocol):
    """One source position; `errpath.kernel.symbols.symbolizer.Frame` is one."""

    @property
    def inlined(self) -> bool: ...


class Decoder(Protocol):
    """Function and offset → source positions, innermost first; () where unknown."""

    def resolve(self, function: str, offset: int, module: str | None = None) -> Sequence[Frame]: ...
