"""Valid and broken images of a filesystem, made by its recipe.

What a program made is kept in the cache, named by the recipe and the program itself: the same
machine gives the same bytes every time, even where the program writes times or random identifiers.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from dataclasses import asdict
from functools import cache
from pathlib import Path

from errpath.errors import DefinitionError, InfrastructureError, ToolMissingError, UsageError
from errpath.filesystems import Filesystem, ImageRecipe, known_filesystems, load_filesystem
from errpath.images import Image, blank
from errpath.images.crafted.bases import base_image
from errpath.images.file import load_image
from errpath.images.magic import filesystem_of
from errpath.images.simple import WRITERS
from errpath.util import process
from errpath.util.cache import cache_root, scratch_directory
from errpath.util.deadline import Deadline
from errpath.util.files import replacing

__all__ = [
    "BAD_IMAGES",
    "VALID",
    "failed_tool",
    "has_valid",
    "image",
    "image_kinds",
    "missing_tool",
    "own_filesystems",
    "unmade",
    "use_own_image",
    "volume_image",
]

VALID = "valid"
# Volumes of the user's (--image), by filesystem: they stand for the one that mkfs would make, in
# the whole process, as the images that are made are kept for the whole process.
_OWN: dict[str, Image] = {}
# Images of which a mount fails by itself.
BAD_IMAGES = ("blank", "truncated", "broken")

_SECONDS = 60.0
# Part of every name in the cache; to be raised when {tree} changes.
_TREE = "1"


def use_own_image(path: Path | None) -> str:
    """Take somebody's volume for the valid image of its filesystem; None takes it back. The
    filesystem's name, "" for None.

    Raises:
        UsageError: the file is no image (`errpath.images.file`), or of no filesystem that is
            known here.
    """
    for made in (image, _valid, _failure):
        made.cache_clear()
    _OWN.clear()
    if path is None:
        return ""
    own = load_image(path)
    name = filesystem_of(own)
    if name not in known_filesystems() or load_filesystem(name).image is None:
        what = f"holds {name}" if name else "no filesystem that is known by its magic number"
        raise UsageError(f"--image {path}: {what}; expected a volume of {', '.join(_imaged())}")
    _OWN[name] = own
    return name


def own_filesystems() -> tuple[str, ...]:
    """The filesystems with a volume of the user's."""
    return tuple(_OWN)


def _imaged() -> list[str]:
    return [name for name in known_filesystems() if load_filesystem(name).image is not None]


def has_valid(filesystem: Filesystem) -> bool:
    """Whether there is a way to a valid image."""
    recipe = filesystem.image
    return filesystem.name in _OWN or (recipe is not None and recipe.valid)


def image_kinds(filesystem: Filesystem) -> tuple[str, ...]:
    """The kinds of image that a filesystem has: all, or only blank ones."""
    assert filesystem.image is not None
    return (VALID, *BAD_IMAGES) if has_valid(filesystem) else ("blank",)


def missing_tool(filesystem: Filesystem, volume: str = "") -> str:
    """Why a valid image cannot be made on this machine; "" where it can be."""
    recipe = _recipe(filesystem, volume)
    own = not volume and filesystem.name in _OWN
    if recipe is None or not recipe.mkfs or own or _program(filesystem, recipe):
        return ""
    if recipe.mkfs[0].startswith("./"):
        return f"{filesystem.directory / recipe.mkfs[0]}: not there, or not executable"
    return f"{recipe.mkfs[0]}: not found on PATH (Debian package {recipe.package})"


def failed_tool(filesystem: Filesystem, volume: str = "") -> str:
    """Why the mkfs that is here makes no valid image; "" where it does, or is not here."""
    recipe = _recipe(filesystem, volume)
    if recipe is None or not recipe.valid or missing_tool(filesystem, volume):
        return ""
    return _failure(filesystem.name, volume)


def unmade(filesystem: Filesystem, volume: str = "") -> str:
    """Why there is no valid image of a filesystem that could have one, or of a further volume of
    it; "" where there is."""
    return missing_tool(filesystem, volume) or failed_tool(filesystem, volume)


@cache
def _failure(name: str, volume: str) -> str:
    try:
        volume_image(name, volume)
    except InfrastructureError as error:
        return str(error)
    return ""


def _recipe(filesystem: Filesystem, volume: str) -> ImageRecipe | None:
    """The recipe of a further volume, or of the smallest one."""
    return filesystem.volumes[volume] if volume else filesystem.image


def _program(filesystem: Filesystem, recipe: ImageRecipe) -> str | None:
    """The path of its mkfs."""
    name = recipe.mkfs[0]
    return (
        shutil.which(filesystem.directory / name)
        if name.startswith("./")
        else process.program_path(name)
    )


