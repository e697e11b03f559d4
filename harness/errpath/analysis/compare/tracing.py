"""The functions that cases run on a kernel, traced once and kept in the cache."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from errpath.analysis.compare.touched import Change, carriers, changed_functions, choose
from errpath.analysis.coverage.csource import definitions
from errpath.cases.case import MountCase
from errpath.cases.failing import failing
from errpath.cases.lifecycle import Planned
from errpath.errors import AbsentError, BuildError, GuestPoisonedError
from errpath.filesystems import home_directory
from errpath.guest.channel import AgentError
from errpath.kernel import BuiltKernel, FunctionKind, KernelStore
from errpath.kernel.features.summary import stand_ins
from errpath.kernel.source.patches import touched_paths
from errpath.oracles.ownership import default_functions, graph_tracer, parse_graph
from errpath.runner.alternatives import Settler
from errpath.runner.guests import CurrentGuest
from errpath.runner.testbed import Testbed
from errpath.util.cache import cache_root
from errpath.util.files import replacing
from errpath.util.locks import file_lock
from errpath.util.progress import Progress

__all__ = ["FunctionTracer", "leave_out_untouched", "trace_functions"]

# As `trace_functions`: by case id, the functions that ran.
FunctionTracer = Callable[
    [Testbed, str, Sequence[MountCase], Progress], Mapping[str, frozenset[str]]
]

# To be raised when what is kept changes.
_VERSION = "1"


def trace_functions(
    testbed: Testbed, filesystem: str, cases: Sequence[MountCase], progress: Progress
) -> dict[str, frozenset[str]]:
    """The functions that each case ran, of its filesystem's modules and of the superblock's life. A
    case that takes its guest down, that the guest cannot set up or whose trace is cut has none."""
    modules = testbed.modules(filesystem)
    key = "".join((_VERSION, testbed.kernel.key, *(module.key for module in modules)))
    name = hashlib.sha256(key.encode()).hexdigest()[:24]
    digests = {case.id: _digest(case) for case in cases}
    # Workers ask for the same at once: the second finds what the first has traced.
    with file_lock(
        cache_root() / "locks" / f"functions-{name}", f"tracing {filesystem}", progress=progress
    ):
        known = _traced(
            testbed,
            filesystem,
            {digests[case.id]: case for case in cases},
            cache_root() / "functions" / f"{name}.json",
            progress,
        )
    return {id: frozenset(known[digest]) for id, digest in digests.items() if digest in known}


def _traced(
    testbed: Testbed,
    filesystem: str,
    cases: Mapping[str, MountCase],
    file: Path,
    progress: Progress,
) -> dict[str, list[str]]:
    """What `file` holds, after the cases that it lacks have been traced; all by digest."""
    known: dict[str, list[str]] = {}
    if file.is_file():
        known = json.loads(file.read_text())
    missing = {
        case.id: digest
        for digest, case in cases.items()
        if digest not in known and not case.exclusive
    }
    if missing:
        with progress.step(f"tracing {len(missing)} cases of {filesystem}"):
            try:
                wanted = [cases[digest] for digest in missing.values()]
                for name, ran in _trace(testbed, filesystem, wanted):
                    known[missing[name]] = sorted(ran)
            finally:
                # What was traced before an interruption is not traced again.
                file.parent.mkdir(parents=True, exist_ok=True)
                with replacing(file) as part:
                    part.write_text(json.dumps(known))
    return known


def leave_out_untouched(
    planned: Sequence[Planned],
    patches: Sequence[Path],
    kernels: tuple[BuiltKernel, BuiltKernel],
    store: KernelStore,
    testbed: Callable[[str], Testbed],
    progress: Progress,
    *,
    trace: FunctionTracer = trace_functions,
) -> tuple[Planned, ...]:
    """The cases without those that the patches cannot reach. `kernels` are those before and after
    them, `testbed` gives that of the kernel before for a filesystem, `trace` the functions that
    each case runs. What is left out is reported.

    Raises:
        PatchError: one of them is no patch.
    """
    paths = [path for file in patches for path in touched_paths(file.read_bytes(), file.name)]
    names = tuple(dict.fromkeys(one.filesystem for one in planned if one.case is not None))
    result = tuple(planned)
    for name in names:
        home = home_directory(name)
        foreign = [path for path in paths if not path.startswith(home)]
        if foreign:
            progress.say(f"touched: every case of {name}: {foreign[0]} is not its own")
            continue
        texts = [{path: store.sources.text(kernel, path) for path in paths} for kernel in kernels]
        change = changed_functions(*texts)
        mine = [one for one in result if one.filesystem == name and one.case is not None]
        cases = [one.case for one in mine if one.case is not None]
        traced: Mapping[str, frozenset[str]] = {}
        try:
            bed = testbed(name)
            if not change.wide:
                texts_before = store.sources.below(kernels[0], home.rstrip("/"))
                change = _with_code(change, bed, name, texts_before)
            if not change.wide:
                traced = trace(bed, name, cases, progress)
        except (AbsentError, BuildError) as error:
            # Its cases say so themselves.
            change = Change(wide=str(error))
        if change.wide:
            progress.say(f"touched: every case of {name}: {change.wide}")
            continue
        chosen = choose(mine, change, traced)
        left = {one.id: one for one in chosen if one.case is None}
        progress.say(
            f"touched: {len(mine) - len(left)} of {len(mine)} cases of {name} run "
            f"{', '.join(sorted(change.functions)) or 'nothing that differs'}; "
            f"{len(left)} are left out"
        )
        result = tuple(left.get(one.id, one) for one in result)
    return result


def _with_code(
    change: Change, testbed: Testbed, filesystem: str, sources: Mapping[str, str]
) -> Change:
    texts: dict[str, str] = {}
    for path, text in sources.items():
        if path.endswith((".c", ".h")):
            texts |= definitions(text)[0]
    with testbed.symbolizer((filesystem,)) as symbolizer:
        kinds = (FunctionKind.CODE, FunctionKind.CLONES)
        return carriers(
            change.functions, texts, lambda name: symbolizer.find_function(name).kind in kinds
        )


def _digest(case: MountCase) -> str:
    devices = [
        (device.image.sha256 if device.image else "", repr(replace(device, image=None)))
        for device in case.every_device
    ]
    text = repr((devices, case.steps))
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def _trace(
    testbed: Testbed, filesystem: str, cases: Sequence[MountCase]
) -> Iterator[tuple[str, frozenset[str]]]:
    testbed.build((filesystem,))
    # What is forced is what this kernel has in the place of what it lacks.
    settler = Settler(testbed.code, stand_ins(testbed.features))
    settled = [settler.settled(case) for case in cases]
    waiting = [case for case in settled if isinstance(case, MountCase)]
    current = CurrentGuest(testbed.guest_source((filesystem,), failing(waiting)[0]))
    try:
        while waiting:
            prepared = current.get()
            functions = default_functions(prepared.modules.get(filesystem, ()))
            guest = prepared.guest
            with contextlib.suppress(GuestPoisonedError), graph_tracer(guest, functions) as record:
                while waiting:
                    case = waiting.pop(0)
                    with contextlib.suppress(AgentError):
                        graph = record(case, current.task())
                        if not graph.lost:
                            yield case.id, _names(graph.text)
    except AgentError:
        # No such tracer in this kernel: no case has a trace, and every one is run.
        return
    finally:
        current.close()


def _names(text: str) -> frozenset[str]:
    # A part that the compiler split off is the function's own.
    return frozenset(call.function.partition(".")[0] for call in parse_graph(text).calls)
