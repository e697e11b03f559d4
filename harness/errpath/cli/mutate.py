"""`errpath mutate FILESYSTEM`: what the suites notice of statements that are left out."""

from __future__ import annotations

import argparse
import itertools
import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from errpath.analysis.mutation.argued import argued, load_arguments
from errpath.analysis.mutation.score import (
    CaseRung,
    Fate,
    Judged,
    Rung,
    Score,
    SweepRung,
    mutants_of,
)
from errpath.cases import crafted
from errpath.cases.lifecycle import parse_filesystems, plan
from errpath.cli.parser import add_groups
from errpath.errors import UsageError
from errpath.faults.points import POINT_KINDS
from errpath.filesystems import EVENTS
from errpath.kernel import KernelStore
from errpath.runner.options import (
    GuestOptions,
    KernelOptions,
    LogOptions,
    OracleOptions,
    RunOptions,
    choices,
)
from errpath.runner.sweep import SweepUnit
from errpath.util.background import processors
from errpath.util.progress import Progress

__all__ = ["add_parser"]

# Events whose sweeps run.
_SWEEPS = ("mount-rw", "umount", "reconfigure")


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
    parser.add_argument("--sweeps", action="store_true", help="run sweeps of what survives, too")
    parser.add_argument("--list", action="store_true", help="only name the mutants")
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("errpath-mutants"),
        metavar="DIR",
        help="where results go; a run that was cut short goes on from there",
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
    chosen = choices(RunOptions.from_namespace(arguments))
    if len(chosen) != 1:
        raise UsageError("mutate: expected one --kernel")
    progress = Progress()
    store = KernelStore(progress=progress)
    kernel = store.build(chosen[0].testbed.kernel)
    mutants = mutants_of(store, kernel, name, arguments.function)
    if arguments.sample is not None and arguments.sample < len(mutants):
        among = random.Random(arguments.seed).sample(range(len(mutants)), arguments.sample)
        mutants = tuple(mutants[at] for at in sorted(among))
    if arguments.list:
        for mutant in mutants:
            print(f"{mutant.kind:8} {mutant.id}")
        return 0
    score = Score(
        chosen[0].testbed,
        name,
        _rungs(name, sweeps=arguments.sweeps),
        (arguments.output / name).absolute(),
        progress,
    )
    fates = score.run(mutants, jobs=arguments.jobs or processors())
    every = [mutant.id for mutant in mutants_of(store, kernel, name)]
    print(_table(argued(fates, every, load_arguments(), name)))
    return 0


def _rungs(filesystem: str, *, sweeps: bool) -> tuple[Rung, ...]:
    """The life cycle, then the crafted images, but for known hangs and crashes, which show no
    more; then sweeps."""
    cycle = [one.case for one in plan((filesystem,), tuple(EVENTS)) if one.case is not None]
    made = [case for case in crafted.crafted_cases() if case.filesystem == filesystem]
    rungs: list[Rung] = [
        CaseRung(filesystem, cycle),
        CaseRung(filesystem, [case for case in made if not case.exclusive]),
    ]
    units = itertools.product(_SWEEPS, POINT_KINDS) if sweeps else ()
    rungs += [SweepRung(SweepUnit(filesystem, event, kind)) for event, kind in units]
    return tuple(rungs)


def _table(judged: Sequence[Judged]) -> str:
    fates = Counter(one.fate for one in judged)
    built = len(judged) - fates[Fate.NOT_BUILT.value] - fates[Fate.EQUIVALENT.value]
    killed = fates[Fate.KILLED.value]
    seconds = sum(one.seconds for one in judged) / max(1, len(judged))
    lines = [f"{one.fate:10} {one.mutant}" for one in judged if one.fate != Fate.KILLED.value]
    lines += [
        "",
        f"{killed} of {built} killed ({killed / max(1, built):.0%}): "
        + ", ".join(
            f"{count} by {oracle}"
            for oracle, count in Counter(one.oracle for one in judged if one.oracle).most_common()
        ),
        f"{fates[Fate.SURVIVED.value]} survived, {fates[Fate.NO_ANSWER.value]} without an answer, "
        f"{fates[Fate.EQUIVALENT.value]} equivalent, {fates[Fate.NOT_BUILT.value]} not built; "
        f"{seconds:.1f} s each",
    ]
    return "\n".join(lines)