@cache
def image(name: str, kind: str = VALID) -> Image:
    """An image of the filesystem of this name; `kind` is VALID or one of BAD_IMAGES.

    Raises:
        ToolMissingError: its mkfs is not installed; InfrastructureError: that failed.
    """
    recipe = load_filesystem(name).image
    assert recipe is not None, name
    label = f"{name}-{kind}"
    if kind == "blank":
        return blank(recipe.size, name=label)
    valid = _valid(name)
    if kind == "truncated":
        half = valid.size // 1024 * 512
        return valid.truncated(recipe.truncated or half, name=label)
    if kind == "broken":
        old = valid.read(recipe.broken_at, recipe.broken_bytes)
        return valid.patched(recipe.broken_at, bytes(byte ^ 0xFF for byte in old), name=label)
    return valid.renamed(label)


def volume_image(name: str, volume: str) -> Image:
    """A further volume of a filesystem; "" is the valid one.

    Raises:
        ToolMissingError: its mkfs is not installed; InfrastructureError: that failed.
    """
    return _valid(name, volume).renamed(f"{name}-{volume}") if volume else image(name)


@cache
def _valid(name: str, volume: str = "") -> Image:
    if name in _OWN and not volume:
        return _OWN[name]
    recipe = _recipe(load_filesystem(name), volume)
    assert recipe is not None, name
    pieces = [(int(place), bytes.fromhex(data)) for place, data in recipe.changed.items()]
    return _unchanged(name, volume, recipe).patched_all(pieces)


def _unchanged(name: str, volume: str, recipe: ImageRecipe) -> Image:
    filesystem = load_filesystem(name)
    if recipe.writer:
        return WRITERS[recipe.writer](recipe.size)
    if recipe.base:
        return _sized(base_image(recipe.base), recipe, recipe.base)
    if recipe.file:
        file = filesystem.directory / recipe.file
        return _sized(Image.from_file(file), recipe, str(file))
    program = _program(filesystem, recipe)
    if program is None:
        raise ToolMissingError(missing_tool(filesystem, volume))
    # What is written over it afterwards is not the program's.
    made = {key: value for key, value in asdict(recipe).items() if key != "changed"}
    key = hashlib.sha256(json.dumps([_TREE, made], sort_keys=True).encode())
    key.update(Path(program).read_bytes())
    cached = cache_root() / "images" / f"{name}-{key.hexdigest()[:24]}.img"
    if not cached.is_file():
        _make(name, recipe, program, cached)
    return Image.from_file(cached)


def _sized(found: Image, recipe: ImageRecipe, what: str) -> Image:
    if found.size > recipe.size:
        raise DefinitionError(f"{what}: {found.size} bytes; expected at most {recipe.size}")
    return found if found.size == recipe.size else found.placed(0, recipe.size)


def _make(name: str, recipe: ImageRecipe, program: str, cached: Path) -> None:
    with scratch_directory() as scratch:
        file, tree = scratch / "image", scratch / "tree"
        _plant(tree)
        with file.open("wb") as empty:
            empty.truncate(recipe.size)
        words = [word.format(image=file, tree=tree) for word in recipe.mkfs[1:]]
        try:
            process.run(
                [program, *words],
                cwd=scratch,
                env={"LC_ALL": "C", "TZ": "UTC", **recipe.environment},
                deadline=Deadline.after(_SECONDS, recipe.mkfs[0]),
            )
        except process.ProgramError as error:
            printed = (error.completed.stderr + error.completed.stdout).decode(errors="replace")
            lines = [line for line in printed.splitlines() if line.strip()]
            first = f" ({' / '.join(lines[:3])})" if lines else ""
            raise InfrastructureError(f"filesystem {name}: {error}{first}") from None
        size = file.stat().st_size
        if size > recipe.size:
            raise InfrastructureError(
                f"filesystem {name}: {recipe.mkfs[0]} made {size} bytes; "
                f"expected at most {recipe.size}"
            )
        os.truncate(file, recipe.size)
        sparse = scratch / "sparse"
        Image.from_file(file).write(sparse)
        # In one step: another worker may be making the same.
        cached.parent.mkdir(parents=True, exist_ok=True)
        with replacing(cached) as part:
            process.run(["cp", "--sparse=always", sparse, part])


def _plant(tree: Path) -> None:
    """A directory with one small file, its times fixed."""
    tree.mkdir()
    file = tree / "readme"
    file.write_text("errpath\n")
    for path in (file, tree):
        os.utime(path, (1_000_000_000, 1_000_000_000))
