"""What the guest of some cases must be able to fail."""

from __future__ import annotations

from collections.abc import Iterable

from errpath.cases.case import MountCase
from errpath.faults.plan import FaultPlan

__all__ = ["failing"]


def failing(cases: Iterable[MountCase]) -> tuple[tuple[str, ...], tuple[str, ...] | None]:
    """Functions of which cases fail every call, with those at which their tasks wait, and those of
    which they fail single calls: "" is for what fails without one, such as an allocation, and None
    where no case fails any of these."""
    cases = tuple(cases)
    faults = [fault for case in cases for fault in case.faults]
    plans = [fault.function for fault in faults if isinstance(fault, FaultPlan)]
    places = [place for case in cases for place in case.places]
    single = [fault.function for fault in faults if not isinstance(fault, FaultPlan)]
    return tuple(dict.fromkeys([*plans, *places])), tuple(dict.fromkeys(single)) if single else None
