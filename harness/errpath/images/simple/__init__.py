"""Writers of filesystems for which Debian has no mkfs: a root directory and little more.

Each gives the smallest image that its kernel driver mounts, the same bytes every time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from errpath.images import blank
from errpath.images.hfs import hfs, hfsplus
from errpath.images.image import Image
from errpath.images.simple import adfs, affs, befs, efs, hpfs, omfs, qnx4, qnx6, vxfs

__all__ = ["WRITERS"]

# Writer by name: bytes of the device → image. hfs and hfsplus have writers of their own, which
# choose the size themselves when it is left to them.
WRITERS: Mapping[str, Callable[[int], Image]] = {
    "adfs": adfs.volume,
    "affs": affs.empty,
    "befs": befs.empty,
    "efs": efs.empty,
    "hfs": lambda size: hfs.volume(size=size).image(),
    "hfsplus": lambda size: hfsplus.volume(size=size).image(),
    "hpfs": hpfs.empty,
    "omfs": omfs.empty,
    "qnx4": qnx4.empty,
    "qnx6": qnx6.empty,
    "qnx6-mmi": qnx6.empty_mmi,
    "vxfs": vxfs.volume,
    # For what never looks at its device.
    "zeros": lambda size: blank(size, name="zeros"),
}
