"""Symbol tables, the places of functions, and decoded text, without a kernel."""

from __future__ import annotations

from pathlib import Path

import pytest

from errpath.kernel import BuiltKernel, Frame, Symbolizer
from errpath.kernel.symbols.addr2line import Addr2line
from errpath.kernel.symbols.elf import Symbol
from errpath.kernel.symbols.functions import FunctionKind, site_of
from errpath.kernel.symbols.symtab import SymbolTable, clone_of, load_system_map

SYSTEM_MAP = """\
ffffffff81000000 T _stext
ffffffff81000000 T startup
ffffffff81000100 t get_inode
ffffffff81000140 t get_inode
ffffffff81000140 t alias_of_second
ffffffff81000240 D some_data
ffffffff81000300 t vfs_get_tree.part.0
ffffffff81000380 t vfs_get_tree.cold
ffffffff810003a0 t other
ffffffff81000400 T _etext
"""


@pytest.fixture
def system_map(tmp_path: Path) -> Path:
    path = tmp_path / "System.map"
    path.write_text(SYSTEM_MAP)
    return path


def test_sizes_reach_the_next_address(system_map: Path) -> None:
    table = load_system_map(system_map)
    assert [symbol.size for symbol in table.named("startup")] == [0x100]
    assert [symbol.size for symbol in table.named("get_inode")] == [0x40, 0x100]
    assert table.named("some_data") == ()


def test_namesakes_are_told_apart_by_size_or_not_at_all(system_map: Path) -> None:
    table = load_system_map(system_map)
    assert table.find("get_inode", 0x10, None) is None
    first = table.find("get_inode", 0x10, 0x40)
    second = table.find("get_inode", 0x10, 0x100)
    assert first is not None
    assert second is not None
    assert second.address - first.address == 0x40
    # Only one is long enough.
    assert table.find("get_inode", 0x90, None) == second
    assert table.find("startup", 0x101, None) is None


def test_clones(system_map: Path) -> None:
    assert clone_of("foo.isra.0.cold") == "foo"
    assert clone_of("foo.constprop.12") == "foo"
    assert clone_of("foo") == "foo"
    table = load_system_map(system_map)
    assert table.clones("vfs_get_tree") == ("vfs_get_tree.cold", "vfs_get_tree.part.0")
    site = site_of("vfs_get_tree", {None: table}, {})
    assert site.kind is FunctionKind.CLONES
    assert site_of("other", {None: table}, {}).kind is FunctionKind.CODE
    assert site_of("get_inode", {None: table}, {}).count == 2


def test_cold_part_alone_is_no_function(tmp_path: Path) -> None:
    table = SymbolTable([Symbol("foo.cold", 0, 16)])
    assert site_of("foo", {None: table}, {}).kind is FunctionKind.UNKNOWN


class FakeSymbolizer(Symbolizer):
    """A symbolizer that remembers what it was asked, and knows two functions."""

    def __init__(self) -> None:
        files = Path("/nonexistent")
        super().__init__(BuiltKernel("k", "k", "k", "7.2", "fake", files, ""))
        self.asked: list[tuple[str, int, str | None, int | None, bool]] = []

    def resolve(
        self,
        function: str,
        offset: int,
        module: str | None = None,
        *,
        size: int | None = None,
        exact: bool = False,
    ) -> tuple[Frame, ...]:
        self.asked.append((function, offset, module, size, exact))
        if function == "hfs_init_fs_context":
            return (
                Frame("kzalloc", "include/linux/slab.h", 900, True),
                Frame(function, "fs/hfs/super.c", 412, False),
            )
        return (Frame(function, "fs/super.c", 7, False),) if function == "vfs_get_tree" else ()


def test_decode_adds_places_and_changes_nothing_else() -> None:
    text = (
        "unreferenced object 0xffff888003f4e800 (size 256):\n"
        "  backtrace (crc 0):\n"
        "    [<0000000012345678>] hfs_init_fs_context+0x24/0xa0 [hfs]\n"
        "    vfs_get_tree+0x30/0xd0\n"
        "    unknown+0x1/0x2 [other abcdef]\r\n"
    )
    symbolizer = FakeSymbolizer()
    assert symbolizer.decode(text) == text.replace(
        "0xa0 [hfs]", "0xa0 [hfs] (include/linux/slab.h:900 fs/hfs/super.c:412)"
    ).replace("0x30/0xd0", "0x30/0xd0 (fs/super.c:7)")
    assert symbolizer.asked[0] == ("hfs_init_fs_context", 0x24, "hfs", 0xA0, False)
    assert symbolizer.asked[2][2] == "other"


def test_frames_of_a_text() -> None:
    found = dict(FakeSymbolizer().frames("hfs_init_fs_context+0x24/0xa0 [hfs]\n ? gone+0x1/0x2\n"))
    assert [frame.function for frame in found["hfs_init_fs_context"]] == [
        "kzalloc",
        "hfs_init_fs_context",
    ]
    assert found["gone"] == ()


def test_instruction_pointer_is_no_return_address() -> None:
    symbolizer = FakeSymbolizer()
    symbolizer.decode("RIP: 0010:vfs_get_tree+0x30/0xd0\n ? vfs_get_tree+0x31/0xd0\n")
    assert [asked[-1] for asked in symbolizer.asked] == [True, False]


def test_addr2line_answers_and_ends(tmp_path: Path) -> None:
    program = Addr2line(Path("/bin/true"), prefixes=())
    try:
        assert program.lookup(0x10) == ()
        assert program.lookup(0x20) == ()
    finally:
        program.close()
