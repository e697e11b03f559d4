"""Put a volume into an Apple partition map (Inside Macintosh: Devices, chapter 3).

The new map has one sector per entry from sector 1 on, signature `PM`; the old one has all entries
in sector 1, signature `TS`. Both count in sectors of 512 bytes.
"""

from __future__ import annotations

from errpath.errors import UsageError
from errpath.images.hfs.formats import BLOCK0, PARTITION_MAP_ENTRY, PARTITION_MAP_OLD
from errpath.images.hfs.layout import Value
from errpath.images.image import SECTOR, Image

__all__ = ["DRIVER_SIGNATURE", "NEW_SIGNATURE", "OLD_SIGNATURE", "with_new_map", "with_old_map"]

# "ER", "PM", "TS"
DRIVER_SIGNATURE, NEW_SIGNATURE, OLD_SIGNATURE = 0x4552, 0x504D, 0x5453
# pdFSID of an HFS partition: "TFS1"
_TFS1 = 0x54465331
# pmPartStatus: valid, allocated, in use, readable, writable.
_STATUS = 0x37


def _block0(sectors: int) -> bytes:
    return BLOCK0.pack({"sbSig": DRIVER_SIGNATURE, "sbBlkSize": SECTOR, "sbBlkCount": sectors})


def _sectors(image: Image, start: int, first: int) -> int:
    if image.size % SECTOR:
        raise UsageError(f"{image.name}: {image.size} bytes: expected a multiple of {SECTOR}")
    if start < first:
        raise UsageError(f"start sector {start}: expected {first} or more, behind the map")
    return image.size // SECTOR


def with_new_map(image: Image, *, start: int = 64, slot: int = 1, entries: int = 2) -> Image:
    """A disk with a `PM` map whose entry `slot` is this volume.

    Args:
        start: the volume's first sector.
        slot: the entry's number; entry 0 is the map itself, those between are `Apple_Free`.
        entries: how many entries the map has.

    Raises:
        UsageError: the volume would lie over the map, or there is no such entry.
    """
    count = _sectors(image, start, entries + 1)
    if not 1 <= slot < entries:
        raise UsageError(f"slot {slot}: expected 1 to {entries - 1}")
    total = start + count
    disk = image.placed(start * SECTOR, total * SECTOR)
    pieces: list[tuple[int, bytes]] = [(0, _block0(total))]
    for number in range(entries):
        kind, first, size = b"Apple_Free", 0, 0
        if number == 0:
            kind, first, size = b"Apple_partition_map", 1, entries
        elif number == slot:
            kind, first, size = b"Apple_HFS", start, count
        values: dict[str, Value] = {
            "pmSig": NEW_SIGNATURE,
            "pmMapBlkCnt": entries,
            "pmPyPartStart": first,
            "pmPartBlkCnt": size,
            "pmPartName": kind.removeprefix(b"Apple_").ljust(32, b"\0"),
            "pmParType": kind.ljust(32, b"\0"),
            "pmDataCnt": size,
            "pmPartStatus": _STATUS,
        }
        pieces.append(((1 + number) * SECTOR, PARTITION_MAP_ENTRY.pack(values)))
    return disk.patched_all(pieces)


def with_old_map(image: Image, *, start: int = 64, slot: int = 0) -> Image:
    """A disk with a `TS` map whose entry `slot` (0 to 41) is this volume, from sector `start`.

    Raises:
        UsageError: the volume would lie over the map, or there is no such entry.
    """
    count = _sectors(image, start, 2)
    if not 0 <= slot < 42:
        raise UsageError(f"slot {slot}: expected 0 to 41")
    total = start + count
    disk = image.placed(start * SECTOR, total * SECTOR)
    table = PARTITION_MAP_OLD.pack(
        {
            "pdSig": OLD_SIGNATURE,
            f"pdEntry[{slot}].pdStart": start,
            f"pdEntry[{slot}].pdSize": count,
            f"pdEntry[{slot}].pdFSID": _TFS1,
        }
    )
    return disk.patched_all([(0, _block0(total)), (SECTOR, table)])
