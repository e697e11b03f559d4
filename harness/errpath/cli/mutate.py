"""`errpath mutate FILESYSTEM`: what the suites notice of statements that are left out."""

from __future__ import annotations

import argparse
import random
from collections.abc import Sequence
from pathlib import Path

from errpath.analysis.mutation.argued import argued, load_arguments
from errpath.analysis.mutation.mutants import Mutant, controls
from errpath.analysis.mutation.results import Judged, read_head, read_results
from errpath.analysis.mutation.rungs import rungs_of
from errpath.analysis.mutation.score import Score
from errpath.analysis.mutation.sources import mutants_of
from errpath.analysis.mutation.table import MARK, page, summary
from errpath.cases.lifecycle import parse_filesystems
from errpath.cli.parser import add_groups
from errpath.errors import UsageError
from errpath.intake.known import shipped_issues
from errpath.kernel import KernelStore
from errpath.runner.known_issues import KnownIssues
from errpath.runner.options import (
    GuestOptions,
    KernelOptions,
    LogOptions,
    OracleOptions,
    RunOptions,
    choices,
)
from errpath.util.background import processors
from errpath.util.progress import Progress

__all__ = ["add_parser"]


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the `mutate` command."""
    parser = commands.add_parser(
        "mutate", help="leave out a statement of a filesystem at a time and see what notices it"
    )
    parser.add_argument("filesystem", metavar="FILESYSTEM", help="such as hfs")
    parser.add_argument(
        "--function", action="append", default=[], metavar="NAME", help="only in this function"
    )
    parser.add_argument("--sample", type=int, metavar="N", help="only so many, chosen by --seed")
    parser.add_argument(
        "--seed", type=int, default=1, metavar="N", help="of the sample (default 1)"
    )
    parser.add_argument(
        "--controls",
        type=int,
        default=2,
        metavar="N",
        help="mutants among them that change nothing: a false alarm kills them (default 2)",
    )
    parser.add_argument(
        "--no-sweeps",
        action="store_false",
        dest="sweeps",
        help="do not sweep mount and umount of what survives the default suites",
    )
    parser.add_argument("--list", action="store_true", help="only name the mutants")
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("errpath-mutants"),
        metavar="DIR",
        help="where results go; a run that was cut short goes on from there",
    )
    parser.add_argument(
        "--table", type=Path, metavar="FILE", help="write the tables of all of --output into a page"
    )
    parser.add_argument(
        "--jobs", type=int, metavar="N", help="mutants at once (default: one per CPU)"
    )
    add_groups(parser, KernelOptions, GuestOptions, OracleOptions, LogOptions)
    parser.set_defaults(handler=_mutate)


def _mutate(arguments: argparse.Namespace) -> int:
    (name, *others) = parse_filesystems(arguments.filesystem)
    if others:
        raise UsageError("mutate: expected one filesystem")
    for option, value in (("--jobs", arguments.jobs), ("--sample", arguments.sample)):
        if value is not None and value < 1:
            raise UsageError(f"{option}: got {value}; expected at least 1")
    if arguments.controls < 0:
        raise UsageError(f"--controls: got {arguments.controls}; expected at least 0")
    chosen = choices(RunOptions.from_namespace(arguments))
    if len(chosen) != 1:
        raise UsageError("mutate: expected one --kernel")
    if arguments.table is not None:
        _page_head(arguments.table)
    progress = Progress()
    store = KernelStore(progress=progress)
    kernel = store.build(chosen[0].testbed.kernel)
    every = mutants_of(store, kernel, name)
    wanted = arguments.function
    mutants = _chosen(mutants_of(store, kernel, name, wanted) if wanted else every, arguments)
    if arguments.list:
        for mutant in mutants:
            print(f"{mutant.kind:8} {mutant.id}")
        return 0
    score = Score(
        chosen[0].testbed,
        name,
        rungs_of(name, sweeps=arguments.sweeps),
        (arguments.output / name).absolute(),
        progress,
        f"a sample of {len(mutants)}, seed {arguments.seed}" if arguments.sample else "",
        known=KnownIssues(shipped_issues()),
    )
    mutants = _with_controls(mutants, controls(every[0].file, arguments.controls))
    fates = score.run(mutants, jobs=arguments.jobs or processors())
    print(summary(argued(fates, [mutant.id for mutant in every], load_arguments(), name)))
    if arguments.table is not None:
        _write_page(arguments.table, arguments.output)
    return 0


def _chosen(mutants: tuple[Mutant, ...], arguments: argparse.Namespace) -> tuple[Mutant, ...]:
    if arguments.sample is None or arguments.sample >= len(mutants):
        return mutants
    among = random.Random(arguments.seed).sample(range(len(mutants)), arguments.sample)
    return tuple(mutants[at] for at in sorted(among))


def _with_controls(mutants: Sequence[Mutant], added: Sequence[Mutant]) -> tuple[Mutant, ...]:
    """The mutants with the controls among them, at even distances."""
    found = list(mutants)
    for number, one in enumerate(reversed(added)):
        found.insert(len(mutants) * (len(added) - 1 - number) // len(added), one)
    return tuple(found)


def _page_head(path: Path) -> str:
    """What stands above the generated part of a page.

    Raises:
        UsageError: it has none.
    """
    text = path.read_text() if path.is_file() else ""
    head, mark, _ = text.partition(MARK)
    if not mark:
        raise UsageError(f"--table {path}: expected a page with a line {MARK}")
    return head + mark + "\n"


def _write_page(path: Path, output: Path) -> None:
    found: dict[str, tuple[Judged, ...]] = {}
    notes: dict[str, str] = {}
    arguments = load_arguments()
    for results in sorted(output.glob("*/mutants.jsonl")):
        name = results.parent.name
        judged = tuple(read_results(results).values())
        found[name] = argued(judged, arguments, arguments, name)
        head = read_head(results) or {}
        notes[name] = ", ".join(
            str(head[key]) for key in ("kernel", "guest", "sample") if head.get(key)
        )
    path.write_text(_page_head(path) + page(found, notes))
