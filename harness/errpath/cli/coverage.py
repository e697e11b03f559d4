"""`errpath coverage hfs|hfsplus`: which error exits of the mount path the crafted images reach;
`errpath coverage --sweep`: which callees of fill_super, reconfigure and put_super sweeps fail."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from errpath.analysis.coverage.collect import Lines, collect
from errpath.analysis.coverage.csource import (
    Function,
    called_from,
    error_exits,
    functions,
    only_below,
)
from errpath.analysis.coverage.report import judge_exits, render
from errpath.analysis.coverage.swept import Swept, measure, page
from errpath.cases import crafted
from errpath.cases.case import MountCase
from errpath.cases.lifecycle import parse_filesystems
from errpath.cases.steps import Step
from errpath.cases.sweeping import sequence
from errpath.cli.parser import add_groups
from errpath.errors import ErrpathError, InfrastructureError, UsageError
from errpath.filesystems import SWEEP_DEFAULT, load_filesystem
from errpath.images.crafted.catalogue import catalogue
from errpath.kernel import BuiltKernel, KernelStore
from errpath.kernel.build.compiled import source_files
from errpath.results.session import run_directory
from errpath.results.testbeds import Testbeds
from errpath.runner.options import (
    GuestOptions,
    KernelOptions,
    LogOptions,
    ResultOptions,
    RunOptions,
    choices,
)
from errpath.runner.sweep_units import Recordings, SweepUnit
from errpath.runner.testbed import Testbed
from errpath.util.progress import Progress
from errpath.util.resources import GUESTS

__all__ = ["add_parser", "mount_path"]

# The kernel with KCOV, and what makes both filesystems record their exits.
_GUEST = "coverage"
_PATCH = GUESTS / "patches" / "coverage.patch"


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the `coverage` command."""
    parser = commands.add_parser(
        "coverage", help="which error exits of the mount path the crafted images reach"
    )
    parser.add_argument(
        "filesystem",
        metavar="FILESYSTEM",
        nargs="*",
        help=f"{' or '.join(_ENTRIES)}: whose crafted images are mounted; with --sweep any, or all",
    )
    parser.add_argument(
        "--sweep",
        action="store_true",
        help="report instead which callees of fill_super, reconfigure and put_super a sweep fails",
    )
    parser.add_argument(
        "--points",
        action="store_true",
        help="mount the valid volume as well, with every point of a sweep's usual events failed",
    )
    parser.add_argument("--output", type=Path, metavar="FILE", help="write the report here too")
    parser.add_argument(
        "--fail-under",
        type=int,
        metavar="N",
        help="fail if fewer than N exits are reached; with --sweep, if fewer than N percent of a "
        "filesystem's callees are failed",
    )
    add_groups(parser, KernelOptions, GuestOptions, ResultOptions, LogOptions, without=("results",))
    parser.set_defaults(handler=_coverage, guest=_GUEST)


def _coverage(arguments: argparse.Namespace) -> int:
    if arguments.sweep:
        return _swept(arguments)
    if len(arguments.filesystem) != 1 or arguments.filesystem[0] not in _ENTRIES:
        got = " ".join(arguments.filesystem) or "nothing"
        raise UsageError(f"coverage: got {got}; expected {' or '.join(_ENTRIES)}, or --sweep")
    options = RunOptions.from_namespace(arguments)
    patches = (*options.kernel.patch, str(_PATCH))
    chosen = choices(replace(options, kernel=replace(options.kernel, patch=patches)))
    if len(chosen) != 1:
        raise UsageError(f"coverage: got {len(chosen)} kernels; expected one")
    progress = Progress()
    store = KernelStore(progress=progress)
    directory = run_directory(arguments.artefacts.absolute())
    testbed = Testbed(
        chosen[0].testbed, store=store, artefacts=directory / "guests", progress=progress
    )
    name = arguments.filesystem[0]
    cases = (*_cases(name), *(_swept_cases(testbed, name) if arguments.points else ()))
    module = next((module for module in testbed.modules(name) if module.name == name), None)
    if module is None:
        raise InfrastructureError(f"{name}: built into this kernel; expected a module")
    with (
        Lines(testbed.kernel, module) as lines,
        progress.step(f"{len(cases)} mounts", total=len(cases)) as step,
    ):
        run = collect(
            cases,
            lambda: testbed.guests.prepare((name,), (), points=() if arguments.points else None),
            lines,
            lambda number, note: step.update(number, note=note),
        )
    known = mount_path(store, testbed.kernel, name)
    roots = _roots(name)
    exits = [found for function in known.values() for found in error_exits(function)]
    judged = judge_exits(
        exits, run.cases, catalogue(name).unreachable, below=partial(only_below, roots, known)
    )
    text = render(name, judged, cases=run.count, lost=run.lost)
    _show(text, arguments.output)
    reached = sum(1 for item in judged if item.cases)
    return 1 if arguments.fail_under is not None and reached < arguments.fail_under else 0


