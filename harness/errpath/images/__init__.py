"""Disk images: HFS and HFS+, simple filesystems, crafted volumes. Host only, no QEMU.

In: entries, sizes and changes. Out: `Image`s, and what they must read as.
"""

from __future__ import annotations

from errpath.images.hfs import hfs, hfsplus
from errpath.images.image import Image, blank

__all__ = ["Image", "blank", "hfs", "hfsplus"]
