"""The mount path of fs/hfs, in Python."""

from __future__ import annotations

from errpath.images.hfs import macroman
from suites.selftest.images.kernel_model import (
    PAGE,
    Device,
    Exit,
    Hang,
    Outcome,
    Tree,
    be,
    find_partition,
    parse,
)

__all__ = ["mount_hfs"]


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
                    else:
                        index = i // per
                        block = place(index) if index < held else self.overflow(cnid, index)
                        sector = self.first + block * per + i % per
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

    def overflow(self, cnid: int, block: int) -> int:
        """hfs_ext_read_extent of a data fork."""

        def compare(key: bytes) -> int:
            mine = be(key, 2, 4), key[1], be(key, 6, 2)
            other = cnid, 0, block
            return (mine > other) - (mine < other)

        try:
            _, key, data = self.extents.floor(compare)
        except Exit:
            raise Exit("EIO") from None
        if be(key, 2, 4) != cnid or len(data) != 12:
            raise Exit("EIO")
        block -= be(key, 6, 2)
        for at in (0, 4, 8):
            if block < be(data, at + 2, 2):
                return be(data, at, 2) + block
            block -= be(data, at + 2, 2)
        return 0

    def find(self, parent: int, name: bytes) -> bytes:
        def compare(key: bytes) -> int:
            mine = be(key, 2, 4), macroman.sort_key(key[7 : 7 + key[6]]) if len(key) > 6 else ()
            other = parent, macroman.sort_key(name)
            return (mine > other) - (mine < other)

        return self.catalog.find(compare)

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
