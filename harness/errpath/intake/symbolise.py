"""Source positions for a report's frames, from a kernel that errpath has built."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace

from errpath.errors import SourceError
from errpath.kernel import BuiltKernel, BuiltModule, KernelStore, Symbolizer
from errpath.oracles.failure import Failure

__all__ = ["modules_named", "symbolised"]

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