def _show(text: str, output: Path | None) -> None:
    print(text, end="")
    if output is not None:
        try:
            output.write_text(text)
        except OSError as error:
            raise UsageError(f"{output}: {error.strerror}; expected a file to write") from None


def _swept(arguments: argparse.Namespace) -> int:
    """What the sweeps of filesystems fail."""
    filesystems = parse_filesystems(",".join(arguments.filesystem))
    if arguments.guest == _GUEST:
        # No coverage of code is wanted: the guest of every other run.
        arguments.guest = GuestOptions().guest
    chosen = choices(RunOptions.from_namespace(arguments))
    if len(chosen) != 1:
        raise UsageError(f"coverage: got {len(chosen)} kernels; expected one")
    progress = Progress()
    store = KernelStore(progress=progress)
    name = chosen[0].name
    directory = run_directory(arguments.artefacts.absolute()) / "guests"
    beds = Testbeds({name: chosen[0]}, directory, progress)
    found: list[Swept] = []
    lost: dict[str, str] = {}
    try:
        with progress.step("filesystems", total=len(filesystems)) as step:
            for number, filesystem in enumerate(filesystems):
                step.update(number, note=filesystem)
                try:
                    found.append(measure(beds.get(name, filesystem), store, filesystem))
                except ErrpathError as error:
                    lost[filesystem] = str(error)
        description = beds.get(name).kernel.description
    finally:
        beds.close()
    _show(page(description, found, lost), arguments.output)
    return 1 if any(one.share < (arguments.fail_under or 0) for one in found) else 0


def _cases(filesystem: str) -> tuple[MountCase, ...]:
    """Every crafted image, known bugs last: they cost a guest each. By mount(2) alone: the other
    API ends in the same code of a filesystem."""
    plain = [
        case for case in crafted.crafted_cases(apis=("mount",)) if case.filesystem == filesystem
    ]
    known = [case for _, case in crafted.known_issue_cases() if case.filesystem == filesystem]
    # Only the mount: what is done with a volume afterwards is another path.
    return tuple(replace(case, steps=case.steps[:1], checks=()) for case in (*plain, *known))


def _swept_cases(testbed: Testbed, filesystem: str) -> tuple[MountCase, ...]:
    """A sweep's points, up to the step that is armed."""
    fs = load_filesystem(filesystem)
    units = [
        SweepUnit(filesystem, event, kind)
        for event in SWEEP_DEFAULT
        if not sequence(fs, event).reason
        for kind in ("call", "alloc", "io")
    ]
    recordings = Recordings(testbed, expected=tuple(units))
    found = [recordings.case(unit, point) for unit in units for point in recordings.turn(unit)]
    return tuple(replace(case, steps=_until_armed(case.steps)) for case in found)


def _until_armed(steps: Sequence[Step]) -> tuple[Step, ...]:
    last = max(at for at, step in enumerate(steps) if step.fail is not None)
    return tuple(steps[: last + 1])


def mount_path(store: KernelStore, kernel: BuiltKernel, filesystem: str) -> dict[str, Function]:
    """The filesystem's functions that a mount may run, by name.

    Raises:
        InfrastructureError: the kernel's source is not there any more.
    """
    directory = f"fs/{filesystem}"
    makefile = store.sources.text(kernel, f"{directory}/Makefile")
    if makefile is None:
        raise InfrastructureError(
            f"{kernel.description}: no source of {directory}; expected the kernel's own"
        )
    known: dict[str, Function] = {}
    for name in source_files(makefile):
        path = f"{directory}/{name}"
        known.update(functions(path, store.sources.text(kernel, path) or ""))
    return called_from(_roots(filesystem), known)


def _roots(filesystem: str) -> tuple[str, ...]:
    return (load_filesystem(filesystem).fill_super, *_ENTRIES[filesystem])


# What the VFS calls by pointer while it mounts: the context's functions, and get_block when a page
# of a tree is read.
_ENTRIES = {
    "hfs": ("hfs_init_fs_context", "hfs_parse_param", "hfs_get_tree", "hfs_get_block"),
    "hfsplus": (
        "hfsplus_init_fs_context",
        "hfsplus_parse_param",
        "hfsplus_get_tree",
        "hfsplus_get_block",
    ),
}
