"""What the kernel's mount paths check, once more in Python: a second reading of fs/hfs, fs/hfsplus.

The catalogue says what each crafted image should do. This walks an image in the kernel's order and
answers on its own, so that an entry that drives into another exit than it claims is found on the
host. It reads raw bytes at the offsets of the kernel's structures and shares nothing with the
writers and readers under test but the order of names, which has tests of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

__all__ = [
    "HEADER",
    "PAGE",
    "Device",
    "Exit",
    "Hang",
    "Outcome",
    "Tree",
    "be",
    "find_partition",
    "parse",
]

PAGE = 4096
HEADER, MAP, INDEX, LEAF = 1, 2, 0, 0xFF


class Exit(Exception):  # noqa: N818
    """The mount failed with this errno."""

    def __init__(self, errno: str) -> None:
        super().__init__(errno)
        self.errno = errno


class Hang(Exception):  # noqa: N818
    """The mount would never return."""


@dataclass
class Outcome:
    """What mount(2) did."""

    # Empty: it succeeded.
    errno: str = ""
    readonly: bool = False
    messages: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Device:
    """A block device."""

    data: bytes
    sector: int = 512

    def read(self, offset: int, size: int) -> bytes:
        """`size` bytes; a read that starts behind the end is an I/O error."""
        if offset < 0 or offset >= len(self.data):
            raise Exit("EIO")
        return self.data[offset : offset + size].ljust(size, b"\0")

    def set_blocksize(self, size: int) -> bool:
        """sb_set_blocksize: no less than a sector, no more than a page."""
        return self.sector <= size <= PAGE


def be(data: bytes, offset: int, size: int) -> int:
    """A big endian field."""
    return int.from_bytes(data[offset : offset + size], "big")


def parse(text: str, out: Outcome, prefix: str, nls: tuple[str, ...]) -> dict[str, str]:
    """hfs_parse_param and hfsplus_parse_param."""
    seen: dict[str, str] = {}
    numbers = {"uid": 10, "gid": 10, "umask": 8, "part": 10, "session": 10}
    for item in (item for item in text.split(",") if item):
        name, _, value = item.partition("=")
        if name in numbers:
            try:
                good = 0 <= int(value, numbers[name]) < 1 << 32
            except ValueError:
                good = False
            if not good:
                out.messages.append(f"{prefix}: Bad value for '{name}'")
                raise Exit("EINVAL")
        elif name in ("type", "creator"):
            if len(value) != 4:
                out.messages.append(f"{prefix}: {name} requires a 4 character value")
                raise Exit("EINVAL")
        elif name in nls:
            what = "nls mapping" if name == "nls" else name
            if name in seen:
                out.messages.append(f"{prefix}: unable to change {what}")
                raise Exit("EINVAL")
            if value != "default":
                out.messages.append(f'{prefix}: unable to load {what} "{value}"')
                raise Exit("EINVAL")
        elif not (name == "force" and prefix == "hfsplus"):
            out.messages.append(f"{prefix}: Unknown parameter '{name}'")
            raise Exit("EINVAL")
        seen[name] = value
    return seen


class Tree:
    """A B-tree as btree.c, bnode.c and bfind.c read it."""

    def __init__(self, head: bytes, page: Callable[[int], bytes], out: Outcome, fs: str) -> None:
        self.page, self.out, self.fs = page, out, fs
        record = head[14:]
        self.depth, self.root = be(record, 0, 2), be(record, 2, 4)
        self.node_size, self.max_key = be(record, 18, 2), be(record, 20, 2)
        self.total, self.free = be(record, 22, 4), be(record, 26, 4)
        self.key_type, self.attributes = record[37], be(record, 38, 4)
        self.wide = 2 if fs == "hfsplus" else 1

    def node(self, number: int) -> bytes:
        """hfs_bnode_find."""
        if number >= self.total:
            self.out.messages.append(f"{self.fs}: request for non-existent node {number} in B*Tree")
            raise Exit("ENOMEM")
        start = number * self.node_size
        first, last = start // PAGE, (start + self.node_size - 1) // PAGE
        data = b"".join(self.page(n) for n in range(first, last + 1))
        node = data[start - first * PAGE :][: self.node_size]
        kind, height, count = node[8], node[9], be(node, 10, 2)
        good = {
            HEADER: height == 0,
            MAP: height == 0,
            LEAF: height == 1,
            INDEX: 1 < height <= self.depth,
        }
        if not good.get(kind, False):
            raise Exit("EIO")
        at = self.offset(node, 0)
        if at != 14:
            raise Exit("EIO")
        for i in range(1, count + 1):
            following = self.offset(node, i)
            if following <= at or following > self.node_size or following & 1:
                raise Exit("EIO")
            if kind in (INDEX, LEAF):
                key = be(node, at, self.wide) + self.wide
                if key >= following - at or (self.wide == 2 and key & 1):
                    raise Exit("EIO")
            at = following
        return node

    def offset(self, node: bytes, i: int) -> int:
        """The i-th record offset; what lies before the node reads as zero."""
        place = self.node_size - 2 * (i + 1)
        return be(node, place, 2) if 0 <= place < self.node_size else 0

    def key_length(self, node: bytes, i: int) -> int:
        """hfs_brec_keylen."""
        if node[8] == INDEX and not (self.wide == 2 and self.attributes & 4):
            return self.max_key + self.wide
        at = self.offset(node, i)
        if self.wide == 2 or self.attributes & 2:
            length = be(node, at, 2) + 2
        else:
            length = (node[at] | 1) + 1
        if length > self.max_key + (2 if self.attributes & 2 else 1):
            self.out.messages.append(f"{self.fs}: keylen {length} too large")
            raise Exit("EINVAL")
        return length

    def find(self, compare: Callable[[bytes], int]) -> bytes:
        """hfs_brec_find: the data of the record whose key equals."""
        equal, _, data = self.floor(compare)
        if not equal:
            raise Exit("ENOENT")
        return data

    def floor(self, compare: Callable[[bytes], int]) -> tuple[bool, bytes, bytes]:
        """hfs_brec_find: (equal, key, data) of the last record that is not behind the key."""
        number = self.root
        if not number:
            raise Exit("ENOENT")
        height = self.depth
        while True:
            node = self.node(number)
            kind = INDEX if height != 1 else LEAF
            if node[9] != height or node[8] != kind:
                self.out.messages.append(f"{self.fs}: inconsistency in B*Tree")
                raise Exit("EIO")
            height -= 1
            low, high, equal = 0, be(node, 10, 2) - 1, False
            while True:
                middle = int((high + low) / 2)
                at = self.offset(node, middle)
                length = self.key_length(node, middle)
                result = compare(node[at : at + length])
                if not result:
                    high, equal = middle, True
                    break
                if result < 0:
                    low = middle + 1
                else:
                    high = middle - 1
                if low > high:
                    break
            if high < 0:
                raise Exit("ENOENT")
            at = self.offset(node, high)
            data = node[at + self.key_length(node, high) : self.offset(node, high + 1)]
            if not height:
                return equal, node[at : at + self.key_length(node, high)], data
            number = be(data, 0, 4)


def find_partition(device: Device, start: int, size: int, part: int, fs: str) -> tuple[int, int]:
    """hfs_part_find of both: (start, size) in sectors."""
    data = device.read((start + 1) * 512, 512)
    found = False
    if data[:2] == b"TS":
        base = start
        for i in range(42):
            entry = data[2 + 12 * i :]
            fits = be(entry, 0, 4) and be(entry, 4, 4) and entry[8:12] == b"TFS1"
            if fits and part in (-1, i):
                # hfs goes on after the first and adds up.
                start, size, found = start + be(entry, 0, 4), be(entry, 4, 4), True
                if fs == "hfsplus":
                    return base + be(entry, 0, 4), size
    elif data[:2] == b"PM":
        count = be(data, 4, 4)
        count -= (count >> 31) << 32
        i = 0
        while fs == "hfsplus" or i < count:
            if data[48:57] == b"Apple_HFS" and part in (-1, i):
                return start + be(data, 8, 4), be(data, 12, 4)
            i += 1
            if fs == "hfsplus" and i >= count:
                break
            data = device.read((start + 1 + i) * 512, 512)
            if data[:2] != b"PM":
                break
    if not found:
        raise Exit("ENOENT")
    return start, size
