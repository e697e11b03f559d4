"""`errpath audit`: filesystems whose source has the pattern, beside what was measured."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from errpath.analysis.audit.facts import Conclusion, Reading, candidates, read_files
from errpath.analysis.compare.observe import Observed, observe_all
from errpath.cases.lifecycle import parse_filesystems, plan
from errpath.cli.parser import add_groups
from errpath.filesystems import known_filesystems, load_filesystem
from errpath.kernel.layout import Layout
from errpath.kernel.source.spec import FORMS, open_spec
from errpath.kernel.source.tree import Tree
from errpath.oracles.failure import LEAK, RESOURCE_LEAK
from errpath.results.session import run_directory
from errpath.runner.options import (
    RUN_GROUPS,
    LogOptions,
    MatrixOptions,
    ParallelOptions,
    ResultOptions,
    RunOptions,
    choices,
)
from errpath.util.cache import cache_root, scratch_directory
from errpath.util.progress import Progress

__all__ = ["Row", "add_parser", "rows"]

# Events in which the superblock owns s_fs_info and fill_super has not run.
_LEAKS = (LEAK, RESOURCE_LEAK)
_EVENTS = ("a", "b")


@dataclass(frozen=True)
class Row:
    """One filesystem: what its source says, and what its cases showed."""

    name: str
    reading: Reading
    # "leaks", "leaks elsewhere" (not what init_fs_context allocated), "crashes", "clean",
    # "no answer" or "not measured".
    measured: str

    @property
    def disagrees(self) -> bool:
        """Whether source and measurement cannot both be right."""
        if self.measured == "leaks":
            return self.reading.conclusion is not Conclusion.PATTERN
        return self.measured == "clean" and self.reading.conclusion is Conclusion.PATTERN


def rows(
    readings: Sequence[Reading], measured: Mapping[str, Sequence[Observed]], *, every: bool = True
) -> list[Row]:
    """Disagreements first, then who has the pattern, then the rest.

    `measured` is by the name of the filesystem's definition. Without `every`, what was not measured
    is left out.
    """
    names = {
        (one.fstype, str(Path(one.source).parent)): one.name
        for one in map(load_filesystem, known_filesystems())
    }
    found = []
    for reading in readings:
        home = str(Path(reading.file).parent)
        # The name alone is not enough: ext4 also serves the name ext2.
        name = names.get((reading.fstype, home), "")
        if name in measured or every:
            shown = name or f"{reading.fstype} ({home})"
            found.append(Row(shown, reading, summary(measured.get(name, ()), reading.init)))
    order = list(Conclusion)
    return sorted(found, key=lambda row: (not row.disagrees, order.index(row.reading.conclusion)))


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the `audit` command."""
    parser = commands.add_parser(
        "audit", help="filesystems that allocate s_fs_info and do not free it in kill_sb, by source"
    )
    parser.add_argument("tree", metavar="TREE", help=FORMS)
    parser.add_argument(
        "--measure", action="store_true", help="also run the cases of events a and b on it"
    )
    # TREE is the kernel, and which events are measured belongs to the pattern.
    add_groups(parser, *RUN_GROUPS, LogOptions, without=("kernel",))
    add_groups(parser, MatrixOptions, ParallelOptions, ResultOptions, without=("event", "results"))
    parser.set_defaults(handler=_audit)


def _audit(arguments: argparse.Namespace) -> int:
    readings = read_tree(arguments.tree, Progress())
    measured = _measure(arguments) if arguments.measure else {}
    found = rows(readings, measured, every=not arguments.measure)
    for row in found:
        mark = "DISAGREE" if row.disagrees else ""
        print(
            f"{row.name:<12} {row.reading.conclusion.value:<17} {row.measured:<15} {mark:<9}"
            f"{row.reading.why}".rstrip()
        )
    count = sum(row.reading.conclusion is Conclusion.PATTERN for row in found)
    print(f"\n{count} of {len(found)} filesystem types have the pattern")
    if arguments.measure:
        print(f"{sum(row.disagrees for row in found)} disagree with what was measured")
    return 0


def read_tree(spec: str, progress: Progress) -> tuple[Reading, ...]:
    """What the filesystems of a kernel source say, whatever kind of source it is.

    Raises:
        SourceError: there is no such source; ToolMissingError: no Coccinelle.
    """
    tree = open_spec(Layout(cache_root()), spec, progress)
    with scratch_directory() as scratch, progress.step(f"reading the filesystems of {spec}"):
        files = _write_candidates(tree, scratch)
        return read_files(scratch, files)


def _write_candidates(tree: Tree, scratch: Path) -> tuple[str, ...]:
    """Copies of the files that define filesystems, at their own paths below `scratch`."""
    paths = [path for path in tree.manifest() if path.startswith("fs/") and path.endswith(".c")]
    contents = {path: file.content for path, file in tree.fetch(paths)}
    chosen = candidates(sorted(contents.items()))
    for path in chosen:
        target = scratch / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(contents[path])
    return chosen


def _measure(arguments: argparse.Namespace) -> dict[str, list[Observed]]:
    options = RunOptions.from_namespace(arguments)
    kernel = replace(options.kernel, kernel=(f"audit={arguments.tree}",))
    chosen = {choice.name: choice for choice in choices(replace(options, kernel=kernel))}
    planned = list(plan(parse_filesystems(arguments.fs), _EVENTS))
    cases = [one.case for one in planned if one.case is not None]
    directory = run_directory(arguments.artefacts.absolute())
    found = observe_all(
        chosen,
        {"audit": cases},
        directory,
        jobs=arguments.jobs,
        repeats=options.oracles.repeats,
    )
    by_name: dict[str, list[Observed]] = {}
    for one in planned:
        if one.case is not None and ("audit", one.id) in found:
            by_name.setdefault(one.filesystem, []).append(found["audit", one.id])
    return by_name


def summary(results: Sequence[Observed], init: str) -> str:
    """What the cases of one filesystem showed; `init` is its init_fs_context."""
    leaks = [one for one in results if one.worst is not None and one.worst.kind in _LEAKS]
    if any(init in failure.functions for one in leaks for failure in one.failures):
        return "leaks"
    if any(one.bad and one not in leaks for one in results):
        return "crashes"
    if leaks:
        return "leaks elsewhere"
    if any(one.error for one in results):
        return "no answer"
    return "clean" if results else "not measured"
