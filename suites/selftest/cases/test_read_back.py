"""What a guest tells of a volume, against what was written."""

from __future__ import annotations

import struct
from dataclasses import replace

import pytest

from errpath.cases.case import Outcome
from errpath.cases.crafted import KeepsXattrs
from errpath.cases.read_back import ReadEntry, differences, parse_entries
from errpath.errors import InfrastructureError
from errpath.images.hfs import hfs
from errpath.images.hfs.expected import ExpectedEntry, expected_entries


def _bytes(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data


def _record(found: ReadEntry) -> bytes:
    xattrs = b"".join(_bytes(name) + _bytes(value) for name, value in found.xattrs.items())
    return (
        _bytes(found.path)
        + struct.pack(">IIqQ", found.mode, found.links, found.mtime, found.size)
        + _bytes(found.target)
        + struct.pack(">I", len(found.xattrs))
        + xattrs
        + _bytes(found.data)
        + struct.pack(">II", found.errno, found.xattr_errno)
    )


def _as_written(entry: ExpectedEntry, data: bytes) -> ReadEntry:
    return ReadEntry(
        entry.path,
        entry.mode,
        entry.links or 2,
        entry.mtime,
        entry.size or 0,
        entry.target,
        dict(entry.xattrs),
        data,
    )


_VOLUME = hfs.volume()
_DATA = {entry.path.encode(): getattr(entry, "data", b"") for entry in _VOLUME.entries}
_FOUND = tuple(_as_written(entry, _DATA[entry.path]) for entry in expected_entries(_VOLUME))


def test_a_report_is_read_back_and_sorted() -> None:
    blob = b"".join(map(_record, reversed(_FOUND)))
    assert parse_entries(blob) == _FOUND


def test_a_report_that_is_cut_off_is_no_report() -> None:
    with pytest.raises(InfrastructureError, match="ends at byte"):
        parse_entries(_record(_FOUND[0])[:-1])


def test_what_was_written_differs_in_nothing() -> None:
    assert differences(_FOUND, expected_entries(_VOLUME)) == ()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"data": b"errpatH\n"}, "data's SHA-256"),
        ({"mtime": 1}, "mtime 1; expected 946684800"),
        ({"size": 9}, "size 9; expected 8"),
        ({"mode": 0o100666}, "mode"),
        ({"errno": 5}, "readme: -EIO"),
        ({"xattrs": {b"hfs.type": b"TEXT"}}, "attribute hfs.creator None"),
    ],
)
def test_each_difference_is_reported(change: dict[str, object], said: str) -> None:
    changed = [
        replace(entry, **change) if entry.path == b"readme" else entry  # type: ignore[arg-type]
        for entry in _FOUND
    ]
    (line,) = differences(changed, expected_entries(_VOLUME))
    assert said in line


def test_missing_and_extra_names_are_reported() -> None:
    assert differences(_FOUND[1:], expected_entries(_VOLUME)) == ("folder: not there",)
    extra = replace(_FOUND[0], path=b"extra")
    assert differences((*_FOUND, extra), expected_entries(_VOLUME)) == ("extra: was never written",)
    assert differences((*_FOUND, extra), expected_entries(_VOLUME), also=[b"extra"]) == ()


def test_what_is_kept_is_found_by_path_name_and_value() -> None:
    keeps = KeepsXattrs(((b"file", ((b"user.a", b"1"), (b"user.b", b"2"))),))
    xattrs = {b"user.a": b"1", b"user.b": b"2", b"user.more": b"3"}
    entry = ReadEntry(b"file", 0o100644, 1, 0, 0, xattrs=xattrs)
    assert keeps(Outcome("t", 1, entries=_record(entry))) == ""
    entry = replace(entry, xattrs={**xattrs, b"user.b": b"3"})
    assert (
        keeps(Outcome("t", 1, entries=_record(entry))) == "extended attributes lost: file: user.b"
    )
    entry = replace(entry, path=b"other")
    said = keeps(Outcome("t", 1, entries=_record(entry)))
    assert said == "extended attributes lost: file: user.a, file: user.b"
