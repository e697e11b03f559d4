"""Which filesystem an image holds, by the magic numbers on it.

A table and reads at fixed places: nothing of an image is parsed. The numbers are those of
include/uapi/linux/magic.h and of the filesystems' own headers.
"""

from __future__ import annotations

from dataclasses import dataclass

from errpath.images.image import Image

__all__ = ["filesystem_of"]


@dataclass(frozen=True)
class _Magic:
    """What stands where on a volume."""

    # The kernel's name of the type.
    name: str
    # Bytes from the start of the volume.
    offset: int
    value: bytes
    # A second condition: (offset, bytes).
    also: tuple[int, bytes] | None = None


# The first that fits: what another type's boot block may hold as well comes later.
_TABLE = (
    _Magic("xfs", 0, b"XFSB"),
    _Magic("btrfs", 0x10040, b"_BHRfS_M"),
    _Magic("gfs2", 0x10000, bytes.fromhex("01161970")),
    _Magic("jfs", 0x8000, b"JFS1"),
    _Magic("reiserfs", 0x10034, b"ReIsEr"),
    _Magic("erofs", 1024, bytes.fromhex("e2e1f5e0")),
    _Magic("f2fs", 1024, bytes.fromhex("1020f5f2")),
    _Magic("squashfs", 0, b"hsqs"),
    _Magic("cramfs", 0, bytes.fromhex("453dcd28")),
    _Magic("romfs", 0, b"-rom1fs-"),
    _Magic("hfsplus", 1024, b"H+\x00\x04"),
    _Magic("hfsplus", 1024, b"HX\x00\x05"),
    # HFS+ in an HFS wrapper (drEmbedSigWord).
    _Magic("hfsplus", 1024, b"BD", (1024 + 0x7C, b"H+")),
    _Magic("hfs", 1024, b"BD"),
    _Magic("nilfs2", 1024 + 6, b"\x34\x34"),
    _Magic("ntfs", 3, b"NTFS    "),
    _Magic("exfat", 3, b"EXFAT   "),
    _Magic("ocfs2", 2 * 512, b"OCFSV2"),
    _Magic("ocfs2", 2 * 1024, b"OCFSV2"),
    _Magic("ocfs2", 2 * 2048, b"OCFSV2"),
    _Magic("ocfs2", 2 * 4096, b"OCFSV2"),
    _Magic("befs", 512 + 32, b"1SFB"),
    _Magic("befs", 512 + 32, b"BFS1"),
    _Magic("befs", 32, b"1SFB"),
    _Magic("hpfs", 0x2000, bytes.fromhex("49e895f9")),
    _Magic("adfs", 0xC00 + 0x1C0 + 4, b"\x09"),
    _Magic("affs", 0, b"DOS"),
    _Magic("bfs", 0, bytes.fromhex("cefaad1b")),
    _Magic("efs", 512 + 28, bytes.fromhex("00072959")),
    _Magic("omfs", 0x110, bytes.fromhex("c2993d87")),
    _Magic("qnx6", 0x2000, bytes.fromhex("22111968")),
    _Magic("freevxfs", 1024, bytes.fromhex("f5fc01a5")),
    _Magic("freevxfs", 8192, bytes.fromhex("a501fcf5")),
    _Magic("zonefs", 0, bytes.fromhex("53464f5a")),
    _Magic("ufs", 8192 + 1372, bytes.fromhex("54190100")),
    _Magic("ufs", 65536 + 1372, bytes.fromhex("19015419")),
    _Magic("udf", 0x8001, b"BEA01"),
    _Magic("udf", 0x8801, b"NSR0"),
    _Magic("udf", 0x9001, b"NSR0"),
    _Magic("isofs", 0x8001, b"CD001"),
    _Magic("minix", 1024 + 16, b"\x7f\x13"),
    _Magic("minix", 1024 + 16, b"\x8f\x13"),
    _Magic("minix", 1024 + 16, b"\x68\x24"),
    _Magic("minix", 1024 + 16, b"\x78\x24"),
    _Magic("minix", 1024 + 24, b"\x5a\x4d"),
    _Magic("vfat", 82, b"FAT32   "),
    _Magic("vfat", 54, b"FAT1"),
    _Magic("vfat", 54, b"FAT     "),
    # The root directory of a floppy's one zone, old and new (fs/adfs/dir_f.c).
    _Magic("adfs", 0x801, b"Hugo"),
    _Magic("adfs", 0x801, b"Nick"),
    # The name of its root directory.
    _Magic("qnx4", 512, b"/" + bytes(15)),
)
# Of ext2 and its successors: superblock, and in it the sets of features.
_EXT = 1024
_EXT_MAGIC = b"\x53\xef"
_HAS_JOURNAL = 0x4
# What ext2 does not know: any of these makes it ext4 (fs/ext2/ext2.h, EXT2_FEATURE_INCOMPAT_SUPP).
_EXT2_INCOMPATIBLE = 0x2 | 0x10


def filesystem_of(image: Image) -> str:
    """The kernel's name of the filesystem on an image; "" where no magic number is known."""
    if image.read(_EXT + 56, 2) == _EXT_MAGIC:
        return _ext(image)
    for magic in _TABLE:
        if image.read(magic.offset, len(magic.value)) != magic.value:
            continue
        if magic.also is None or image.read(magic.also[0], len(magic.also[1])) == magic.also[1]:
            return magic.name
    return ""


def _ext(image: Image) -> str:
    compatible = int.from_bytes(image.read(_EXT + 92, 4), "little")
    incompatible = int.from_bytes(image.read(_EXT + 96, 4), "little")
    old = not compatible & _HAS_JOURNAL and not incompatible & ~_EXT2_INCOMPATIBLE
    return "ext2" if old else "ext4"
