"""Repair of an object tree whose build was cut off.

A compiler that was killed leaves half an object file, younger than its source: make would take it
for finished. kbuild writes an object's `.name.cmd` after the object, so an object younger than its
`.cmd`, or without one where others have theirs, was never finished. A `.cmd` may be cut short as
well: whatever was written in the last moments is made again. What is older than the build that was
cut off is whole: the tools that a build makes first have archives without a `.cmd`, and a tool that
is made again makes every object seem old.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from errpath.util.progress import Progress

__all__ = ["repair"]

# How far before the last write a file is still distrusted, in seconds.
_LAST_MOMENTS = 5.0
# By how much times of files are off, in seconds.
_CLOCK_GRAIN = 1.0
# Files of ours, which need no lock.
_KEEP = ("errpath.",)


def repair(objects: Path, progress: Progress, *, since: float = 0.0) -> int:
    """Remove what may be half-written below an object tree; the number of files removed.

    `since` is when the build began that was cut off, in seconds since the epoch.
    """
    times = dict(_times(objects))
    if not times:
        return 0
    first = max(since - _CLOCK_GRAIN, max(times.values()) - _LAST_MOMENTS)
    doubtful = {path for path, time in times.items() if time > first}
    for path, time in times.items():
        directory, name = os.path.split(path)
        if time < since - _CLOCK_GRAIN or (name.startswith(".") and name.endswith(".cmd")):
            continue
        command = os.path.join(directory, f".{name}.cmd")  # noqa: PTH118 (hot)
        if command in times:
            if time > times[command] or command in doubtful:
                doubtful |= {path, command}
        elif name.endswith((".o", ".a", ".ko")):
            doubtful.add(path)
    for path in doubtful:
        Path(path).unlink(missing_ok=True)
    if doubtful:
        progress.say(f"the last build was cut off; {len(doubtful)} files of it are made again")
    return len(doubtful)


def _times(objects: Path) -> Iterator[tuple[str, float]]:
    for directory, _, names in os.walk(objects):
        for name in names:
            path = os.path.join(directory, name)  # noqa: PTH118 (hot)
            if not name.startswith(_KEEP) and name != ".config" and not os.path.islink(path):  # noqa: PTH114
                yield path, os.lstat(path).st_mtime
