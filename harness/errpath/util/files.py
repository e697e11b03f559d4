"""Files that a reader sees whole or not at all."""

from __future__ import annotations

import contextlib
import itertools
import os
from collections.abc import Iterator
from pathlib import Path

__all__ = ["replacing"]

_count = itertools.count()


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A path beside `path` to write to, which takes its place when the block ends.

    Whoever reads `path` sees the old content or the new, never a part. If the block raises, what
    was written is removed and the old content stays.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.{next(_count)}")
    try:
        yield part
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
