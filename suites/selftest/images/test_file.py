"""Image files of other people: packed in whatever, sparse, damaged, hostile; found by magic."""

from __future__ import annotations

import bz2
import gzip
import lzma
import subprocess
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from errpath.errors import UsageError
from errpath.filesystems import known_filesystems, load_filesystem
from errpath.filesystems.mkfs import image as made_image
from errpath.filesystems.mkfs import missing_tool
from errpath.images import Image
from errpath.images.crafted.catalogue import BASES, base_image
from errpath.images.file import Limits, load_image
from errpath.images.magic import filesystem_of
from errpath.util import process

_BASE = base_image("hfs")


def _program(name: str) -> str:
    path = process.program_path(name)
    if path is None:
        pytest.skip(f"no {name} (Debian package {process.PACKAGES[name]})")
    return path


@pytest.mark.parametrize("packing", ["raw", "gz", "xz", "bz2", "zst", "qcow2"])
def test_an_image_is_the_same_however_it_is_packed(packing: str, tmp_path: Path) -> None:
    raw, packed = tmp_path / "raw", tmp_path / "some.name"
    _BASE.write(raw)
    if packing == "raw":
        raw.rename(packed)
    elif packing == "zst":
        subprocess.run([_program("zstd"), "-q", str(raw), "-o", str(packed)], check=True)
    elif packing == "qcow2":
        argv = [_program("qemu-img"), "convert", "-c", "-O", "qcow2", str(raw), str(packed)]
        subprocess.run(argv, check=True)
    else:
        content = raw.read_bytes()
        packed.write_bytes(
            gzip.compress(content, mtime=0)
            if packing == "gz"
            else lzma.compress(content)
            if packing == "xz"
            else bz2.compress(content)
        )
    before = packed.read_bytes()
    found = load_image(packed)
    assert found.sha256 == _BASE.sha256
    assert found.name == packed.name
    assert packed.read_bytes() == before


def test_a_sparse_file_costs_what_it_holds(tmp_path: Path) -> None:
    path = tmp_path / "big"
    with path.open("wb") as big:
        big.truncate(100 << 30)
        big.seek(99 << 30)
        big.write(b"there")
    tracemalloc.start()
    found = load_image(path)
    assert tracemalloc.get_traced_memory()[1] < 8 << 20
    tracemalloc.stop()
    assert (found.size, found.read(99 << 30, 5)) == (100 << 30, b"there")


_PACKED = gzip.compress(bytes(1 << 20), mtime=0)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "empty; expected an image"),
        (_PACKED[:-20], "Compressed file ended before the end-of-stream marker was reached"),
        (b"\x1f\x8b" + bytes(100), "Unknown compression method"),
        (b"\xfd7zXZ\x00" + b"x" * 100, "expected a whole image file"),
        (b"\x28\xb5\x2f\xfd" + b"x" * 100, "expected a whole image file"),
        (b"QFI\xfb" + bytes(4), "qcow2 version 0; expected 2 or 3, and a whole header"),
        (
            b"QFI\xfb" + (3).to_bytes(4, "big") + (104).to_bytes(8, "big") + bytes(100),
            "its data is in another file; expected a qcow2 that stands alone",
        ),
        (
            b"QFI\xfb" + (3).to_bytes(4, "big") + bytes(64) + (4).to_bytes(8, "big") + bytes(40),
            "its data is in another file; expected a qcow2 that stands alone",
        ),
    ],
)
def test_a_bad_file_is_one_line(content: bytes, message: str, tmp_path: Path) -> None:
    if content.startswith(b"\x28\xb5"):
        _program("zstd")
    path = tmp_path / "bad"
    path.write_bytes(content)
    with pytest.raises(UsageError) as caught:
        load_image(path)
    assert message in str(caught.value)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file; expected an image"):
        load_image(tmp_path / "none")
    with pytest.raises(UsageError, match="not a file; expected an image"):
        load_image(tmp_path)


def test_what_unpacks_to_too_much(tmp_path: Path) -> None:
    path = tmp_path / "bomb"
    path.write_bytes(_PACKED)
    with pytest.raises(UsageError, match="expected a smaller image"):
        load_image(path, Limits(unpacked=1000))
    path.write_bytes(gzip.compress(b"x" * 2000, mtime=0))
    with pytest.raises(UsageError, match="expected an image that fits"):
        load_image(path, Limits(content=1000))


@pytest.mark.parametrize("name", BASES)
def test_our_own_images_are_known(name: str) -> None:
    image = base_image(name)
    # A partitioned disk has a partition map where a volume has its boot blocks.
    if image.read(512, 2) != b"PM" and image.read(512, 2) != b"TS":
        expected = {"hfsx": "hfsplus", "blank": ""}.get(name.split("-")[0], name.split("-")[0])
        assert filesystem_of(image) == expected


@pytest.mark.parametrize(
    "name",
    [n for n in known_filesystems() if (r := load_filesystem(n).image) is not None and r.valid],
)
def test_the_image_of_every_filesystem_is_known(name: str) -> None:
    if missing_tool(load_filesystem(name)):
        pytest.skip(missing_tool(load_filesystem(name)))
    found = filesystem_of(made_image(name))
    # What their own drivers tell apart by more than a number; fuseblk mounts anything.
    alike = ({"msdos", "vfat"}, {"ext2", "ext4"}, {"ntfs", "ntfs3"})
    assert name in (found, "fuseblk") or {found, name} in alike


@given(st.binary(max_size=4096))
def test_any_bytes_have_a_name_or_none(data: bytes) -> None:
    assert isinstance(filesystem_of(Image.from_bytes(data or b"x")), str)
