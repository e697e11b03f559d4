"""The ownership story of a failing mount: which functions ran, in what order, in the case's task.

The guest's function_graph tracer is switched on for one repeat of the case, with a filter on the
functions through which a superblock's private data passes (fs/fs_context.c, fs/super.c) and those
of the filesystem's own modules.
"""

from __future__ import annotations

import contextlib
import itertools
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from errpath.cases.case import MountCase, Outcome
from errpath.cases.run import run_case
from errpath.guest.channel import AgentError
from errpath.guest.machine import Guest

__all__ = [
    "Call",
    "GraphText",
    "OwnershipTrace",
    "case_tracer",
    "default_functions",
    "graph_tracer",
    "parse_graph",
    "record_graph",
]

_TRACING = "/sys/kernel/tracing"
# Where s_fs_info and a context are made, handed over and given back. A name that the kernel lacks
# is passed over: they move between releases.
_CORE = (
    "alloc_fs_context",
    "vfs_parse_fs_string",
    "vfs_parse_fs_param",
    "vfs_parse_monolithic_sep",
    "get_tree_bdev_flags",
    "sget_fc",
    "sget_dev",
    "setup_bdev_super",
    "deactivate_locked_super",
    "deactivate_super",
    "kill_block_super",
    "generic_shutdown_super",
    "put_fs_context",
    "fscontext_release",
    "reconfigure_super",
)
# What prints as pure structure: no times, CPUs or overheads.
_OPTIONS_OFF = ("funcgraph-cpu", "funcgraph-duration", "funcgraph-overhead", "funcgraph-irqs")
# Of these, what a trace with times has.
_TIMES = ("funcgraph-duration",)


@dataclass(frozen=True)
class Call:
    """One call: its function and how deep it was."""

    depth: int
    function: str


@dataclass(frozen=True)
class OwnershipTrace:
    """The calls of one run of a case, in order."""

    calls: tuple[Call, ...]
    # Calls that the kernel's buffer had no room for.
    lost: int = 0

    def ran(self, function: str) -> bool:
        """Whether a function was called."""
        return any(call.function == function for call in self.calls)

    def callers(self, function: str) -> frozenset[str]:
        """The functions through which a function was called, whenever it was."""
        way: list[str] = []
        found: set[str] = set()
        for call in self.calls:
            del way[call.depth :]
            if call.function == function:
                found.update(way)
            way.append(call.function)
        return frozenset(found)

    def after(self, function: str) -> tuple[Call, ...]:
        """The calls that began after the last call of `function`."""
        at = [i for i, call in enumerate(self.calls) if call.function == function]
        return self.calls[at[-1] + 1 :] if at else ()


@dataclass(frozen=True)
class GraphText:
    """What the tracer wrote."""

    text: str
    # Entries that were overwritten: the beginning is missing.
    lost: int
    # What the case did.
    outcome: Outcome


def parse_graph(text: str) -> OwnershipTrace:
    """function_graph's text → calls. Two columns of indentation are one level."""
    calls = []
    for line in text.splitlines():
        body = line.rpartition("|")[2] if "|" in line else line
        name, bracket, _ = body.partition("(")
        if line.startswith("#") or not bracket or not name.strip() or "/*" in name:
            continue
        calls.append(Call((len(name) - len(name.lstrip())) // 2, name.split()[0]))
    least = min((call.depth for call in calls), default=0)
    return OwnershipTrace(tuple(Call(call.depth - least, call.function) for call in calls))


@contextlib.contextmanager
def case_tracer(
    guest: Guest, modules: Sequence[str]
) -> Iterator[Callable[[MountCase, str], OwnershipTrace]]:
    """What runs a case in a task of a name, traced. The tracer is off afterwards.

    Raises:
        AgentError: the kernel has no function_graph tracer.
    """
    with graph_tracer(guest, default_functions(modules)) as record:

        def trace(case: MountCase, task: str) -> OwnershipTrace:
            graph = record(case, task)
            return replace(parse_graph(graph.text), lost=graph.lost)

        yield trace


def default_functions(modules: Sequence[str]) -> tuple[str, ...]:
    """Patterns of the functions that a superblock's private data passes, and of all in modules."""
    return (*_CORE, *(f"*:mod:{module}" for module in modules))


def record_graph(
    guest: Guest,
    case: MountCase,
    task: str,
    functions: Sequence[str],
    *,
    events: Sequence[str] = (),
    times: bool = False,
) -> GraphText:
    """function_graph's text of one run of `case` (see `graph_tracer`).

    Raises:
        AgentError: the kernel has no function_graph tracer, or no such event.
    """
    with graph_tracer(guest, functions, events=events, times=times) as record:
        return record(case, task)


@contextlib.contextmanager
def graph_tracer(
    guest: Guest, functions: Sequence[str], *, events: Sequence[str] = (), times: bool = False
) -> Iterator[Callable[[MountCase, str], GraphText]]:
    """What gives function_graph's text of a run of a case, in a task of a name; with `times`, when
    each call began, and how long it took. The tracer is off afterwards.

    `functions` are the tracer's patterns (a name that the kernel lacks is passed over), `events`
    are `group:event` or `group`.

    Raises:
        AgentError: the kernel has no function_graph tracer, or no such event.
    """

    def put(name: str, value: str, *, truncate: bool = False) -> None:
        guest.write_file(f"{_TRACING}/{name}", value, mode=0o644 if truncate else None)

    def off() -> None:
        put("tracing_on", "0")
        put("current_tracer", "nop")

    def record(case: MountCase, task: str) -> GraphText:
        put("tracing_on", "0")
        put("trace", "\n", truncate=True)
        outcome = run_case(guest, case, task, trace=True)
        text = guest.read_file(f"{_TRACING}/trace").decode(errors="replace")
        return GraphText(text, _overrun(guest), outcome)

    off()
    put("set_ftrace_filter", "\n", truncate=True)
    for pattern in functions:
        with contextlib.suppress(AgentError):
            put("set_ftrace_filter", f"{pattern}\n")
    put("current_tracer", "function_graph")
    for option in _OPTIONS_OFF:
        with contextlib.suppress(AgentError):
            put(f"options/{option}", str(int(times and option in _TIMES)))
    with contextlib.suppress(AgentError):
        put("options/funcgraph-abstime", str(int(times)))
    try:
        for event in events:
            put(f"events/{event.replace(':', '/')}/enable", "1")
        yield record
    finally:
        if guest.poisoned is None:
            off()
            for event in events:
                with contextlib.suppress(AgentError):
                    put(f"events/{event.replace(':', '/')}/enable", "0")
            put("set_ftrace_pid", "\n", truncate=True)
            put("set_ftrace_filter", "\n", truncate=True)


def _overrun(guest: Guest) -> int:
    """Entries that were overwritten since the trace was cleared, of all CPUs."""
    found = 0
    for cpu in itertools.count():
        try:
            text = guest.read_file(f"{_TRACING}/per_cpu/cpu{cpu}/stats").decode()
        except AgentError:
            break
        match = re.search(r"^overrun: (\d+)$", text, re.MULTILINE)
        found += int(match[1]) if match else 0
    return found
