"""Filesystems that a test defines, known while it runs."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from errpath.filesystems import (
    Filesystem,
    add_filesystems,
    load_filesystem,
    remove_filesystems,
)

__all__ = ["define"]

# No name comes twice: images are kept by name for the whole process.
_numbers = itertools.count()


@pytest.fixture
def define(tmp_path: Path) -> Iterator[Callable[[str], Filesystem]]:
    """Defines a filesystem by the text of its file; what its recipe names lies in `tmp_path`."""

    def write(text: str) -> Filesystem:
        name = f"defined{next(_numbers)}"
        (tmp_path / f"{name}.yaml").write_text(text)
        return load_filesystem(name)

    add_filesystems(tmp_path)
    yield write
    remove_filesystems(tmp_path)
