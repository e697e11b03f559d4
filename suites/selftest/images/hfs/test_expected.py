"""What a guest is expected to see follows from what was written."""

from __future__ import annotations

import hashlib

from errpath.images.hfs import hfs, hfsplus
from errpath.images.hfs.entries import Directory, File, HardLink, Symlink
from errpath.images.hfs.expected import expected_hfs, expected_hfsplus


def test_hfs_shows_bytes_and_fixed_modes() -> None:
    volume = hfs.volume(
        entries=(Directory(path="été"), File(path="été/b:c", data=b"data", modified=5))
    )
    folder, file = expected_hfs(volume)
    assert folder.path == b"\x8et\x8e"
    assert (folder.mode, folder.links, folder.size) == (0o040755, None, None)
    assert file.path == b"\x8et\x8e/b:c"
    assert (file.mode, file.mtime, file.size, file.links) == (0o100644, 5, 4, 1)
    assert file.sha256 == hashlib.sha256(b"data").hexdigest()


def test_hfsplus_shows_links_as_the_file_they_share() -> None:
    volume = hfsplus.volume(
        entries=(
            File(path="a", data=b"shared", mode=0o600, modified=7),
            HardLink(path="b", target="a"),
            Symlink(path="c", target="a"),
            Directory(path="d", mode=0o700),
            File(path="e"),
        ),
        date=9,
    )
    one, other, symlink, folder, alone = expected_hfsplus(volume)
    assert (one.mode, one.mtime, one.links, one.size) == (0o100600, 7, 2, 6)
    assert (other.path, other.links, other.sha256) == (b"b", 2, one.sha256)
    assert (symlink.mode, symlink.size, symlink.target) == (0o120755, 1, b"a")
    assert (folder.mode, folder.mtime) == (0o040700, 9)
    assert (alone.links, alone.size) == (1, 0)
