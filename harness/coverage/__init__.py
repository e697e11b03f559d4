"""Which error exits of a filesystem's mount path the crafted images reach, from KCOV."""

from __future__ import annotations

__all__: list[str] = []
