"""Images by recipe, and our own small writers read back by their layouts."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from errpath.errors import InfrastructureError, ToolMissingError, UsageError
from errpath.filesystems import Filesystem, known_filesystems, load_filesystem
from errpath.filesystems.mkfs import image, missing_tool, use_own_image
from errpath.images import Image
from errpath.images.simple import WRITERS, affs, befs, efs, hpfs, omfs, qnx4, qnx6, vxfs
from suites.selftest.filesystems.test_filesystems import MINIMAL

_RECIPES = {name: load_filesystem(name).image for name in known_filesystems()}
_VOLUMES = [
    recipe for name in known_filesystems() for recipe in load_filesystem(name).volumes.values()
]


@pytest.mark.parametrize("writer", sorted(WRITERS))
def test_writers_give_the_same_bytes_every_time(writer: str) -> None:
    recipes = (one for one in (*_RECIPES.values(), *_VOLUMES) if one is not None)
    recipe = next(one for one in recipes if one.writer == writer)
    first, second = WRITERS[writer](recipe.size), WRITERS[writer](recipe.size)
    assert first.sha256 == second.sha256
    assert first.size == recipe.size


@pytest.mark.parametrize(
    ("writer", "size"),
    [
        (writer, size)
        for writer in (
            *(affs.empty, befs.empty, efs.empty, hpfs.empty, omfs.empty, qnx4.empty, qnx6.empty),
            *(qnx6.empty_mmi, vxfs.volume),
        )
        for size in (0, 1000, 1 << 30)
        # Their block numbers have room for more.
        if not (writer in (efs.empty, vxfs.volume) and size == 1 << 30)
    ],
)
def test_writers_refuse_sizes_that_do_not_fit(writer: Callable[[int], Image], size: int) -> None:
    with pytest.raises(UsageError, match=f"got {size} bytes; expected"):
        writer(size)


def test_affs_blocks_sum_to_zero() -> None:
    image = affs.empty(40960)
    root = (2 + 80 - 1) // 2
    for block in (root, root + 1):
        words = struct.unpack(">128I", image.read(block * 512, 512))
        assert sum(words) & 0xFFFFFFFF == 0
    # One free bit for each block but the reserved, the root and the bitmap itself.
    bitmap = image.read((root + 1) * 512 + 4, 508)
    assert sum(byte.bit_count() for byte in bitmap) == 80 - 2 - 2


def test_omfs_headers_vouch_for_themselves() -> None:
    image = omfs.empty(65536)
    root_block, blocks, magic = struct.unpack(">QQI", image.read(256, 20))
    assert (magic, blocks) == (0xC2993D87, 32)
    root = image.read(root_block * 2048, 2048)
    for block, data in ((root_block, root), (3, image.read(3 * 2048, 2048))):
        assert struct.unpack(">Q", data[:8])[0] == block
        check = 0
        for byte in data[:19]:
            check ^= byte
        assert data[19] == check
        assert struct.unpack(">H", data[12:14])[0] == omfs._crc(data[24:])


def test_qnx4_root_holds_its_bitmap() -> None:
    image = qnx4.empty(8192)
    assert image.read(512, 2) == b"/\0"
    start, count = struct.unpack("<II", image.read(512 + 20, 8))
    directory = image.read((start - 1) * 512, count * 512)
    assert directory[:8] == b".bitmap\0"


def test_efs_directory_names_itself_and_its_parent() -> None:
    image = efs.empty(16384)
    first_group = struct.unpack(">i", image.read(512 + 4, 4))[0]
    inode = image.read(first_group * 512 + 2 * 128, 128)
    block = struct.unpack(">I", inode[32:36])[0]
    directory = image.read(block * 512, 512)
    magic, first, slots = struct.unpack(">HBB", directory[:4])
    assert (magic, slots) == (0xBEEF, 2)
    names = []
    for slot in directory[4 : 4 + slots]:
        number, length = struct.unpack(">IB", directory[slot * 2 : slot * 2 + 5])
        names.append((number, directory[slot * 2 + 5 : slot * 2 + 5 + length]))
    assert names == [(2, b"."), (2, b"..")]
    assert first * 2 == min(slot * 2 for slot in directory[4 : 4 + slots])


def test_the_bad_images_differ_as_they_say() -> None:
    valid = image("omfs", "valid")
    broken = image("omfs", "broken")
    assert [offset for offset, _ in broken.delta(valid)] == [0]
    assert broken.read(272, 4) == bytes(byte ^ 0xFF for byte in valid.read(272, 4))
    cut = image("omfs", "truncated")
    assert cut.size == 6144
    assert cut.read(0, 6144) == valid.read(0, 6144)
    assert not image("omfs", "blank").extents


_DEFINITION = MINIMAL + 'image: {size: 4096, mkfs: [MKFS, "{image}"], package: nowhere-progs}\n'


@pytest.fixture
def made_by(
    define: Callable[[str], Filesystem], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], Filesystem]:
    """Defines a filesystem whose mkfs is a small script, with a cache of its own."""
    monkeypatch.setenv("ERRPATH_CACHE", str(tmp_path / "cache"))

    def make(script: str) -> Filesystem:
        path = tmp_path / "mkfs.test"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        return define(_DEFINITION.replace("MKFS", "./mkfs.test"))

    return make


def test_a_program_runs_once_and_its_image_is_kept(made_by: Callable[[str], Filesystem]) -> None:
    # Random bytes: the second image can only be the same if it comes from the cache.
    own = made_by('head -c 64 /dev/urandom | dd of="$1" conv=notrunc status=none')
    first = image(own.name)
    # What this process keeps is forgotten.
    use_own_image(None)
    assert image(own.name) is not first
    assert image(own.name).sha256 == first.sha256
    assert first.size == 4096


def test_a_program_that_fails_is_an_infrastructure_error(
    made_by: Callable[[str], Filesystem],
) -> None:
    own = made_by("echo too small >&2; exit 3")
    with pytest.raises(InfrastructureError, match=r"filesystem defined.*status 3.*too small"):
        image(own.name)


def test_an_image_that_grew_is_an_error(made_by: Callable[[str], Filesystem]) -> None:
    own = made_by('truncate -s 8192 "$1"')
    with pytest.raises(InfrastructureError, match="made 8192 bytes; expected at most 4096"):
        image(own.name)


def test_a_missing_program_names_its_package(define: Callable[[str], Filesystem]) -> None:
    own = define(_DEFINITION.replace("MKFS", "mkfs.nowhere"))
    why = "mkfs.nowhere: not found on PATH (Debian package nowhere-progs)"
    assert missing_tool(own) == why
    with pytest.raises(ToolMissingError, match="nowhere-progs"):
        image(own.name)
