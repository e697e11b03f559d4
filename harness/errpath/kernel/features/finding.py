"""What a probe found out about one feature of one kernel."""

from __future__ import annotations

import enum
from dataclasses import dataclass

__all__ = ["Finding", "Presence"]


class Presence(enum.Enum):
    """Whether a kernel has a feature."""

    PRESENT = "present"
    # The kernel has no such thing.
    ABSENT = "absent"
    # The probe failed for a reason that does not say whether the kernel has it.
    BROKEN = "broken"


@dataclass(frozen=True)
class Finding:
    """One feature of one kernel."""

    # Of the table's entry.
    name: str
    presence: Presence
    # Why it is absent, or what the compiler printed; empty where it is present.
    why: str = ""

    @property
    def present(self) -> bool:
        """Whether the kernel has it."""
        return self.presence is Presence.PRESENT

    def __str__(self) -> str:
        return f"{self.name} ({self.presence.value}: {self.why})" if self.why else self.name
