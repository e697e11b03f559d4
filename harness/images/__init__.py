"""HFS and HFS+ images: writers, readers, corruption by field name. Host only, no QEMU."""

from __future__ import annotations

from harness.images import hfs, hfsplus
from harness.images.image import Image, blank

__all__ = ["Image", "blank", "hfs", "hfsplus"]
