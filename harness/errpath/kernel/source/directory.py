"""Sources in a plain directory: an unpacked tarball, or a tree of the user's without git."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from errpath.errors import SourceError
from errpath.kernel.source.tree import EXECUTABLE, LINK, REGULAR, File, digest
from errpath.util.files import replacing

__all__ = ["PlainDirectory", "PristineDirectory", "walk"]

# Products of a build inside the tree; kbuild refuses to build elsewhere from a tree that has them.
_PRODUCTS = (".config", "include/config/", "include/generated/", ".git/", ".tmp_versions/")
_PRODUCT_SUFFIXES = (".o", ".a", ".ko", ".cmd", ".mod", ".mod.c", ".o.d", ".order", ".symvers")


def walk(root: Path) -> Iterator[tuple[str, os.stat_result]]:
    """Every source file below `root` with its status, sorted by directory; no build products."""
    for directory, names, files in os.walk(root):
        prefix = "" if directory == str(root) else f"{os.path.relpath(directory, root)}/"
        names[:] = sorted(n for n in names if not _is_product(f"{prefix}{n}/"))
        for name in files + [n for n in names if (Path(directory) / n).is_symlink()]:
            path = f"{prefix}{name}"
            if not _is_product(path):
                yield path, os.lstat(os.path.join(directory, name))  # noqa: PTH118 (hot)


def _is_product(path: str) -> bool:
    if path.endswith(_PRODUCT_SUFFIXES) or path in _PRODUCTS:
        return True
    return path.startswith("arch/") and "/include/generated/" in path


def _read(path: Path) -> File | None:
    try:
        if path.is_symlink():
            return File(os.fsencode(path.readlink()), LINK)
        return File(path.read_bytes(), EXECUTABLE if os.access(path, os.X_OK) else REGULAR)
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return None


@dataclass(frozen=True)
class PristineDirectory:
    """A tarball unpacked into the cache: never written to, so its name stands for its content.

    `root` is named after the tarball; `label` is for people.
    """

    root: Path
    lineage: str
    label: str

    @property
    def identity(self) -> str:
        """The directory's name, after `tar:`; what lies in it never changes."""
        return f"tar:{self.root.name}"

    @property
    def description(self) -> str:
        """As it was asked for."""
        return self.label

    def manifest(self) -> dict[str, str]:
        """Path → the identity, for every file: all change together or not at all."""
        listing = self.root.with_name(f"{self.root.name}.files")
        try:
            paths = listing.read_text().splitlines()
        except FileNotFoundError:
            paths = [path for path, _ in walk(self.root)]
            with replacing(listing) as part:
                part.write_text("".join(f"{path}\n" for path in paths))
        return dict.fromkeys(paths, self.identity)

    def fetch(self, paths: Iterable[str]) -> Iterator[tuple[str, File]]:
        """The content of some files; paths that do not exist are left out."""
        for path in paths:
            if (file := _read(self.root / path)) is not None:
                yield path, file

    def populate(self, directory: Path) -> None:
        """Hard links: the workspace replaces a link to change a file, and never writes through."""
        for path in self.manifest():
            target = directory / path
            try:
                os.link(self.root / path, target, follow_symlinks=False)
            except FileNotFoundError:
                target.parent.mkdir(parents=True, exist_ok=True)
                os.link(self.root / path, target, follow_symlinks=False)

    def describe(self) -> dict[str, str]:
        """What `spec.load_base` needs to find the directory again."""
        return {
            "kind": "pristine",
            "root": self.root.name,
            "lineage": self.lineage,
            "label": self.label,
        }


class PlainDirectory:
    """A tree of the user's without git. A file's size and time of change stand for its content."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        self._tokens = {
            path: f"{status.st_mode:o}:{status.st_size}:{status.st_mtime_ns}"
            for path, status in walk(self.root)
        }
        self.identity = f"directory:{self.root}:{digest(self._tokens.items())}"
        name = hashlib.sha256(str(self.root).encode()).hexdigest()[:10]
        self.lineage = f"dir-{self.root.name}-{name}"
        self.description = str(self.root)

    def manifest(self) -> dict[str, str]:
        """Path → token of every file, as they were when the directory was read."""
        return dict(self._tokens)

    def fetch(self, paths: Iterable[str]) -> Iterator[tuple[str, File]]:
        """The content of some files; paths that do not exist are left out."""
        for path in paths:
            if (file := _read(self.root / path)) is not None:
                yield path, file

    def populate(self, directory: Path) -> None:
        """Write every file into an empty directory.

        Raises:
            SourceError: a file vanished meanwhile.
        """
        for path in self._tokens:
            target = directory / path
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                shutil.copy2(self.root / path, target, follow_symlinks=False)
            except FileNotFoundError as error:
                raise SourceError(f"{self.root}: {path} vanished while it was copied") from error

    def describe(self) -> dict[str, str]:
        """What `spec.load_base` needs; only a record, since the files may change."""
        return {"kind": "directory", "root": str(self.root), "identity": self.identity}
