"""`errpath leakcheck build`: the leak verdict as a program for other runners."""

from __future__ import annotations

import argparse
from pathlib import Path

from errpath.beside.leakcheck import built_kernel, canary_for, write_leakcheck
from errpath.cli.parser import add_groups
from errpath.errors import UsageError
from errpath.kernel import KernelStore
from errpath.oracles.modules import CANARY
from errpath.runner.options import KernelOptions, LogOptions, RunOptions, choices
from errpath.util.progress import Progress

__all__ = ["add_parser"]


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the `leakcheck` command."""
    parser = commands.add_parser("leakcheck", help="build errpath-leakcheck for other runners")
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    build = actions.add_parser(
        "build",
        help="write the static program, the canary's source for DKMS, and its module",
        description="Without --kernel, no module is built: DKMS makes it on the machine. A kernel "
        "that is built already (in place, with O=, or its headers) gets a module that it loads; "
        "any other means errpath's own build of it.",
    )
    add_groups(build, KernelOptions, LogOptions)
    build.add_argument(
        "-o", "--output", type=Path, required=True, metavar="DIR", help="where to write them"
    )
    build.set_defaults(handler=_build)


def _build(arguments: argparse.Namespace) -> int:
    options = RunOptions.from_namespace(arguments)
    if len(options.kernel.kernel) > 1:
        raise UsageError("leakcheck build: expected one --kernel at most")
    module = _module(options) if options.kernel != KernelOptions() else None
    for path in write_leakcheck(arguments.output, module):
        print(path)
    return 0


def _module(options: RunOptions) -> bytes:
    """The canary for the kernel that is asked for."""
    spec = next(iter(options.kernel.kernel), "")
    build = built_kernel(spec)
    if build is not None and options.kernel == KernelOptions(kernel=(spec,)):
        return canary_for(build)
    store = KernelStore(progress=Progress())
    kernel = store.build(choices(options)[0].testbed.kernel)
    return store.external(kernel, CANARY.directory).stripped.read_bytes()
