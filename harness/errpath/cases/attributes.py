"""Extended attributes of HFS+: the attributes file is made, grows, shrinks, is full, is damaged and
lacks memory (fs/hfsplus/xattr.c, attributes.c)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from errpath.cases.case import Alternative, Device, MountCase
from errpath.cases.crafted import ReadsBack
from errpath.cases.steps import Step
from errpath.cases.volume_case import in_turn
from errpath.cases.volume_steps import (
    GetXattr,
    ListXattr,
    Mkdir,
    ReadBack,
    RemoveXattr,
    SetXattr,
    Sync,
    Unlink,
    WriteFile,
)
from errpath.faults.model import Alloc, Read
from errpath.images import Image
from errpath.images.crafted.fields import write_fields
from errpath.images.hfs.entries import File
from errpath.images.hfs.expected import expected_entries
from errpath.images.hfs.hfsplus import HfsPlusVolume
from errpath.kernel.features.change import Change

__all__ = ["attribute_cases"]

_NAME = "hfsplus"
# HFSPLUS_MAX_INLINE_DATA_SIZE, bytes.
_LARGEST = 3802
# Bytes of attributes of which a leaf of 8 KiB holds three, and can be split between them.
_SIZE = 2600
# More than HFSPLUS_ATTR_MAX_STRLEN with its prefix, and no more than the VFS takes.
_LONG = "user." + "n" * 150
_LARGE = tuple(f"user.large{number}" for number in range(8))
_ERRNOS_OF_XATTR = Change(
    "hfsplus: attributes that are too large, or not there, have errnos of their own (7.2)",
    file="fs/hfsplus/attributes.c",
    pattern=r"-E2BIG",
)
# The two attributes of one file, in one leaf.
_FILE, _FIRST, _VALUE = "attributes", "user.errpath", "value"
_OTHER = "user.other"
# Kept in the catalog, 32 bytes of it.
_FINDER = "osx.com.apple.FinderInfo"
_FINDER_SIZE = 32
# Neither type nor creator: what the Finder keeps is listed under a wrong name otherwise
# (docs/findings/hfsplus-finder-info-name.md).
_NO_TYPE = bytes(4)


def attribute_cases() -> Iterator[MountCase]:
    """The cases of HFS+; HFS has no attributes but those of the Finder."""
    volume = _volume(_file("readme"), free_blocks=80)
    yield _case(
        "made-and-removed",
        volume.image(),
        (_made(), _removed(), (ReadBack(),)),
        checks=(ReadsBack(expected_entries(volume)),),
    )
    yield _case("no-room-for-the-file", replace(volume, free_blocks=30).image(), (_refused(),))
    yield _case("full", _full(), (_no_room(),))
    none = replace(volume, attributes_tree=True)
    yield _case("none-of-a-file", none.image(), ((Unlink("readme"), Sync()),))
    yield _case("finder-info", volume.image(), _finder_info())
    # The catalog says of a file that it has attributes once one is stored.
    bare = (
        WriteFile("bare", ""),
        SetXattr("bare", "user.one", "b" * (_LARGEST + 1), expect="E2BIG"),
    )
    yield _case("none-stored", _two().image(), ((*bare, Sync()),))
    yield _case("file-of-no-blocks", _no_blocks(volume), (_inconsistent(),))
    unread = SetXattr("readme", "user.one", "1", fail=Read(nth=_NODE_READ), expect="EIO")
    yield _case("node-unread", volume.image(), ((unread,),))
    for one in _DAMAGES:
        image = write_fields(_two().image(), one.fields, name=one.name)
        yield _case(one.name, image, (one.steps,))
    for name, step, function, count in _WITHOUT_MEMORY:
        image = (volume if name == _MAKES_THE_FILE else _two()).image()
        for nth in range(1, count + 1):
            errno = _ERRNOS.get((name, nth))
            fault = Alloc(nth=nth, caller=function)
            failing = replace(step, fail=fault, expect=errno, any_errno=errno is None)
            yield _case(f"{name}-alloc-{nth}", image, ((failing,),))


def _file(path: str, *xattrs: tuple[str, bytes]) -> File:
    return File(path=path, data=b"errpath\n", type=_NO_TYPE, creator=_NO_TYPE, xattrs=xattrs)


def _volume(*entries: File, free_blocks: int = 16, spare_nodes: int = 4) -> HfsPlusVolume:
    return HfsPlusVolume(
        name="attributes",
        entries=entries,
        free_blocks=free_blocks,
        spare_nodes=spare_nodes,
        unused_node_fix=True,
    )


def _two() -> HfsPlusVolume:
    return _volume(_file(_FILE, (_FIRST, _VALUE.encode()), (_OTHER, b"x" * 100)))


def _case(
    name: str,
    image: Image,
    mounts: tuple[tuple[Step, ...], ...],
    checks: tuple[ReadsBack, ...] = (),
) -> MountCase:
    """What is done in one mount after another."""
    steps = in_turn(_NAME, mounts)
    older = tuple(map(_older, steps))
    return MountCase(
        f"{_NAME}-attributes-{name}",
        _NAME,
        Device(image),
        steps,
        point="attributes",
        checks=checks,
        alternatives=()
        if older == steps
        else (Alternative(_ERRNOS_OF_XATTR, older, checks, without=True),),
    )


def _older(step: Step) -> Step:
    """The step on a kernel that gives other errnos, and lists other attributes."""
    told = step.expected in ("E2BIG", "ENODATA") and not isinstance(step, GetXattr)
    return (
        replace(step, any_errno=True, carries_on=True)
        if told or isinstance(step, ListXattr)
        else step
    )


def _made() -> tuple[Step, ...]:
    """The first attribute makes the file. What large ones there are fill several leaves."""
    one = "user.one"
    return (
        GetXattr("readme", one, expect="EOPNOTSUPP"),
        SetXattr("readme", one, "1", "create"),
        GetXattr("readme", one, "1"),
        SetXattr("readme", one, "2", "create", expect="EOPNOTSUPP"),
        SetXattr("readme", one, "3"),
        GetXattr("readme", one, "3"),
        SetXattr("readme", "user.two", "2", "replace", expect="EOPNOTSUPP"),
        SetXattr("readme", "user.two", "b" * (_LARGEST + 1), expect="E2BIG"),
        GetXattr("readme", "user.two", expect="ENODATA"),
        RemoveXattr("readme", "user.two", expect="ENODATA"),
        SetXattr("readme", _LONG, "1", expect="ENAMETOOLONG"),
        GetXattr("readme", _LONG, expect="ENAMETOOLONG"),
        RemoveXattr("readme", _LONG, expect="ENAMETOOLONG"),
        ListXattr("readme", (one,)),
        *(SetXattr("readme", name, name[-1] * _SIZE) for name in _LARGE),
        *(SetXattr("readme", name, name[-1] * (_SIZE - 1), "replace") for name in _LARGE),
        Mkdir("directory"),
        SetXattr("directory", one, "1"),
        SetXattr("directory", "user.other", "2"),
        ListXattr("directory", (one, "user.other")),
        WriteFile("file", "text"),
        SetXattr("file", "user.last", "3"),
        Sync(),
    )


def _removed() -> tuple[Step, ...]:
    """One by one, and with what they belong to."""
    one = "user.one"
    return (
        *(GetXattr("readme", name, name[-1] * (_SIZE - 1)) for name in _LARGE),
        ListXattr("readme", (one, *_LARGE)),
        *(RemoveXattr("readme", name) for name in _LARGE),
        ListXattr("readme", (one,)),
        RemoveXattr("readme", one),
        GetXattr("readme", one, expect="ENODATA"),
        ListXattr("readme"),
        RemoveXattr("directory", one),
        GetXattr("directory", "user.other", "2"),
        Unlink("directory"),
        Unlink("file"),
        # Of a tree that has no attribute any more.
        WriteFile("last", ""),
        Unlink("last"),
        Sync(),
    )


def _no_blocks(volume: HfsPlusVolume) -> Image:
    """An attributes file that has a size, and no block."""
    fields = {"vh.attributesFile.logicalSize": volume.block_size}
    return write_fields(volume.image(), fields, name="no-blocks")


def _inconsistent() -> tuple[Step, ...]:
    """Found when the first attribute is stored; then the file is given up."""
    one = "user.one"
    return (
        SetXattr("readme", one, "1", expect="EIO"),
        SetXattr("readme", one, "1", expect="EOPNOTSUPP"),
    )


def _refused() -> tuple[Step, ...]:
    """Twice: the first try leaves the volume as it was."""
    refused = SetXattr("readme", "user.one", "1", expect="ENOSPC")
    return refused, refused, GetXattr("readme", "user.one", expect="EOPNOTSUPP"), Sync()


def _full() -> Image:
    """One leaf that is full and two free nodes, on a full volume: a fourth large attribute takes
    both of them."""
    large = tuple((name, name[-1].encode() * _SIZE) for name in _LARGE[:3])
    return _volume(_file(_FILE, *large), free_blocks=0, spare_nodes=2).image()


def _no_room() -> tuple[Step, ...]:
    """Whatever may need a node is refused before it changes anything."""
    fourth = _LARGE[3]
    return (
        SetXattr(_FILE, fourth, "3" * _SIZE),
        SetXattr(_FILE, "user.small", "1", expect="ENOSPC"),
        SetXattr(_FILE, fourth, "4", expect="ENOSPC"),
        RemoveXattr(_FILE, fourth, expect="ENOSPC"),
        GetXattr(_FILE, fourth, "3" * _SIZE),
        ListXattr(_FILE, _LARGE[:4]),
        Sync(),
    )


def _finder_info() -> tuple[tuple[Step, ...], ...]:
    """Of a file and a directory it is there from the start, has one size, and stays."""
    info, other = "F" * _FINDER_SIZE, "G" * _FINDER_SIZE
    paths = ("readme", "directory")
    written = [
        step
        for path in paths
        for step in (
            SetXattr(path, _FINDER, info),
            SetXattr(path, _FINDER, other, "create", expect="EOPNOTSUPP"),
            SetXattr(path, _FINDER, other[1:], expect="ERANGE"),
            RemoveXattr(path, _FINDER, expect="EOPNOTSUPP"),
            GetXattr(path, _FINDER, info),
        )
    ]
    read = tuple(GetXattr(path, _FINDER, info) for path in paths)
    return (Mkdir("directory"), *written, Sync()), read


@dataclass(frozen=True)
class _Damage:
    """Fields of the attributes tree that are changed, and what meets them."""

    name: str
    fields: Mapping[str, int]
    steps: tuple[Step, ...] = field(default=())


_RECORD = "attributes.node[1].record[0]"
_DAMAGES = (
    # HFSPLUS_ATTR_FORK_DATA, which no attribute has here.
    _Damage(
        "fork-record",
        {f"{_RECORD}.data.recordType": 0x20},
        (
            GetXattr(_FILE, _FIRST, expect="EOPNOTSUPP"),
            RemoveXattr(_FILE, _FIRST, expect="EOPNOTSUPP"),
            SetXattr(_FILE, _FIRST, "new", expect="EOPNOTSUPP"),
            Unlink(_FILE),
        ),
    ),
    _Damage(
        "record-of-no-type",
        {f"{_RECORD}.data.recordType": 0x99},
        (
            GetXattr(_FILE, _FIRST, expect="EIO"),
            RemoveXattr(_FILE, _FIRST, expect="ENOENT"),
            SetXattr(_FILE, _FIRST, "new", expect="ENOENT"),
            Unlink(_FILE),
        ),
    ),
    _Damage(
        "record-too-long",
        {f"{_RECORD}.data.attrSize": _LARGEST + 1},
        (GetXattr(_FILE, _FIRST, expect="EIO"), Unlink(_FILE)),
    ),
    _Damage(
        "leaf-of-another-kind",
        {"attributes.node[1].descriptor.kind": 2},
        (
            GetXattr(_FILE, _FIRST, expect="EIO"),
            ListXattr(_FILE, expect="EIO"),
            RemoveXattr(_FILE, _FIRST, expect="EIO"),
            SetXattr(_FILE, _FIRST, "new", expect="EIO"),
            Unlink(_FILE),
        ),
    ),
    # Searches that end without a node.
    _Damage(
        "no-root",
        {"attributes.header.rootNode": 0},
        (
            GetXattr(_FILE, _FIRST, expect="ENODATA"),
            ListXattr(_FILE),
            WriteFile("new", ""),
            Unlink("new"),
        ),
    ),
    _Damage(
        "no-such-root",
        {"attributes.header.rootNode": 200},
        (
            GetXattr(_FILE, _FIRST, expect="ENOMEM"),
            ListXattr(_FILE, expect="ENOMEM"),
            WriteFile("new", ""),
            Unlink("new"),
        ),
    ),
)
# Which read is the first of the attributes file that is made.
_NODE_READ = 2
# Where there is no attributes file yet.
_MAKES_THE_FILE = "file"
# A step, the function of fs/hfsplus that does it, and how many allocations there are below that, or
# how many of them fail.
_WITHOUT_MEMORY = (
    (_MAKES_THE_FILE, SetXattr("readme", "user.one", "1"), "hfsplus_setxattr", 9),
    ("create", SetXattr(_FILE, "user.new", "1"), "hfsplus_setxattr", 6),
    ("replace", SetXattr(_FILE, _FIRST, "1"), "hfsplus_setxattr", 6),
    ("get", GetXattr(_FILE, _FIRST, _VALUE), "hfsplus_getxattr", 7),
    ("list", ListXattr(_FILE, (_FIRST, _OTHER)), "hfsplus_listxattr", 7),
    ("remove", RemoveXattr(_FILE, _FIRST), "hfsplus_setxattr", 5),
    ("unlink", Unlink(_FILE), "hfsplus_delete_all_attrs", 2),
)
# Of the rest, any errno: which allocation is the nth depends on what is in memory. The third and
# the fourth are those of the search for an attribute, which is then one that is not there; the
# first four where the file is made come before it is there.
_ERRNOS = {
    **{(_MAKES_THE_FILE, nth): "ENOMEM" for nth in range(1, 5)},
    **{("create", 3): "", ("create", 4): ""},
    **{("replace", 3): "EEXIST", ("replace", 4): "EEXIST"},
}
