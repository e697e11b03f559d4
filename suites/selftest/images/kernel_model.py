"""What the kernel's mount paths check, once more in Python: a second reading of fs/hfs, fs/hfsplus.

The catalogue says what each crafted image should do. This walks an image in the kernel's order and
answers on its own, so that an entry that drives into another exit than it claims is found on the
host. It reads raw bytes at the offsets of the kernel's structures and shares nothing with the
writers and readers under test but the order of names, which has tests of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from harness.images import macroman, unistr

__all__ = ["Device", "Exit", "Hang", "Outcome", "mount_hfs", "mount_hfsplus"]

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


def options_of(text: str) -> dict[str, str]:
    """Mount options by name."""
    return {k: v for k, _, v in (item.partition("=") for item in text.split(",") if item)}


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

    def search(self, compare: Callable[[bytes], int]) -> bytes:
        """hfs_brec_find: the data of the record whose key equals."""
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
                if not equal:
                    raise Exit("ENOENT")
                return data
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


class _Hfs:
    def __init__(self, device: Device, out: Outcome, options: dict[str, str]) -> None:
        self.device, self.out, self.options = device, out, options
        self.part = int(options.get("part", -1))

    def say(self, text: str) -> None:
        self.out.messages.append(f"hfs: {text}")

    def mdb_get(self) -> None:
        device = self.device
        if not device.set_blocksize(max(512, device.sector)) or "session" in self.options:
            raise Exit("EINVAL")
        start, size = 0, len(device.data) // 512
        while True:
            mdb = device.read((start + 2) * 512, 512)
            if mdb[:2] == b"BD":
                break
            found = find_partition(device, start, size, self.part, "hfs")
            if found[0] == start:
                raise Hang
            start, size = found
        self.block = block = be(mdb, 0x14, 4)
        if not block or block & 511:
            self.say(f"bad allocation block size {block - ((block >> 31) << 32)}")
            raise Exit("EIO")
        unit = min(block, PAGE)
        while unit & (unit - 1):
            unit -= 512
        first = be(mdb, 0x1C, 2) + start
        while first & ((unit - 1) >> 9):
            unit >>= 1
        while block & (unit - 1):
            unit >>= 1
        if not device.set_blocksize(unit):
            self.say(f"unable to set blocksize to {unit}")
            raise Exit("EIO")
        self.unit, self.mdb = unit, mdb
        self.first = first * 512 // unit
        try:
            alternate = device.read((start + size - 2) * 512, 2)
        except Exit:
            alternate = b""
        if alternate != b"BD":
            self.say("unable to locate alternate MDB")
        self.bitmap(start)
        self.extents = self.tree(3, 0x82, 0x86, 7)
        self.catalog = self.tree(4, 0x92, 0x96, 37)
        attributes = be(mdb, 0x0A, 2)
        if not attributes & 0x0100:
            self.say("filesystem was not cleanly unmounted")
            self.out.readonly = True
        if attributes & 0x8000:
            self.say("filesystem is marked locked")
            self.out.readonly = True

    def bitmap(self, start: int) -> None:
        at = (be(self.mdb, 0x0E, 2) + start) * 512
        left = (be(self.mdb, 0x12, 2) + 8) // 8
        while left > 0:
            try:
                self.device.read(at // self.unit * self.unit, self.unit)
            except Exit:
                self.say("unable to read volume bitmap")
                raise
            step = min(self.unit - at % self.unit, left)
            at, left = at + step, left - step

    def tree(self, cnid: int, size_at: int, extents_at: int, max_key: int) -> Tree:
        name = {3: "extent", 4: "catalog"}[cnid]
        size = be(self.mdb, size_at, 4)
        extents = [
            (be(self.mdb, extents_at + 4 * i, 2), be(self.mdb, extents_at + 4 * i + 2, 2))
            for i in range(3)
        ]
        held = sum(count for _, count in extents) & 0xFFFF
        try:
            if cnid == 3 and (size // self.block & 0xFFFF) > held:
                self.say("invalid btree extent records")
                raise Exit("EIO")
            if cnid == 4 and not held:
                self.say("invalid btree extent records (0 size)")
                raise Exit("EIO")
            per = self.block // self.unit

            def place(index: int) -> int:
                for first, count in extents:
                    if index < count:
                        return first + index
                    index -= count
                return 0

            def page(number: int) -> bytes:
                out = b""
                for i in range(number * PAGE // self.unit, (number + 1) * PAGE // self.unit):
                    if number == 0:
                        # hfs_btree_open has filled it from the first extent on.
                        out += self.device.read(
                            (self.first + place(0) * per + i) * self.unit, self.unit
                        )
                    elif i >= -(-size // self.unit):
                        out += bytes(self.unit)
                    elif i // per >= held:
                        raise Exit("EIO")
                    else:
                        sector = self.first + place(i // per) * per + i % per
                        out += self.device.read(sector * self.unit, self.unit)
                return out

            try:
                head = page(0)
            except Exit:
                self.say("unable to read tree header")
                raise
            tree = Tree(head, page, self.out, "hfs")
            if not tree.node_size or tree.node_size & (tree.node_size - 1) or not tree.total:
                raise Exit("EIO")
            if tree.max_key != max_key:
                self.say(f"invalid {name} max_key_len {tree.max_key}")
                raise Exit("EIO")
        except Exit:
            self.say(f"unable to open {name} tree")
            raise
        return tree

    def find(self, parent: int, name: bytes) -> bytes:
        def compare(key: bytes) -> int:
            mine = be(key, 2, 4), macroman.sort_key(key[7 : 7 + key[6]]) if len(key) > 6 else ()
            other = parent, macroman.sort_key(name)
            return (mine > other) - (mine < other)

        return self.catalog.search(compare)

    def root(self) -> int:
        data = self.find(2, b"")
        if len(data) > 102:
            raise Exit("EINVAL")
        if data[0] not in (3, 4):
            self.say("found bad thread record in catalog")
            raise Exit("EIO")
        if data[14] > 31:
            self.say("bad catalog namelength")
            raise Exit("EIO")
        data = self.find(be(data, 10, 4), data[15 : 15 + data[14]])
        if len(data) != 70 or data[0] != 1:
            raise Exit("EIO")
        return be(data, 6, 4)


def mount_hfs(device: Device, options: str = "", *, read_only: bool = False) -> Outcome:
    """hfs_init_fs_context to graft_tree."""
    out = Outcome()
    try:
        parsed = parse(options, out, "hfs", ("codepage", "iocharset"))
        volume = _Hfs(device, out, parsed)
        try:
            volume.mdb_get()
        except Exit:
            volume.say("can't find a HFS filesystem")
            raise Exit("EINVAL") from None
        try:
            root = volume.root()
        except Exit:
            volume.say("get root inode failed")
            raise
        if root in (3, 4):
            raise Exit("ENOTDIR")
    except Exit as error:
        out.errno, out.readonly = error.errno, False
    return out


class _HfsPlus:
    def __init__(self, device: Device, out: Outcome, options: dict[str, str]) -> None:
        self.device, self.out, self.options = device, out, options
        self.part = int(options.get("part", -1))

    def say(self, text: str) -> None:
        self.out.messages.append(f"hfsplus: {text}")

    def wrapper(self) -> None:
        device = self.device
        if not device.set_blocksize(max(512, device.sector)) or "session" in self.options:
            raise Exit("EINVAL")
        start, size = 0, len(device.data) // 512
        while True:
            header = device.read((start + 2) * 512, 512)
            before = start
            if header[:2] in (b"H+", b"HX"):
                break
            if header[:2] == b"BD":
                attributes, block = be(header, 0x0A, 2), be(header, 0x14, 4)
                if header[0x7C:0x7E] not in (b"H+", b"HX"):
                    raise Exit("EINVAL")
                if attributes & 0x8200 != 0x8200 or block < 512 or block % 512:
                    raise Exit("EINVAL")
                start += be(header, 0x1C, 2) + be(header, 0x7E, 2) * (block // 512)
                size = be(header, 0x80, 2) * (block // 512)
            else:
                start, size = find_partition(device, start, size, self.part, "hfsplus")
            if start == before:
                raise Hang
        alternate = device.read((start + size - 2) * 512, 2)
        if alternate != header[:2]:
            self.say("invalid secondary volume header")
            raise Exit("EINVAL")
        self.block = block = be(header, 0x28, 4)
        if block < 512 or block & (block - 1):
            raise Exit("EINVAL")
        unit = min(block, PAGE)
        while start & ((unit >> 9) - 1):
            unit >>= 1
        if not device.set_blocksize(unit):
            self.say(f"unable to set blocksize to {unit}!")
            raise Exit("EINVAL")
        self.header, self.start = header, start * 512

    def fork(self, at: int) -> tuple[int, int, list[tuple[int, int]]]:
        data = self.header[at:]
        extents = [(be(data, 16 + 8 * i, 4), be(data, 20 + 8 * i, 4)) for i in range(8)]
        return be(data, 0, 8), be(data, 12, 4), extents

    def tree(self, name: str, cnid: int, at: int) -> Tree:
        size, _, extents = self.fork(at)
        held = sum(count for _, count in extents) & 0xFFFFFFFF
        try:
            if not held:
                self.say("invalid btree extent records (0 size)")
                raise Exit("EINVAL")

            def page(number: int) -> bytes:
                out = b""
                for offset in range(number * PAGE, (number + 1) * PAGE, 512):
                    index = offset // self.block
                    if offset >= size:
                        out += bytes(512)
                        continue
                    for first, count in extents:
                        if index < count:
                            place = (first + index) * self.block + offset % self.block
                            out += self.device.read(self.start + place, 512)
                            break
                        index -= count
                    else:
                        raise Exit("EIO")
                return out

            tree = Tree(page(0), page, self.out, "hfsplus")
            limit, must, flag = {3: (10, 0, 4), 4: (516, 4, 0), 8: (266, 0, 0)}[cnid]
            title = {3: "extent", 4: "catalog", 8: "attributes"}[cnid]
            if tree.max_key != limit:
                self.say(f"invalid {title} max_key_len {tree.max_key}")
                raise Exit("EINVAL")
            if tree.attributes & flag or tree.attributes & must != must:
                self.say(f"invalid {title} btree flag")
                raise Exit("EINVAL")
            if not tree.attributes & 2:
                self.say("invalid btree flag")
                raise Exit("EINVAL")
            node = tree.node_size
            if not 512 <= node <= 32768 or node & (node - 1) or not tree.total:
                raise Exit("EINVAL")
            self.map(tree, tree.node(0), name, cnid)
        except Exit:
            self.say(f"failed to load {name} file")
            raise Exit("EINVAL") from None
        return tree

    def map(self, tree: Tree, node: bytes, name: str, cnid: int) -> None:
        """hfs_bmap_test_bit of node 0."""
        good = False
        if node[8] != HEADER:
            self.say("hfsplus: invalid btree header node")
        else:
            at, end = tree.offset(node, 2), tree.offset(node, 3)
            if at >= tree.node_size and end != at:
                self.say("requested invalid offset")
            elif end != at:
                good = bool(node[at] & 0x80)
        if not good:
            title = {3: "Extents Overflow File", 4: "Catalog File", 8: "Attributes File"}[cnid]
            self.say(f"(dev): {title} (cnid 0x{cnid:x}) map record invalid")
            self.out.readonly = True

    def find(self, parent: int, name: bytes) -> bytes:
        binary = self.header[:2] == b"HX" and self.catalog.key_type == 0xBC

        def units(data: bytes) -> tuple[int, ...]:
            found = tuple(be(data, at, 2) for at in range(0, len(data) - 1, 2))
            return unistr.sort_key(found, case_sensitive=binary)

        def compare(key: bytes) -> int:
            mine = be(key, 2, 4), units(key[8 : 8 + 2 * be(key, 6, 2)])
            other = parent, units(name)
            return (mine > other) - (mine < other)

        return self.catalog.search(compare)

    def record(self, parent: int, name: bytes) -> bytes:
        """hfsplus_brec_read_cat."""
        data = self.find(parent, name)
        if len(data) > 520:
            raise Exit("EINVAL")
        kind = be(data, 0, 2)
        if kind in (3, 4):
            if len(data) < 10:
                self.say(f"thread record too short (got {len(data)})")
                raise Exit("EIO")
            expected = 10 + 2 * be(data, 8, 2)
        elif kind in (1, 2):
            expected = {1: 88, 2: 248}[kind]
        else:
            self.say(f"unknown catalog record type {kind}")
            raise Exit("EIO")
        if len(data) != expected:
            self.say(
                f"catalog record size mismatch (type {kind}, got {len(data)}, expected {expected})"
            )
            raise Exit("EIO")
        return data

    def inode(self, cnid: int) -> bytes:
        """hfsplus_iget: the catalog record; empty for a special file."""
        if cnid != 2 and cnid < 16:
            if cnid not in (3, 4, 6, 7, 8):
                raise Exit("EIO")
            return b""
        thread = self.record(cnid, b"")
        if be(thread, 0, 2) not in (3, 4):
            self.say("found bad thread record in catalog")
            raise Exit("EIO")
        data = self.find(be(thread, 4, 4), thread[10:])
        kind = be(data, 0, 2)
        if kind not in (1, 2):
            self.say("bad catalog entry used to create inode")
            raise Exit("EIO")
        if len(data) < {1: 88, 2: 248}[kind]:
            self.say(f"bad catalog {'folder' if kind == 1 else 'file'} entry")
            raise Exit("EIO")
        mode = be(data, 0x2A, 2)
        folder = mode & 0o170000 == 0o040000
        if mode and folder != (kind == 1):
            self.say(f"invalid file type 0{mode:04o} for inode {cnid}")
            raise Exit("EIO")
        return data

    def fill_super(self, *, read_only: bool) -> None:
        try:
            self.wrapper()
        except Exit:
            self.say("unable to find HFS+ superblock")
            raise Exit("EINVAL") from None
        if not 4 <= be(self.header, 2, 2) <= 5:
            self.say("wrong filesystem version")
            raise Exit("EINVAL")
        attributes = be(self.header, 4, 4)
        if not attributes & 0x0100:
            self.say("Filesystem was not cleanly unmounted")
            self.out.readonly = True
        elif "force" in self.options:
            pass
        elif attributes & 0x8000:
            self.say("Filesystem is marked locked")
            self.out.readonly = True
        elif attributes & 0x2000 and not read_only:
            self.say("write access to a journaled filesystem is not supported")
            self.out.readonly = True
        self.tree("extents", 3, 0xC0)
        self.catalog = self.tree("catalog", 4, 0x110)
        if self.fork(0x160)[1]:
            self.tree("attributes", 8, 0x160)
        try:
            root = self.inode(2)
        except Exit:
            self.say("failed to load root directory")
            raise
        hidden = bytes(8) + "HFS+ Private Data".encode("utf-16-be")
        try:
            entry = self.record(2, hidden)
        except Exit:
            entry = b""
        if entry:
            if be(entry, 0, 2) != 1:
                raise Exit("EIO")
            self.inode(be(entry, 8, 4))
        elif not read_only and not self.out.readonly:
            self.make_hidden(hidden)
        if be(root, 0, 2) != 1:
            raise Exit("ENOTDIR")

    def make_hidden(self, name: bytes) -> None:
        """hfsplus_create_cat of the private metadata directory."""
        header = self.header
        if self.catalog.free < 2 * self.catalog.depth:
            total, free = be(header, 0x2C, 4), be(header, 0x30, 4)
            if self.fork(0x70)[0] * 8 < total - free + 8:
                self.say("extend alloc file!")
                raise Exit("ENOSPC")
            if not free:
                raise Exit("ENOSPC")
        for parent, text in ((be(header, 0x40, 4), b""), (2, name)):
            try:
                self.find(parent, text)
            except Exit as error:
                if error.errno != "ENOENT":
                    raise
            else:
                raise Exit("EEXIST")


def mount_hfsplus(device: Device, options: str = "", *, read_only: bool = False) -> Outcome:
    """hfsplus_init_fs_context to graft_tree."""
    out = Outcome()
    try:
        parsed = parse(options, out, "hfsplus", ("nls",))
        _HfsPlus(device, out, parsed).fill_super(read_only=read_only)
    except Exit as error:
        out.errno, out.readonly = error.errno, False
    return out
