"""`errpath decode`: reports of the kernel, as text, explained."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from errpath.cli.parser import add_groups
from errpath.errors import UsageError
from errpath.intake.decode import REPORTS_MAX, decode_file
from errpath.intake.known import issues_of
from errpath.intake.symbolise import modules_named, symbolised
from errpath.kernel import KernelStore, Symbolizer
from errpath.oracles.failure import LEAK, Failure
from errpath.oracles.frames import own_frames
from errpath.runner.known_issues import KnownIssue
from errpath.runner.options import GuestOptions, KernelOptions, RunOptions, choices
from errpath.util.progress import Progress

__all__ = ["add_parser"]

# Functions of a stack that are shown.
_SHOWN = 6


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the `decode` command."""
    parser = commands.add_parser(
        "decode",
        help="name and explain the kernel's reports in a log",
        description="Reads kmemleak, KASAN, UBSAN, lockdep, hung tasks, oopses, BUG and WARNING "
        "from any console, syslog, mail or bug page, and errpath's own results. Exit status: 0 if "
        "there is a report, 1 if there is none.",
    )
    parser.add_argument(
        "file", nargs="?", default="-", metavar="FILE", help="the log; standard input without it"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object for each report")
    parser.add_argument("--text", action="store_true", help="with the reports' own lines")
    parser.add_argument(
        "--known",
        action="append",
        default=[],
        type=Path,
        metavar="FILE",
        help="further known issues; may be repeated",
    )
    add_groups(parser, KernelOptions)
    # Of a guest only its kernel configuration counts: nothing is booted.
    add_groups(parser, GuestOptions, without=("accel", "append"))
    parser.set_defaults(handler=_decode)


def _decode(arguments: argparse.Namespace) -> int:
    """0 if there is a report, 1 if there is none."""
    failures = _read(arguments.file)
    options = RunOptions.from_namespace(arguments)
    if options != RunOptions():
        failures = _symbolised(failures, options)
    for failure in failures:
        issues = issues_of(failure, arguments.known)
        if arguments.json:
            print(json.dumps(_as_json(failure, issues), ensure_ascii=False))
        else:
            print("\n".join(_described(failure, issues, with_text=arguments.text)))
            print()
    if len(failures) >= REPORTS_MAX:
        print(f"errpath: decode: only the first {REPORTS_MAX} reports are read", file=sys.stderr)
    if not failures:
        print("errpath: decode: no report of the kernel in this text", file=sys.stderr)
    return 0 if failures else 1


def _read(name: str) -> tuple[Failure, ...]:
    if name == "-":
        return decode_file(sys.stdin.buffer)
    try:
        with Path(name).open("rb") as file:
            return decode_file(file)
    except OSError as error:
        raise UsageError(f"{name}: {error.strerror}; expected a log to read") from None


def _symbolised(failures: Sequence[Failure], options: RunOptions) -> tuple[Failure, ...]:
    chosen = choices(options)
    if len(chosen) != 1:
        raise UsageError(f"decode: got {len(chosen)} kernels; expected one --kernel")
    store = KernelStore(progress=Progress())
    kernel = store.build(chosen[0].testbed.kernel)
    modules = modules_named(failures, kernel, store)
    with Symbolizer(kernel, modules) as symbolizer:
        return tuple(symbolised(failure, symbolizer) for failure in failures)


def _described(failure: Failure, issues: Sequence[KnownIssue], *, with_text: bool) -> Iterator[str]:
    yield failure.title
    yield f"  kind       {failure.kind}{' (after a fatal report)' if failure.follows else ''}"
    if failure.signature != failure.title:
        yield f"  signature  {failure.signature}"
    if failure.where:
        yield f"  where      {failure.where}"
    own = own_frames(failure.functions) or list(failure.functions)
    if own:
        more = " < …" if len(own) > _SHOWN else ""
        yield f"  {'allocated' if failure.kind is LEAK else 'functions'}  " + (
            " < ".join(own[:_SHOWN]) + more
        )
    if failure.size:
        yield f"  object     {failure.size} bytes"
    if failure.detail:
        yield f"  detail     {failure.detail}"
    for issue in issues:
        yield f"  known      {issue}"
    if with_text:
        yield from ("", *(f"  {line}" for line in failure.evidence.splitlines()))


def _as_json(failure: Failure, issues: Sequence[KnownIssue]) -> dict[str, Any]:
    known = [{"id": one.id, "title": one.title, "link": one.link} for one in issues]
    return {**failure.to_json(), "known": known, "text": failure.evidence}
