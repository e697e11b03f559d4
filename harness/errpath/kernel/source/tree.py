"""Kernel sources as one kind of thing: a base that never changes, and files laid over it.

A base names every file with a token; two files with the same path and token have the same content.
What lies over it (uncommitted changes, patches) is small and kept in memory.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

__all__ = ["EXECUTABLE", "LINK", "REGULAR", "Base", "File", "Overlay", "Tree", "digest"]

# Git's three kinds of file.
REGULAR, EXECUTABLE, LINK = 0o100644, 0o100755, 0o120000


@dataclass(frozen=True)
class File:
    """One file's content. `mode` is as in git; the content of a link is its target."""

    content: bytes
    mode: int = REGULAR

    @property
    def token(self) -> str:
        """As a git tree names it, so that a change has one name before and after its commit."""
        blob = hashlib.sha1(b"blob %d\0" % len(self.content), usedforsecurity=False)
        blob.update(self.content)
        return f"{self.mode:o}:{blob.hexdigest()}"


# Path below the source root -> content; None where the file is removed.
Overlay = Mapping[str, File | None]


class Base(Protocol):
    """Where unpatched sources come from."""

    @property
    def identity(self) -> str:
        """A text that changes whenever any file does."""

    @property
    def lineage(self) -> str:
        """Name of the workspace that these sources share with their relatives."""

    @property
    def description(self) -> str:
        """For people, such as `debian:7.2 (7.2.12-1~bpo13+1)`."""

    def manifest(self) -> dict[str, str]:
        """Path -> token of every file."""

    def fetch(self, paths: Iterable[str]) -> Iterator[tuple[str, File]]:
        """The content of some files; paths that do not exist are left out."""

    def populate(self, directory: Path) -> None:
        """Write every file into an empty directory."""

    def describe(self) -> dict[str, str]:
        """What `spec.load_base` needs to find this base again."""


@dataclass(frozen=True)
class Tree:
    """A base and what lies over it."""

    base: Base
    overlay: Overlay = field(default_factory=dict)

    @property
    def identity(self) -> str:
        """The base's, with a digest of what lies over it."""
        if not self.overlay:
            return self.base.identity
        tokens = {path: file.token if file else "-" for path, file in self.overlay.items()}
        return f"{self.base.identity}+{digest(tokens.items())}"

    def manifest(self) -> dict[str, str]:
        """Path -> token of every file, the overlay applied."""
        tokens = self.base.manifest()
        for path, file in self.overlay.items():
            if file is None:
                tokens.pop(path, None)
            else:
                tokens[path] = file.token
        return tokens

    def fetch(self, paths: Iterable[str]) -> Iterator[tuple[str, File]]:
        """The content of some files, the overlay applied; missing ones are left out."""
        below = []
        for path in paths:
            if path not in self.overlay:
                below.append(path)
            elif (file := self.overlay[path]) is not None:
                yield path, file
        if below:
            yield from self.base.fetch(below)

    def read(self, path: str) -> File | None:
        """One file, or None if the tree has none at that path."""
        return next((file for _, file in self.fetch([path])), None)

    def write(self, paths: Iterable[str], directory: Path) -> dict[str, File]:
        """Write some files into a directory; those that the tree has."""
        found = dict(self.fetch(paths))
        for path, file in found.items():
            target = directory / path
            target.parent.mkdir(parents=True, exist_ok=True)
            if file.mode == LINK:
                target.symlink_to(os.fsdecode(file.content))
            else:
                target.write_bytes(file.content)
                target.chmod(file.mode & 0o777)
        return found

    def over(self, overlay: Overlay) -> Tree:
        """This tree with more laid over it."""
        return Tree(self.base, {**self.overlay, **overlay})


def digest(pairs: Iterable[tuple[str, str]]) -> str:
    """A short hash over path/token pairs, whatever their order."""
    state = hashlib.sha256()
    for path, token in sorted(pairs):
        state.update(f"{path}\0{token}\n".encode())
    return state.hexdigest()[:20]
