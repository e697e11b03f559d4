"""How functions of a test bed's kernel fail, from where its debug information says they are."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache

from errpath.cases.case import MountCase
from errpath.errors import UsageError
from errpath.faults.model import Call
from errpath.faults.shapes import Shape, check_retval, definition_at, shape_of
from errpath.kernel.symbols.symbolizer import Symbolizer
from errpath.runner.testbed import Testbed

__all__ = ["call_shape", "impossible_calls"]


def call_shape(
    testbed: Testbed, symbolizer: Symbolizer, modules: Iterable[str | None], function: str
) -> Shape:
    """How a function fails that one of some modules has; None stands for the kernel itself."""
    for module in modules:
        frames = symbolizer.resolve(function, 0, module, exact=True)
        if frames:
            place = frames[-1]
            text = testbed.source(place.file) or ""
            return shape_of(definition_at(text, function, place.line), function)
    return Shape("", (), "its definition was not found in the source")


def impossible_calls(testbed: Testbed, cases: Sequence[MountCase]) -> dict[str, str]:
    """By id, cases that have a function return what its type does not allow, each with why. What
    is not found in the source is let through: the guest knows whether there is such a function."""
    calls = {case.id: [f for f in case.faults if isinstance(f, Call)] for case in cases}
    filesystems = tuple(dict.fromkeys(case.filesystem for case in cases if calls[case.id]))
    if not filesystems:
        return {}
    names = {module.name for name in filesystems for module in testbed.modules(name)}
    found: dict[str, str] = {}
    with testbed.symbolizer(filesystems) as symbolizer:

        @cache
        def shape(function: str) -> Shape:
            return call_shape(testbed, symbolizer, (*sorted(names), None), function)

        for case_id, some in calls.items():
            for call in some:
                try:
                    if shape(call.function).type:
                        check_retval(call.function, shape(call.function), call.value)
                except UsageError as error:
                    found[case_id] = str(error)
    return found
