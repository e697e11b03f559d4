"""`errpath trace`: what happened in one case, call by call."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from errpath.analysis.inspect.trace import parse_times, perfetto_json
from errpath.cli.chosen_case import chosen_case
from errpath.cli.parser import add_groups
from errpath.errors import InfrastructureError, UsageError
from errpath.guest.channel import AgentError
from errpath.oracles.ownership import default_functions, record_graph
from errpath.runner.options import RUN_GROUPS, LogOptions, RunOptions

__all__ = ["add_parser"]

_TASK = "errpath-traced"


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the `trace` command."""
    parser = commands.add_parser(
        "trace",
        help="trace one case: its calls with times, and trace events",
        description="Unless --functions says otherwise, the functions of the filesystem's modules "
        "and those that a superblock's private data passes are traced.",
    )
    parser.add_argument("case", metavar="CASE-ID", help="as in a test's brackets")
    parser.add_argument(
        "--functions",
        action="append",
        default=[],
        metavar="GLOB",
        help="functions as the tracer's filter takes them (hfs_*, *:mod:hfs); may be repeated",
    )
    parser.add_argument(
        "--events",
        action="append",
        default=[],
        metavar="GROUP[:EVENT]",
        help="trace events such as kmem:kfree; may be repeated",
    )
    parser.add_argument(
        "--perfetto", type=Path, metavar="FILE", help="also write JSON for ui.perfetto.dev"
    )
    add_groups(parser, *RUN_GROUPS, LogOptions)
    parser.set_defaults(handler=_trace)


def _trace(arguments: argparse.Namespace) -> int:
    options = RunOptions.from_namespace(arguments)
    with chosen_case(arguments.case, options, command="trace") as chosen:
        prepared = chosen.clone()
        try:
            modules = prepared.modules.get(chosen.case.filesystem, ())
            functions = tuple(arguments.functions) or default_functions(modules)
            graph = record_graph(
                prepared.guest,
                chosen.case,
                _TASK,
                functions,
                events=tuple(arguments.events),
                times=True,
            )
        except AgentError as error:
            raise InfrastructureError(f"trace: the guest's tracer: {error}") from None
        finally:
            prepared.guest.close()
    print(graph.text, end="")
    if graph.lost:
        print(f"errpath: trace: {graph.lost} entries of its beginning are lost", file=sys.stderr)
    spans, moments = parse_times(graph.text)
    if not spans and not moments:
        raise UsageError("trace: nothing was traced; expected functions that the case calls")
    if arguments.perfetto is not None:
        try:
            arguments.perfetto.write_text(perfetto_json(spans, moments, task=chosen.case.id))
        except OSError as error:
            raise UsageError(f"--perfetto {arguments.perfetto}: {error.strerror}") from None
    return 0
