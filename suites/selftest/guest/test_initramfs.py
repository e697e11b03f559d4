"""The newc writer, read back by a reader of our own and by cpio."""

from __future__ import annotations

import shutil
import stat
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from errpath.guest import initramfs
from errpath.guest.initramfs import Entry, newc

_FIELDS = (
    *("ino", "mode", "uid", "gid", "nlink", "mtime", "filesize"),
    *("maj", "min", "rmaj", "rmin", "namesize", "chksum"),
)


def _read(archive: bytes) -> list[tuple[dict[str, int], str, bytes]]:
    """Members of a newc archive, by the field table of the kernel's buffer-format document."""
    members: list[tuple[dict[str, int], str, bytes]] = []
    at = 0
    while True:
        assert at % 4 == 0
        assert archive[at : at + 6] == b"070701"
        words = [archive[at + 6 + 8 * i : at + 14 + 8 * i] for i in range(len(_FIELDS))]
        head = {name: int(word, 16) for name, word in zip(_FIELDS, words, strict=True)}
        at += 110
        name = archive[at : at + head["namesize"]]
        assert name.endswith(b"\0")
        at += head["namesize"]
        at += -at % 4
        data = archive[at : at + head["filesize"]]
        at += head["filesize"]
        at += -at % 4
        if name == b"TRAILER!!!\0":
            assert set(archive[at:]) <= {0}
            return members
        members.append((head, name[:-1].decode(), data))


_TREE = [
    initramfs.directory("bin"),
    initramfs.file("init", b"#!/bin/sh\n", mode=0o755),
    initramfs.file("bin/data", b"\0" * 5),
    initramfs.symlink("bin/sh", "busybox"),
    initramfs.device("dev-console", 5, 1),
]


def test_members_as_they_were_given() -> None:
    members = _read(newc(_TREE))
    assert [(head["mode"], name, data) for head, name, data in members] == [
        (0o040755, "bin", b""),
        (0o100755, "init", b"#!/bin/sh\n"),
        (0o100644, "bin/data", b"\0" * 5),
        (0o120777, "bin/sh", b"busybox"),
        (0o020600, "dev-console", b""),
    ]
    assert (members[4][0]["rmaj"], members[4][0]["rmin"]) == (5, 1)
    assert [head["nlink"] for head, _, _ in members] == [2, 1, 1, 1, 1]
    # Two files with one inode number would be taken for hard links.
    assert len({head["ino"] for head, _, _ in members}) == len(members)
    for head, _, _ in members:
        assert (head["uid"], head["gid"], head["mtime"], head["chksum"]) == (0, 0, 0, 0)


def test_the_same_bytes_every_time() -> None:
    assert newc(_TREE) == newc(iter(_TREE))
    assert newc(_TREE) != newc(_TREE[::-1])


def test_an_empty_archive_is_one_block() -> None:
    assert _read(newc([])) == []
    assert len(newc([])) == 512


_NAME = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1)
_ENTRY = st.builds(
    Entry,
    _NAME.filter(lambda name: name != "TRAILER!!!"),
    st.sampled_from([stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK, stat.S_IFCHR]).flatmap(
        lambda kind: st.integers(0, 0o7777).map(lambda bits: kind | bits)
    ),
    st.binary(max_size=70),
    st.tuples(st.integers(0, 4095), st.integers(0, 2**20 - 1)),
)


@given(entries=st.lists(_ENTRY, max_size=6))
def test_whatever_is_written_is_read_back(entries: list[Entry]) -> None:
    archive = newc(entries)
    assert len(archive) % 512 == 0
    read = [
        Entry(name, head["mode"], data, (head["rmaj"], head["rmin"]))
        for head, name, data in _read(archive)
    ]
    assert read == entries


@pytest.mark.skipif(shutil.which("cpio") is None, reason="cpio is missing (package cpio)")
def test_cpio_reads_it() -> None:
    done = subprocess.run(
        ["cpio", "-itv", "--quiet", "--numeric-uid-gid"],
        input=newc(_TREE),
        capture_output=True,
        check=True,
        env={"LC_ALL": "C", "TZ": "UTC", "PATH": "/usr/bin:/bin"},
    )
    lines = [line.split() for line in done.stdout.decode().splitlines()]
    assert [(line[0], line[-1]) for line in lines] == [
        ("drwxr-xr-x", "bin"),
        ("-rwxr-xr-x", "init"),
        ("-rw-r--r--", "bin/data"),
        ("lrwxrwxrwx", "busybox"),
        ("crw-------", "dev-console"),
    ]
    assert done.stderr == b""
