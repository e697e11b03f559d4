"""`errpath images`: list crafted images, show one or a file decoded, write one, extract others."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

from errpath.errors import UsageError
from errpath.images.crafted.catalogue import BASES, Case, base_image, catalogue, find_case
from errpath.images.crafted.mutant import Mutant
from errpath.images.crafted.show import show
from errpath.images.file import load_image
from errpath.images.image import Image
from errpath.images.magic import filesystem_of
from errpath.intake.syz_image import SOURCE_MAX, extract_images

__all__ = ["add_parser"]

_FILESYSTEMS = ("hfs", "hfsplus")
# Bytes of a device.
_DIGEST_MAX = 1 << 30


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the `images` command."""
    parser = commands.add_parser("images", help="crafted images, and other people's")
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    listing = actions.add_parser("list", help="one line for each crafted image")
    listing.add_argument("filesystem", nargs="?", choices=_FILESYSTEMS, help="of this one only")
    listing.add_argument("--known-issues", action="store_true", help="those that show kernel bugs")
    listing.set_defaults(handler=_list)
    showing = actions.add_parser("show", help="the decoded structures, what is corrupted marked")
    showing.add_argument(
        "name",
        metavar="NAME|FILE",
        help="a crafted image, a base, @BLOB of a test, or an image file",
    )
    showing.add_argument("--all", action="store_true", help="with what is not corrupted")
    showing.set_defaults(handler=_show)
    writing = actions.add_parser("write", help="write one as a sparse file")
    writing.add_argument("name", metavar="NAME", help="a crafted image, a base, or @BLOB of a test")
    writing.add_argument("file", metavar="FILE", type=Path, help="where to write it")
    writing.set_defaults(handler=_write)
    extracting = actions.add_parser(
        "extract",
        help="the images that a reproducer of syzkaller carries (syz_mount_image), as files",
    )
    extracting.add_argument("source", metavar="FILE", type=Path, help="repro.c or repro.syz")
    extracting.add_argument(
        "--into", metavar="DIR", type=Path, default=Path(), help="where to write (default: here)"
    )
    extracting.set_defaults(handler=_extract)


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
    name = arguments.name
    # The catalogue's names have no directory and no suffix.
    if "/" in name or Path(name).is_file():
        print("\n".join(_file_shown(load_image(Path(name)))))
    else:
        print("\n".join(_shown(name, whole=arguments.all)))
    return 0


def _file_shown(image: Image) -> Iterator[str]:
    filesystem = filesystem_of(image)
    kept = sum(len(data) for _, data in image.extents)
    yield f"{image.name}: {filesystem or 'no filesystem that is known by a magic number'}"
    # The digest is of the whole device, zeros included.
    digest = f", sha256 {image.sha256}" if image.size <= _DIGEST_MAX else ""
    yield f"{image.size} bytes, {kept} of them beside zeros{digest}"
    if filesystem in _FILESYSTEMS:
        yield ""
        yield show(image).rstrip("\n")


def _extract(arguments: argparse.Namespace) -> int:
    """0 if the reproducer carries an image, 1 if it carries none."""
    try:
        text = arguments.source.read_bytes()[:SOURCE_MAX].decode(errors="replace")
        found = extract_images(text)
        for one in found:
            file = arguments.into / one.image.name
            file.parent.mkdir(parents=True, exist_ok=True)
            one.image.write(file)
            held = filesystem_of(one.image) or "nothing known"
            print(f"{file}: {one.image.size} bytes, mounted as {one.filesystem or '?'}, is {held}")
    except OSError as error:
        raise UsageError(f"{error.filename}: {error.strerror}; expected a file") from None
    if not found:
        print(f"errpath: {arguments.source}: carries no image", file=sys.stderr)
    return 0 if found else 1


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
