"""The mount path of fs/hfsplus, in Python."""

from __future__ import annotations

from errpath.images.hfs import unistr
from suites.selftest.images.kernel_model import (
    HEADER,
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

__all__ = ["mount_hfsplus"]


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

            def pick(index: int) -> int:
                for first, count in extents:
                    if index < count:
                        return first + index
                    index -= count
                return 0

            def page(number: int) -> bytes:
                out = b""
                for offset in range(number * PAGE, (number + 1) * PAGE, 512):
                    index = offset // self.block
                    if offset >= size:
                        out += bytes(512)
                        continue
                    block = self.overflow(cnid, index) if index >= held else pick(index)
                    place = block * self.block + offset % self.block
                    out += self.device.read(self.start + place, 512)
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

    def overflow(self, cnid: int, block: int) -> int:
        """hfsplus_ext_read_extent of a data fork."""

        def compare(key: bytes) -> int:
            mine = be(key, 4, 4), key[2], be(key, 8, 4)
            other = cnid, 0, block
            return (mine > other) - (mine < other)

        if cnid == 3:
            raise Exit("EIO")
        try:
            _, key, data = self.extents.floor(compare)
        except Exit:
            raise Exit("EIO") from None
        if be(key, 4, 4) != cnid or len(data) != 64:
            raise Exit("EIO")
        block -= be(key, 8, 4)
        for at in range(0, 64, 8):
            if block < be(data, at + 4, 4):
                return be(data, at, 4) + block
            block -= be(data, at + 4, 4)
        return 0

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

        return self.catalog.find(compare)

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
        self.extents = self.tree("extents", 3, 0xC0)
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
