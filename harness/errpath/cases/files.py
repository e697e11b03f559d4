"""Files that ordinary use makes on any filesystem: in pieces, with long names, truncated, renamed,
removed. A use after a mount (`Use`) has one small file; what more of it does to a volume is here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from errpath.cases.case import Device, MountCase
from errpath.cases.lifecycle.cell import step
from errpath.cases.steps import Step, Umount
from errpath.cases.sweeping import cannot_have
from errpath.cases.volume_steps import (
    AppendFile,
    Mkdir,
    ReadFile,
    Rename,
    SyncAll,
    Truncate,
    Unlink,
    WriteFile,
)
from errpath.errors import ErrpathError
from errpath.filesystems import known_filesystems, load_filesystem
from errpath.filesystems.mkfs import volume_image
from errpath.images import Image

__all__ = ["file_cases"]

# Bytes, of which a cluster of the smallest volumes has four at most: two files that grow in turns
# lie in pieces.
_PIECE = 1024
_TURNS_MAX = 6
# So much of the one is cut off.
_CUT = 1100
# Of a volume, so many bytes are for one turn of a file: bfs moves all of it, and leaves a hole.
_ROOM = 8 * _PIECE
# Of a name that is longer than a directory's block of some, and than any name of others.
_LONG = 200
_SECONDS = 20.0


def file_cases(
    filesystems: Iterable[str] = (), *, volume: Callable[[str, str], Image] = volume_image
) -> Iterator[MountCase]:
    """One case for each of these filesystems, or of all, that can be written to. Those of HFS and
    HFS+ are in `errpath.cases.growth`. `volume` makes a volume, as `volume_image` does."""
    for name in filesystems or known_filesystems():
        fs = load_filesystem(name)
        if name in ("hfs", "hfsplus") or fs.read_only or cannot_have(fs, "fsync-remount"):
            continue
        try:
            device = Device(volume(name, ""))
        except ErrpathError:
            # The matrix has an error of it.
            continue
        assert device.content is not None
        turns = min(_TURNS_MAX, device.content.size // _ROOM)
        mount = step(fs, "mount", "rw")
        steps = (mount, *_made(turns), Umount(), mount, *_removed(turns), Umount())
        yield MountCase(
            f"killsb-{name}-files", name, device, steps, point="files", seconds=_SECONDS, batch=name
        )


def _made(turns: int) -> Iterator[Step]:
    yield WriteFile("one", data="")
    yield WriteFile("other", data="")
    for _ in range(turns):
        yield AppendFile("one", data="o" * _PIECE)
        yield AppendFile("other", data="t" * _PIECE)
    yield SyncAll()
    yield Truncate("one", turns * _PIECE - _CUT)
    yield Rename("other", "again")
    # Some have no directories, and shorter names.
    yield Mkdir("dir", any_errno=True, carries_on=True)
    for letter in "ab":
        yield WriteFile(letter * _LONG, data="text", any_errno=True, carries_on=True)
    yield ReadFile("one", data="o" * (turns * _PIECE - _CUT))


def _removed(turns: int) -> Iterator[Step]:
    """After another mount, which has nothing of it in memory."""
    yield ReadFile("one", data="o" * (turns * _PIECE - _CUT))
    yield ReadFile("again", data="t" * (turns * _PIECE))
    for letter in "ab":
        yield Unlink(letter * _LONG, any_errno=True, carries_on=True)
    yield Unlink("dir", any_errno=True, carries_on=True)
    yield Unlink("one")
    yield Unlink("again")
    yield SyncAll()
