"""Source positions for a report's frames, from a kernel that errpath has built."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import replace

from errpath.errors import SourceError
from errpath.kernel import BuiltKernel, BuiltModule, KernelStore, Symbolizer
from errpath.kernel.symbols.symbolizer import Frame
from errpath.oracles.failure import Failure
from errpath.oracles.frames import base_name

__all__ = ["modules_named", "symbolised", "with_inlined"]

# Each function that a text has with an offset, and the frames there, innermost first.
Frames = Callable[[str], Iterable[tuple[str, tuple[Frame, ...]]]]

_MODULE = re.compile(r"\+0x[0-9a-f]+(?:/0x[0-9a-f]+)? \[(\w+)")


def modules_named(
    failures: Iterable[Failure], kernel: BuiltKernel, store: KernelStore
) -> tuple[BuiltModule, ...]:
    """The modules that reports' frames name, as far as this kernel has them."""
    names = sorted({name for one in failures for name in _MODULE.findall(one.evidence)})
    found: dict[str, BuiltModule] = {}
    for name in names:
        try:
            found |= {module.name: module for module in store.modules(kernel, (name,))}
        except SourceError:
            # Another configuration than the reporter's: the frame stays as it is.
            continue
    return tuple(found.values())


def symbolised(failure: Failure, symbolizer: Symbolizer) -> Failure:
    """A failure whose evidence and place have file and line, inlined functions included."""
    evidence = symbolizer.decode(failure.evidence)
    name = failure.title.rpartition(" in ")[2]
    place = re.search(rf"(?m)\b{re.escape(name)}(?:\.\w+)*\+0x[^(\n]*\(([^)\n]+)\)", evidence)
    # The function's own line stands behind those of what is inlined in it.
    where = failure.where or (place[1].split()[-1] if place is not None else "")
    return replace(failure, evidence=evidence, where=where)


def with_inlined(failure: Failure, frames: Frames) -> Failure:
    """A failure whose stack has the functions, too, that the compiler inlined on it. Another
    compiler, or the checks of another configuration, inline other ones."""
    inlined: dict[str, list[str]] = {}
    for name, found in frames(failure.evidence):
        names = [base_name(frame.function) for frame in found if frame.inlined]
        # The innermost place of a function counts: a trace may have it twice.
        inlined.setdefault(base_name(name), names)
    functions = [
        name for function in failure.functions for name in (*inlined.get(function, ()), function)
    ]
    return replace(failure, functions=tuple(functions))
