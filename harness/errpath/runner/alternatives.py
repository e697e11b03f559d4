"""What a case is on one kernel: what it expects, and what fails where a function is missing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from errpath.cases.case import Alternative, MountCase
from errpath.cases.steps import Step
from errpath.faults.plan import FaultPlan
from errpath.kernel.features.change import Change, Code, has_change
from errpath.kernel.features.table import Feature
from errpath.runner.verdict import Verdict, infrastructure_error, left_out

__all__ = ["Settler"]


class Settler:
    """Settles what cases expect of one kernel. Each change is looked for once."""

    def __init__(
        self, code: Callable[[str], Code], stand_ins: Mapping[str, Feature] | None = None
    ) -> None:
        """`code` takes a filesystem: two may have functions of one name. `stand_ins` are functions
        that the kernel does not have, with the entry that says what fails in their place."""
        self._code = code
        self._stand_ins = stand_ins or {}
        self._found: dict[tuple[str, Change], bool | None] = {}

    def settled(self, case: MountCase) -> MountCase | Verdict:
        """A case with the one expectation that applies to the kernel, or the verdict that there is
        none: SKIP where there is nothing to decide by, ERROR where two apply."""
        if not case.alternatives:
            return self._with_stand_in(case)
        answers = {one: self._has(case.filesystem, one.change) for one in case.alternatives}
        chosen = _chosen(case, answers)
        return chosen if isinstance(chosen, Verdict) else self._with_stand_in(chosen)

    def _with_stand_in(self, case: MountCase) -> MountCase:
        fault = case.fault
        feature = self._stand_ins.get(fault.function) if isinstance(fault, FaultPlan) else None
        if feature is None:
            return case
        steps = tuple(_failing_instead(step, feature.instead) for step in case.steps)
        text = f"{feature.instead} fails in place of {feature.symbol}: {feature.differs}"
        return replace(case, steps=steps, differs=text)

    def _has(self, filesystem: str, change: Change) -> bool | None:
        key = (filesystem, change)
        if key not in self._found:
            self._found[key] = has_change(self._code(filesystem), change)
        return self._found[key]


def _failing_instead(step: Step, function: str) -> Step:
    fault = step.fail
    if not isinstance(fault, FaultPlan):
        return step
    return replace(step, fail=FaultPlan(function, fault.errno, fault.times))


def _chosen(case: MountCase, answers: Mapping[Alternative, bool | None]) -> MountCase | Verdict:
    unknown = [one.change for one, answer in answers.items() if answer is None]
    if unknown:
        reason = f"what it expects depends on {unknown[0].commit!r}; nothing to decide by"
        return left_out(case, f"{reason}: {unknown[0].mark}")
    there = [one for one, answer in answers.items() if answer is not one.without]
    if len(there) > 1:
        both = " and ".join(repr(one.change.commit) for one in there[:2])
        return infrastructure_error(case, f"two expectations apply: {both}; expected one")
    if not there:
        return replace(case, alternatives=())
    (one,) = there
    return replace(case, steps=one.steps, checks=one.checks, errno=one.errno, alternatives=())
