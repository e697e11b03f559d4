"""`errpath images`: list the crafted images, show one decoded, write one to a file."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

from errpath.errors import UsageError
from errpath.images.crafted.catalogue import BASES, Case, base_image, catalogue, find_case
from errpath.images.crafted.mutant import Mutant
from errpath.images.crafted.show import show
from errpath.images.image import Image

__all__ = ["add_parser"]

_FILESYSTEMS = ("hfs", "hfsplus")


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the `images` command."""
    parser = commands.add_parser("images", help="crafted HFS and HFS+ images")
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    listing = actions.add_parser("list", help="one line for each crafted image")
    listing.add_argument("filesystem", nargs="?", choices=_FILESYSTEMS, help="of this one only")
    listing.add_argument("--known-issues", action="store_true", help="those that show kernel bugs")
    listing.set_defaults(handler=_list)
    showing = actions.add_parser("show", help="the decoded structures, what is corrupted marked")
    showing.add_argument("name", metavar="NAME", help="a crafted image, a base, or @BLOB of a test")
    showing.add_argument("--all", action="store_true", help="with what is not corrupted")
    showing.set_defaults(handler=_show)
    writing = actions.add_parser("write", help="write one as a sparse file")
    writing.add_argument("name", metavar="NAME", help="a crafted image, a base, or @BLOB of a test")
    writing.add_argument("file", metavar="FILE", type=Path, help="where to write it")
    writing.set_defaults(handler=_write)


def _list(arguments: argparse.Namespace) -> int:
    wanted = (arguments.filesystem,) if arguments.filesystem else _FILESYSTEMS
    for filesystem in wanted:
        for case in catalogue(filesystem).cases:
            if case.known_issue or not arguments.known_issues:
                print(_line(case))
    return 0


def _line(case: Case) -> str:
    errno = "varies" if case.any_errno else f"-{case.errno}" if case.errno else "mounts"
    if case.readonly:
        errno = "mounts ro"
    note = f"  [{case.known_issue}]" if case.known_issue else ""
    return f"{case.name:<36} {case.exit:<4} {errno:<10} {case.function}: {case.check}{note}"


def _show(arguments: argparse.Namespace) -> int:
    print("\n".join(_shown(arguments.name, whole=arguments.all)))
    return 0


def _shown(name: str, *, whole: bool) -> Iterator[str]:
    if name in BASES:
        yield show(base_image(name)).rstrip("\n")
        return
    if name.startswith("@"):
        mutant = _mutant(name[1:])
        yield show(mutant.image(), base=mutant.base, whole=whole).rstrip("\n")
        return
    filesystem, case = find_case(name)
    yield f"mount -t {filesystem}" + (f" -o {case.options}" if case.options else "")
    yield f"exit {case.exit}: {_line(case).partition(case.exit)[2].strip()}"
    if case.message:
        yield f"kernel: {case.message}"
    if case.logical_block_size != 512:
        yield f"device: logical sectors of {case.logical_block_size} bytes"
    yield show(case.image(), base=case.base_image(), whole=whole).rstrip("\n")


def _write(arguments: argparse.Namespace) -> int:
    image = _image(arguments.name)
    try:
        image.write(arguments.file)
    except OSError as error:
        raise UsageError(f"{arguments.file}: {error.strerror}; expected a file to write") from None
    print(f"{arguments.file}: {image.size} bytes, sha256 {image.sha256}")
    return 0


def _image(name: str) -> Image:
    if name in BASES:
        return base_image(name)
    if name.startswith("@"):
        return _mutant(name[1:]).image()
    return find_case(name)[1].image()


def _mutant(blob: str) -> Mutant:
    """The mutant that a failing property printed."""
    return Mutant.from_blob(blob, base_image(Mutant.base_of(blob)))
