"""Checksums of superblocks, against what the tools that made the volumes have written."""

from __future__ import annotations

import pytest

from errpath.filesystems import known_filesystems, load_filesystem
from errpath.filesystems.mkfs import image, unmade, volume_image
from errpath.images.broken.checksums import CHECKSUMS, crc32_be, crc32_raw, crc32c_raw


def test_the_crcs_are_the_published_ones() -> None:
    # Of "123456789": CRC-32C, CRC-32, and CRC-32/MPEG-2, the last two not inverted at the end.
    assert crc32c_raw(b"123456789") ^ 0xFFFFFFFF == 0xE3069283
    assert crc32_raw(b"123456789") ^ 0xFFFFFFFF == 0xCBF43926
    assert crc32_be(b"123456789", 0xFFFFFFFF) == 0x0376E6E7


_SUMMED = [
    (name, place)
    for name in known_filesystems()
    for place in load_filesystem(name).superblock
    if place.checksum
]


@pytest.mark.parametrize(
    ("name", "place"), _SUMMED, ids=[f"{name}-{place.struct}" for name, place in _SUMMED]
)
def test_a_valid_volume_has_the_checksum_that_we_compute(name: str, place: object) -> None:
    for structure in load_filesystem(name).superblock:
        if structure != place:
            continue
        fs = load_filesystem(name)
        # ext4's smallest volume has none.
        volume = "csum" if name == "ext4" else ""
        if reason := unmade(fs, volume):
            pytest.skip(reason)
        made = volume_image(name, volume) if volume else image(name)
        at = structure.at if structure.sum_at is None else structure.sum_at
        whole = made.read(at, 16384)
        window = type(made).from_bytes(whole)
        assert CHECKSUMS[structure.checksum](window, 0).to_bytes() == whole
        # Control: a change gives another one, unless the volume says that it has none.
        where = 100 if name == "udf" else 40
        changed = window.patched(where, bytes([whole[where] ^ 1]))
        again = CHECKSUMS[structure.checksum](changed, 0)
        if name != "f2fs":
            assert again.to_bytes() != changed.to_bytes()
