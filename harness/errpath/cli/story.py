"""`errpath story`: what became of a bug's object, and where to look; findings, with patches."""

from __future__ import annotations

import argparse
import re
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from errpath.analysis.mail.evidence import CaseReport, read_finding
from errpath.analysis.mail.message import read_patches
from errpath.analysis.story import Row, changed_functions, look_at, markdown
from errpath.cli.parser import add_groups
from errpath.cli.reported_cases import report_cases
from errpath.errors import ErrpathError, UsageError
from errpath.kernel.layout import Layout
from errpath.kernel.source.spec import open_spec
from errpath.runner.options import DEFAULT_KERNEL, RUN_GROUPS, LogOptions, RunOptions
from errpath.util.cache import cache_root
from errpath.util.progress import Progress
from errpath.util.resources import ROOT

__all__ = ["add_parser"]

_FINDINGS = ROOT / "docs" / "findings"


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the `story` command."""
    parser = commands.add_parser(
        "story",
        help="trace who owned what a bug loses, and where to look",
        description="A case is run, and its report shown. With --table, every bug is one row: "
        "where its report says to look, beside the functions that its patch changes.",
    )
    parser.add_argument(
        "bug",
        nargs="*",
        metavar="CASE-ID|FINDING",
        help="a case, or a page of docs/findings by its name (default with --table: all of them)",
    )
    parser.add_argument("--table", action="store_true", help="a row for each finding, in Markdown")
    parser.add_argument(
        "--planted",
        action="append",
        default=[],
        metavar="PATCH=CASE-ID",
        help="a row of the table: a patch that puts a bug in, and the case that shows it; may be "
        "repeated",
    )
    add_groups(parser, *RUN_GROUPS, LogOptions)
    parser.set_defaults(handler=_story)


@dataclass(frozen=True)
class _Bug:
    name: str
    # A case with options behind it; "" for none.
    case: str
    patches: tuple[Path, ...] = ()
    # The patches put the bug in, and do not take it away.
    planted: bool = False


def _story(arguments: argparse.Namespace) -> int:
    options = RunOptions.from_namespace(arguments)
    bugs = [_bug(name) for name in arguments.bug]
    bugs += [_planted(words) for words in arguments.planted]
    if not arguments.table:
        if not bugs:
            raise UsageError("story: expected a case, a finding, or --table")
        return max([_tell(bug, options) for bug in bugs])
    if not bugs:
        pages = sorted(_FINDINGS.glob("*.md"))
        bugs = [_bug(page.stem) for page in pages if page.stem != "README"]
    if not bugs:
        raise UsageError(f"story: {_FINDINGS}: no findings; expected a checkout of errpath")
    for line in markdown(_row(bug, options) for bug in bugs):
        print(line, flush=True)
    return 0


def _bug(name: str) -> _Bug:
    page = _FINDINGS / f"{name}.md"
    if not page.is_file():
        return _Bug(name, name)
    evidence, patches = read_finding(page)
    return _Bug(name, evidence.cases[0] if evidence.cases else "", patches)


def _planted(words: str) -> _Bug:
    path, mark, case = words.partition("=")
    if not mark or not Path(path).is_file():
        raise UsageError(f"--planted {words}: expected PATCH=CASE-ID, and a patch that is there")
    return _Bug(Path(path).stem, case, (Path(path),), planted=True)


def _tell(bug: _Bug, options: RunOptions) -> int:
    """Print the report of a bug; 1 where it has one, as for a run that fails."""
    if not bug.case:
        raise UsageError(f"story: {bug.name}: names no case; expected `errpath run …` on its page")
    reports = _reports(bug, options)
    for report in reports:
        print(report.text)
    return 1 if reports else 0


def _reports(bug: _Bug, options: RunOptions) -> tuple[CaseReport, ...]:
    case, *rest = shlex.split(bug.case.rstrip("\\"))
    # Further cases show the same, and are not needed; options are.
    first = next((n for n, word in enumerate(rest) if word.startswith("-")), len(rest))
    words = rest[first:]
    if bug.planted:
        words += ["--patch", str(bug.patches[0].absolute())]
    return report_cases([case], [*options.to_argv(), *words]).reports


def _row(bug: _Bug, options: RunOptions) -> Row:
    print(f"errpath: {bug.name}", file=sys.stderr, flush=True)
    # The page of a bug of another kernel names that kernel.
    named = re.search(r"--kernel[ =](\S+)", bug.case)
    spec = named[1] if named else next(iter(options.kernel.kernel), DEFAULT_KERNEL)
    spec = spec.rpartition("=")[2]
    tree = open_spec(Layout(cache_root()), spec, Progress())

    def source(path: str) -> str | None:
        file = tree.read(path)
        return file.content.decode(errors="replace") if file is not None else None

    changed: dict[str, None] = {}
    for path in bug.patches:
        diff = path.read_text(errors="replace")
        if not bug.planted:
            (patch,) = read_patches((path,))
            diff = patch.diff
        changed.update(dict.fromkeys(changed_functions(diff, source)))
    title, look = "", ""
    if bug.case:
        try:
            reports: Sequence[CaseReport] = _reports(bug, options)
        except ErrpathError as error:
            print(f"errpath: {bug.name}: {error}", file=sys.stderr)
            reports = ()
        if reports:
            title, look = reports[0].title, look_at(reports[0].text)
    return Row(bug.name, bug.case, title, look, tuple(changed))
