"""Cases that are kept: a YAML file each, with an image or a reproducer beside it.

    id: my-leak
    filesystem: hfs
    image: my-leak.img.xz
    steps:
    - {op: mount, fstype: hfs, fail: {type: return, function: setup_bdev_super, errno: EIO}}
    shows: {title: memory leak in hfs_init_fs_context}
    link: https://lore.kernel.org/…

`steps` make it a case, `reproducer` (a file) a program. It fails where its kernel has the bug and
passes where it has the fix. With `known: true` a failure is expected, and a pass is reported.
"""

from __future__ import annotations

import lzma
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from errpath.cases.case import MountCase
from errpath.errors import DefinitionError, UsageError
from errpath.images.file import load_image
from errpath.intake.case_text import case_from_values, case_to_values
from errpath.util.files import replacing

__all__ = ["KEPT_TEST", "Kept", "find_kept", "keep_case", "keep_reproducer", "load_kept"]

# The test that runs what is kept in its directory.
KEPT_TEST = "test_kept.py"
_TEST = '''"""Runs what `errpath keep` has put here: each YAML file is a case or a reproducer."""

import pytest

from errpath import expect_not_reproduced, kept_cases, kept_reproducers


@pytest.mark.parametrize("case", kept_cases(__file__))
def test_kept(case):
    """Passes where the kernel has the fix; the plugin judges the case."""


@pytest.mark.parametrize("reproducer", kept_reproducers(__file__))
def test_kept_reproducer(testbed, reproducer):
    """Passes where the reproducer shows nothing (with --guest repro)."""
    expect_not_reproduced(testbed, reproducer)
'''
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,60}")
_OWN_KEYS = ("shows", "link", "known", "reproducer", "title")


@dataclass(frozen=True)
class Kept:
    """One file."""

    name: str
    # The one or the other.
    case: MountCase | None = None
    reproducer: Path | None = None
    # What the bug shows, where that is known; "" where it is not.
    title: str = ""
    link: str = ""
    # The bug is not mended yet: a failure is expected.
    known: bool = False


def load_kept(directory: Path) -> tuple[Kept, ...]:
    """What is kept in a directory, by name.

    Raises:
        DefinitionError: a file is wrong; UsageError: an image cannot be read.
    """
    return tuple(_load(file) for file in sorted(directory.glob("*.yaml")))


def find_kept(file: Path) -> Kept | None:
    """What is kept in a file; None where there is no such file.

    Raises:
        DefinitionError, UsageError: as `load_kept`, of any file beside it too.
    """
    return next((one for one in load_kept(file.parent) if one.name == file.stem), None)


def _load(file: Path) -> Kept:
    try:
        values = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise DefinitionError(f"{file}: {reason}; expected a kept case") from None
    if not isinstance(values, dict):
        raise DefinitionError(f"{file}: expected a mapping")
    own = {key: values.pop(key) for key in _OWN_KEYS if key in values}
    shows = own.get("shows") or {}
    title = str(shows.get("title", "")) if isinstance(shows, dict) else ""
    labels = (title, str(own.get("link", "")), bool(own.get("known", False)))
    if "reproducer" in own:
        source = file.parent / str(own["reproducer"])
        if not source.is_file() or source.parent != file.parent:
            raise DefinitionError(f"{file}: reproducer {source.name}: no such file beside it")
        return Kept(file.stem, None, source, *labels)
    image = None
    if "image" in values:
        image = load_image(file.parent / Path(str(values["image"])).name)
    return Kept(file.stem, case_from_values(values, image, file), None, *labels)


def keep_case(
    case: MountCase, directory: Path, name: str, *, title: str = "", link: str = "", known: bool
) -> Path:
    """Write a case with its image, and the test that runs it; the YAML file.

    Raises:
        UsageError: the name is no file's name or taken, or the case cannot be kept.
    """
    values = {**case_to_values(case), "id": name}
    file = _new(directory, name)
    image = case.device.content
    if image is not None:
        packed = f"{name}.img.xz"
        with replacing(directory / packed) as part, lzma.open(part, "wb") as out:
            for chunk in image.chunks():
                out.write(chunk)
        values["image"] = packed
        values.get("device", {}).pop("size", None)
    _write(file, values, title, link, known)
    return file


def keep_reproducer(
    source: Path, directory: Path, name: str, *, title: str = "", link: str = "", known: bool
) -> Path:
    """The same for a reproducer's source.

    Raises:
        UsageError: as `keep_case`, or the source cannot be read.
    """
    file = _new(directory, name)
    copy = directory / f"{name}{source.suffix}"
    try:
        data = source.read_bytes()
    except OSError as error:
        raise UsageError(f"{source}: {error.strerror}; expected a reproducer") from None
    copy.write_bytes(data)
    _write(file, {"reproducer": copy.name}, title, link, known)
    return file


def _new(directory: Path, name: str) -> Path:
    if not _NAME.fullmatch(name):
        raise UsageError(f"--as {name}: expected small letters, digits, _ and -")
    directory.mkdir(parents=True, exist_ok=True)
    file = directory / f"{name}.yaml"
    if file.exists():
        raise UsageError(f"{file}: is there; expected a new name")
    return file


def _write(file: Path, values: Mapping[str, Any], title: str, link: str, known: bool) -> None:
    labels = {
        **({"shows": {"title": title}} if title else {}),
        **({"link": link} if link else {}),
        **({"known": True} if known else {}),
    }
    text = yaml.safe_dump({**values, **labels}, sort_keys=False, allow_unicode=True, width=100)
    test = file.parent / KEPT_TEST
    if not test.exists():
        test.write_text(_TEST)
    file.write_text(text)
