"""`errpath run --replay`: whether a case does the same in each clone of one frozen guest."""

from __future__ import annotations

import re

from errpath.analysis.inspect.attempts import Attempt, difference
from errpath.analysis.inspect.trace import parse_times
from errpath.cli.chosen_case import ChosenCase, chosen_case
from errpath.errors import InfrastructureError, UsageError
from errpath.guest.channel import AgentError
from errpath.oracles.ownership import default_functions, record_graph
from errpath.runner.observation import find_leaks
from errpath.runner.options import RunOptions

__all__ = ["replay"]

# At most 15 characters: what the kernel keeps of a name. The same in every clone.
_TASK = "errpath-replay"
# A message's time.
_TIME = re.compile(r"^\[ *\d+\.\d+\] ")


def replay(case_id: str, options: RunOptions, attempts: int) -> int:
    """Run a case in so many clones, one after another; 0 where all did the same, 1 otherwise.

    Raises:
        UsageError: no such case, or fewer than two clones.
        InfrastructureError: there are no clones, or the kernel traces no functions.
    """
    if attempts < 2:
        raise UsageError(f"--replay {attempts}: expected 2 or more clones to compare")
    with chosen_case(case_id, options, command="run --replay") as chosen:
        first: Attempt | None = None
        status = 0
        for number in range(1, attempts + 1):
            attempt = _attempt(chosen)
            if first is None:
                first = attempt
                print(f"clone {number}  {attempt}", flush=True)
                continue
            differs = difference(first, attempt)
            status = status or int(bool(differs))
            print(f"clone {number}  {differs or 'the same, in the same order'}", flush=True)
    return status


def _attempt(chosen: ChosenCase) -> Attempt:
    prepared = chosen.clone()
    try:
        modules = prepared.modules.get(chosen.case.filesystem, ())
        functions = default_functions(modules)
        graph = record_graph(prepared.guest, chosen.case, _TASK, functions, times=True)
        outcome = graph.outcome
        leaks = find_leaks(prepared, [outcome]).own.get(_TASK, [])
    except AgentError as error:
        raise InfrastructureError(f"--replay: the guest's tracer: {error}") from None
    finally:
        prepared.guest.close()
    if graph.lost:
        raise InfrastructureError(
            f"--replay: {graph.lost} entries of the trace are lost; expected a shorter case"
        )
    spans, _ = parse_times(graph.text)
    return Attempt(
        steps=tuple(map(str, outcome.steps)),
        messages=tuple(_TIME.sub("", line) for line in outcome.kmsg.splitlines()),
        calls=tuple((span.function, span.depth) for span in spans),
        leaks=tuple(f"{leak.size} bytes at {leak.address:#x}" for leak in leaks),
    )
