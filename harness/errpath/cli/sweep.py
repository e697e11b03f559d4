"""`errpath sweep FILESYSTEM …`: everything that a mount does fails once."""

from __future__ import annotations

import argparse
from datetime import date

from errpath.cases.lifecycle import parse_filesystems
from errpath.cases.sweeping import parse_sweep_events, parse_volumes
from errpath.cli.parser import add_groups
from errpath.cli.pytest_run import run_pytest
from errpath.errors import UsageError
from errpath.faults.points import POINT_KINDS, USUAL, parse_point_kinds
from errpath.filesystems import SWEEP_EVENTS
from errpath.filesystems.mkfs import use_own_image
from errpath.runner.options import (
    RUN_GROUPS,
    ImageOptions,
    MatrixOptions,
    ResultOptions,
    RunOptions,
    SweepOptions,
)
from errpath.runner.sweep_rotation import parse_rotation
from errpath.util.resources import SUITES, suite_path

__all__ = ["add_parser"]


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the `sweep` command."""
    parser = commands.add_parser(
        "sweep", help="fail every call, allocation and block request of an event once"
    )
    parser.add_argument(
        "filesystem", nargs="*", metavar="FILESYSTEM", help="such as ext4; all without one"
    )
    parser.add_argument(
        "--event",
        default="",
        metavar="EVENTS",
        help=f"these instead of the first six of: {', '.join(SWEEP_EVENTS)}; or all",
    )
    parser.add_argument(
        "--kinds",
        default="",
        metavar="KINDS",
        help=f"these of {', '.join(POINT_KINDS)}, or all, instead of {', '.join(USUAL)}",
    )
    parser.add_argument(
        "--volume",
        default="",
        metavar="NAMES",
        help="further volumes, such as mmp of ext4, instead of the smallest; or all",
    )
    parser.add_argument(
        "--point", action="append", default=[], metavar="CASE-ID", help="only the point of this id"
    )
    parser.add_argument(
        "--rotation",
        default="",
        metavar="I/N",
        help="of points that an earlier event has as well, the I-th of N parts; none for all; "
        "without it, and without a FILESYSTEM, the part of the day, of seven",
    )
    add_groups(parser, *RUN_GROUPS, ResultOptions)
    parser.set_defaults(handler=_sweep)


def _sweep(arguments: argparse.Namespace) -> int:
    """pytest's own status: 0 passed, 1 failed."""
    if not SUITES.is_dir():
        raise UsageError(f"{SUITES}: no suites; expected them where errpath is installed")
    parse_sweep_events(arguments.event)
    parse_point_kinds(arguments.kinds)
    parse_rotation(arguments.rotation, today=date.today(), whole=not arguments.filesystem)
    use_own_image(ImageOptions.from_namespace(arguments).image)
    filesystems = parse_filesystems(",".join(arguments.filesystem))
    parse_volumes(arguments.volume, filesystems)
    names = ",".join(filesystems)
    chosen = SweepOptions(arguments.event, arguments.kinds, arguments.volume, arguments.rotation)
    words = [
        suite_path("sweep"),
        *(MatrixOptions(fs=names).to_argv() if arguments.filesystem else ()),
        *chosen.to_argv(),
        *(word for point in arguments.point for word in ("--case", point)),
        *RunOptions.from_namespace(arguments).to_argv(),
        *ResultOptions.from_namespace(arguments).to_argv(),
    ]
    return run_pytest([*words, "-q"])
