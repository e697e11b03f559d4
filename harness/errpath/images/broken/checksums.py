"""Checksums of superblocks, made right again after a change: without that a kernel looks at nothing
behind them. Each is as the filesystem's source in the kernel computes it.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from functools import cache

from errpath.images.image import Image
from errpath.images.simple.adfs import zone_check

__all__ = ["CHECKSUMS", "crc32_be", "crc32_raw", "crc32c_raw"]

_ALL = 0xFFFFFFFF
# Where erofs has its superblock; what is summed ends with its block.
_EROFS_AT = 1024


@cache
def _table() -> tuple[int, ...]:
    out = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
        out.append(value)
    return tuple(out)


def crc32c_raw(data: bytes, seed: int = _ALL) -> int:
    """crc32c() of the kernel: it inverts neither what it begins with nor what it gives."""
    table = _table()
    for byte in data:
        seed = table[(seed ^ byte) & 0xFF] ^ seed >> 8
    return seed


def crc32_raw(data: bytes, seed: int = _ALL) -> int:
    """crc32_le() of the kernel."""
    return zlib.crc32(data, seed ^ _ALL) ^ _ALL


def crc32_be(data: bytes, seed: int = 0) -> int:
    """crc32_be() of the kernel."""
    for byte in data:
        seed ^= byte << 24
        for _ in range(8):
            seed = (seed << 1 ^ (0x04C11DB7 if seed >> 31 else 0)) & _ALL
    return seed


def _little(value: int, size: int = 4) -> bytes:
    return value.to_bytes(size, "little")


def _number(image: Image, at: int, size: int = 4) -> int:
    return int.from_bytes(image.read(at, size), "little")


def _words(data: bytes) -> int:
    """The sum of its big-endian words of four bytes."""
    return sum(int.from_bytes(data[at : at + 4], "big") for at in range(0, len(data), 4)) & _ALL


def _ext4(image: Image, at: int) -> Image:
    # RO_COMPAT_METADATA_CSUM
    if not _number(image, at + 100) & 0x400:
        return image
    return image.patched(at + 1020, _little(crc32c_raw(image.read(at, 1020))))


def _xfs(image: Image, at: int) -> Image:
    sector = bytearray(image.read(at, 512))
    sector[224:228] = bytes(4)
    return image.patched(at + 224, _little(crc32c_raw(bytes(sector)) ^ _ALL))


def _btrfs(image: Image, at: int) -> Image:
    return image.patched(at, _little(crc32c_raw(image.read(at + 32, 4096 - 32)) ^ _ALL))


def _f2fs(image: Image, at: int) -> Image:
    # checksum_offset; there is one only with the feature SB_CHKSUM.
    where = _number(image, at + 32)
    if not _number(image, at + 2180) & 0x800 or not 0 < where <= 3068:
        return image
    return image.patched(at + where, _little(crc32_raw(image.read(at, where), 0xF2F52010)))


def _nilfs2(image: Image, at: int) -> Image:
    size = _number(image, at + 8, 2)
    if not 20 <= size <= 1024:
        return image
    block = bytearray(image.read(at, size))
    block[16:20] = bytes(4)
    return image.patched(at + 16, _little(crc32_raw(bytes(block), _number(image, at + 12))))


def _erofs(image: Image, at: int) -> Image:
    # The feature SB_CHKSUM; the block's size may be what was changed.
    shift = image.read(at + 12, 1)[0]
    if not _number(image, at + 8) & 1 or not 10 < shift <= 12:
        return image
    block = bytearray(image.read(at, (1 << shift) - _EROFS_AT))
    block[4:8] = bytes(4)
    return image.patched(at + 4, _little(crc32c_raw(bytes(block))))


def _exfat(image: Image, at: int) -> Image:
    # Of the first eleven sectors, without the volume's flags and how full it is.
    shift = image.read(at + 108, 1)[0]
    if not 9 <= shift <= 12:
        return image
    sector = 1 << shift
    value = 0
    for place, byte in enumerate(image.read(at, 11 * sector)):
        if place not in (106, 107, 112):
            value = ((value >> 1 | value << 31) + byte) & _ALL
    return image.patched(at + 11 * sector, _little(value) * (sector // 4))


def _adfs(image: Image, at: int) -> Image:
    """A zone of the map, of a kilobyte."""
    return image.patched(at, bytes([zone_check(image.read(at, 1024))]))


def _affs(image: Image, at: int) -> Image:
    block = bytearray(image.read(at, 512))
    block[20:24] = bytes(4)
    return image.patched(at + 20, (-_words(bytes(block)) & _ALL).to_bytes(4, "big"))


def _romfs(image: Image, at: int) -> Image:
    # Of 512 bytes, or of all where there are fewer.
    size = min(512, int.from_bytes(image.read(at + 8, 4), "big"))
    block = bytearray(image.read(at, max(size, 16)))
    block[12:16] = bytes(4)
    return image.patched(at + 12, (-_words(bytes(block)) & _ALL).to_bytes(4, "big"))


def _qnx6(image: Image, at: int) -> Image:
    return image.patched(at + 4, _little(crc32_be(image.read(at + 8, 504))))


def _zonefs(image: Image, at: int) -> Image:
    block = bytearray(image.read(at, 4096))
    block[4:8] = bytes(4)
    return image.patched(at + 4, _little(crc32_raw(bytes(block))))


def _udf(image: Image, at: int) -> Image:
    """A descriptor's tag: the CRC of what follows it, and the sum of its own bytes."""
    size = min(_number(image, at + 10, 2), 2048 - 16)
    crc = 0
    for byte in image.read(at + 16, size):
        crc ^= byte << 8
        for _ in range(8):
            crc = (crc << 1 ^ (0x1021 if crc >> 15 else 0)) & 0xFFFF
    tag = bytearray(image.read(at, 16))
    tag[8:10] = _little(crc, 2)
    tag[4] = 0
    tag[4] = sum(tag) & 0xFF
    return image.patched(at, bytes(tag))


# By name: an image and where its structure begins, to the same with the checksum right.
CHECKSUMS: dict[str, Callable[[Image, int], Image]] = {
    "adfs": _adfs,
    "affs": _affs,
    "btrfs": _btrfs,
    "erofs": _erofs,
    "exfat": _exfat,
    "ext4": _ext4,
    "f2fs": _f2fs,
    "nilfs2": _nilfs2,
    "qnx6": _qnx6,
    "romfs": _romfs,
    "udf": _udf,
    "xfs": _xfs,
    "zonefs": _zonefs,
}
