"""`errpath kernel build|list|rm|survey|prune`."""

from __future__ import annotations

import argparse
import functools
from collections.abc import Callable, Sequence
from pathlib import Path

from errpath.cli import kernel_survey
from errpath.cli.parser import add_groups
from errpath.errors import UsageError
from errpath.guest.definition import load_guest
from errpath.kernel.build.built import KernelRequest
from errpath.kernel.build.kconfig import DEFAULT_FRAGMENTS
from errpath.kernel.build.store import KernelStore
from errpath.kernel.source.patches import given_patches
from errpath.kernel.source.spec import FORMS
from errpath.runner.options import DEFAULT_KERNEL, KernelOptions, LogOptions
from errpath.util.progress import Progress
from errpath.util.times import local_minute

__all__ = ["add_parser", "add_request_options", "run_kernel", "to_request"]

MakeStore = Callable[..., KernelStore]


def add_parser(
    subparsers: argparse._SubParsersAction[argparse.ArgumentParser],
    *,
    make_store: MakeStore = KernelStore,
    fragments: Sequence[Path] = DEFAULT_FRAGMENTS,
) -> None:
    """Add the `kernel` command; its handler is `args.handler(args)`, which returns a status.

    `make_store` gives the store, `fragments` are of the kernels that it builds.
    """
    parser = subparsers.add_parser("kernel", help="build, list, survey and remove kernels")
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    build = actions.add_parser("build", help="build a kernel, or find it in the cache")
    add_request_options(build)
    build.add_argument(
        "--modules",
        metavar="NAME,NAME",
        default="",
        help="also build these modules and what they need, such as hfs,hfsplus",
    )
    build.add_argument(
        "--guest",
        metavar="NAME",
        default="",
        help="the kernel of this guest, such as kasan, instead of the default guest's",
    )
    build.add_argument("--jobs", type=int, metavar="N", help="compilers at once (default: CPUs)")
    build.set_defaults(handler=functools.partial(_build, make_store, fragments))
    listing = actions.add_parser("list", help="list the kernels in the cache")
    listing.set_defaults(handler=functools.partial(_list, make_store))
    remove = actions.add_parser("rm", help="remove kernels from the cache")
    remove.add_argument("keys", nargs="*", metavar="KEY", help="a key, or its beginning")
    remove.add_argument("--all", action="store_true", help="everything, sources included")
    remove.set_defaults(handler=functools.partial(_remove, make_store))
    kernel_survey.add_parsers(actions)


def add_request_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that say which kernel."""
    parser.add_argument("spec", nargs="?", default=DEFAULT_KERNEL, metavar="KERNEL", help=FORMS)
    add_groups(parser, KernelOptions, LogOptions, without=("kernel",))
    parser.add_argument("--name", default="", help="what to call this kernel in reports")


def to_request(
    args: argparse.Namespace, fragments: Sequence[Path] = DEFAULT_FRAGMENTS
) -> KernelRequest:
    """The request that the options of `add_request_options` make.

    Raises:
        UsageError: no such file, or standard input has none (`given_patches`).
    """
    given = KernelOptions.from_namespace(args)
    return KernelRequest(
        spec=args.spec,
        patches=given_patches(given.patch),
        kconfig_add=given.kconfig_add,
        fragments=tuple(fragments),
        name=args.name,
    )


def run_kernel(args: argparse.Namespace) -> int:
    """Run the action that was parsed; the command's exit status."""
    handler: Callable[[argparse.Namespace], int] = args.handler
    return handler(args)


def _build(make_store: MakeStore, fragments: Sequence[Path], args: argparse.Namespace) -> int:
    store = make_store(progress=Progress(), jobs=args.jobs)
    own = load_guest(args.guest).fragments if args.guest else fragments
    kernel = store.build(to_request(args, own))
    print(f"{kernel.key[:12]}  {kernel.release}  {kernel.description}")
    print(kernel.directory)
    names = [name for name in args.modules.replace(",", " ").split() if name]
    for module in store.modules(kernel, names) if names else ():
        print(module.path)
    return 0


def _list(make_store: MakeStore, args: argparse.Namespace) -> int:
    store = make_store(progress=Progress())
    for kernel in store.inventory.list():
        when = local_minute(kernel.built)
        print(
            f"{kernel.key[:12]}  {when}  {_mebibytes(kernel.size):>9}  "
            f"{kernel.release}  {kernel.description}"
        )
    print(f"{_mebibytes(store.inventory.size())} in {store.layout.root}")
    return 0


def _remove(make_store: MakeStore, args: argparse.Namespace) -> int:
    if bool(args.keys) == args.all:
        raise UsageError("kernel rm: expected keys (see errpath kernel list), or --all")
    store = make_store(progress=Progress())
    freed = 0
    for prefix in args.keys or [""]:
        if not prefix and not args.all:
            raise UsageError("kernel rm: an empty key matches every kernel (expected --all)")
        removed = store.inventory.remove(prefix)
        freed += removed.freed
        for kernel in removed.kernels:
            print(f"removed {kernel.key[:12]}  {kernel.description}")
    print(f"{_mebibytes(freed)} freed")
    return 0


def _mebibytes(size: int) -> str:
    return f"{size / 2**20:.0f} MiB"
