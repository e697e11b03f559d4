"""function_graph's text with times → spans, and those as JSON for Perfetto. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Moment", "Span", "parse_times", "perfetto_json"]

# "   12.345678 | + 10.250 us   |    hfs_mdb_get [hfs]();"
_LINE = re.compile(
    r"^\s*(?P<time>\d+\.\d+)\s*\|\s*(?:[$@*#!+ ]\s*)?(?:(?P<span>[\d.]+) us)?\s*\|(?P<rest>.*)$"
)
_OPEN = re.compile(r"^(?P<indent>\s*)(?P<name>[\w.]+)(?: \[\w+\])?\([^)]*\)(?P<end>;| \{)")
_CLOSE = re.compile(r"^(?P<indent>\s*)\}")
_EVENT = re.compile(r"^\s*/\* (?P<name>\w+): ?(?P<text>.*?) ?\*/")


@dataclass(frozen=True)
class Span:
    """One call."""

    function: str
    depth: int
    # Microseconds of the guest's clock.
    began: float
    took: float


@dataclass(frozen=True)
class Moment:
    """A trace event."""

    name: str
    text: str
    at: float


def parse_times(text: str) -> tuple[tuple[Span, ...], tuple[Moment, ...]]:
    """The calls and the events of a trace, each in the order in which they began.

    A call that had not returned when the trace ended lasts until its last line.
    """
    spans: list[Span] = []
    moments: list[Moment] = []
    # Places in `spans` of calls that have not returned.
    under_way: list[int] = []
    last = 0.0
    for line in text.splitlines():
        match = _LINE.match(line)
        if match is None:
            continue
        last = float(match["time"]) * 1e6
        rest, took = match["rest"], float(match["span"] or 0)
        if event := _EVENT.match(rest):
            moments.append(Moment(event["name"], event["text"], last))
        elif call := _OPEN.match(rest):
            depth = (len(call["indent"]) - 2) // 2
            if call["end"] != ";":
                under_way.append(len(spans))
            spans.append(Span(call["name"], depth, last, took))
        elif _CLOSE.match(rest) and under_way:
            at = under_way.pop()
            spans[at] = Span(
                spans[at].function, spans[at].depth, spans[at].began, last - spans[at].began
            )
    for at in under_way:
        one = spans[at]
        spans[at] = Span(one.function, one.depth, one.began, last - one.began)
    return tuple(spans), tuple(moments)


def perfetto_json(spans: Sequence[Span], moments: Sequence[Moment], *, task: str) -> str:
    """What ui.perfetto.dev and chrome://tracing open: the Trace Event Format."""
    events: list[dict[str, object]] = [
        {"ph": "M", "name": "thread_name", "pid": 1, "tid": 1, "args": {"name": task}}
    ]
    common = {"pid": 1, "tid": 1}
    for span in spans:
        events.append(
            {"ph": "X", "name": span.function, "ts": span.began, "dur": span.took, **common}
        )
    for moment in moments:
        events.append(
            {
                "ph": "i",
                "s": "t",
                "name": moment.name,
                "ts": moment.at,
                "args": {"text": moment.text},
                **common,
            }
        )
    return json.dumps({"traceEvents": events, "displayTimeUnit": "ns"}, indent=1) + "\n"
