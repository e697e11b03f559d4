"""What the text of reports needs of a symbolizer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from errpath.oracles import timeline

__all__ = ["Decoder", "Frame"]


class Frame(timeline.Frame, Protocol):
    """One source position; `errpath.kernel.symbols.symbolizer.Frame` is one."""

    @property
    def inlined(self) -> bool:
        """Whether the function was inlined into that of the next frame."""


class Decoder(Protocol):
    """Function and offset → source positions, innermost first; () where unknown."""

    def resolve(self, function: str, offset: int, module: str | None = None) -> Sequence[Frame]:
        """The positions of a return address; `module` where several have the function."""
