"""Volumes with one field of the superblock broken."""

from __future__ import annotations

from dataclasses import replace

import pytest

from errpath.errors import DefinitionError, InfrastructureError
from errpath.filesystems import OnDisk, load_filesystem
from errpath.filesystems.superblocks import broken_volumes
from errpath.images import Image

_HEADER = "struct sb { __be16 magic; __le32 blocks; u8 checksum[4]; } __packed;"
_IMAGE = Image.of("x", 4096, [(1024, bytes.fromhex("4244 01000000 00000000"))])


def _names(place: OnDisk, image: Image = _IMAGE) -> dict[str, tuple[tuple[int, bytes], ...]]:
    fs = load_filesystem("hfs")
    other = replace(fs, superblock=(place,))
    object.__setattr__(other, "name", "hfs")
    found = broken_volumes(other, image, {"sb.h": _HEADER}.get)
    assert len({broken.pieces for broken in found}) == len(found)
    return {broken.name: broken.pieces for broken in found}


def test_each_field_has_every_boundary_that_it_is_not_at() -> None:
    found = _names(OnDisk("sb", ("sb.h",), 1024))
    assert list(found)[:6] == [
        "magic=0",
        "magic=1",
        "magic=max",
        "magic=sign",
        "magic+1",
        "magic-1",
    ]
    # 1 is there already, and so is what is one less than 1 or 0.
    blocks = [name for name in found if name.startswith("blocks")]
    assert blocks == ["blocks=0", "blocks=max", "blocks=sign", "blocks+1"]
    assert found["magic+1"] == ((1025, b"\x45"),)
    assert found["blocks=sign"] == (
        (1026, b"\0"),
        (1029, b"\x80"),
    )


def test_copies_get_the_same() -> None:
    found = _names(OnDisk("sb", ("sb.h",), 1024, copies=(2048,)))
    assert found["magic+1"] == ((1025, b"\x45"), (2049, b"\x45"))


def test_a_checksum_is_made_right_and_is_no_field_by_itself() -> None:
    found = _names(OnDisk("sb", ("sb.h",), 1024, checksum="zonefs"))
    # Bytes 4 to 7 are the sum.
    assert len(found["magic+1"]) == 2
    assert found["magic+1"][1][0] >= 1024 + 4


def test_a_header_that_the_kernel_does_not_have() -> None:
    with pytest.raises(InfrastructureError, match=r"hfs: other.h: not in the kernel's source"):
        _names(OnDisk("sb", ("other.h",), 1024))


def test_an_unknown_checksum_is_refused() -> None:
    with pytest.raises(DefinitionError, match=r"checksum: got 'md5'; expected one of: adfs"):
        _names(OnDisk("sb", ("sb.h",), 0, checksum="md5"))
