"""`errpath trace`, `debug` and `dump`: what happens inside of one case."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import struct
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile
from elftools.elf.segments import NoteSegment

from errpath.analysis.inspect.attempts import Attempt, difference
from errpath.analysis.inspect.core import parse_registers, vmcoreinfo, write_core
from errpath.analysis.inspect.drgn_session import superblock_data_type
from errpath.analysis.inspect.trace import Moment, Span, parse_times, perfetto_json
from errpath.analysis.inspect.types import types_source
from errpath.cli import main
from errpath.errors import InfrastructureError
from errpath.guest.ram import GuestRam
from suites.selftest.paths import ROOT

_CASE = "hfs-setup_bdev_super-EIO-mount-rw"
_GRAPH = """\
# tracer: function_graph
#
#     TIME         DURATION                  FUNCTION CALLS
#      |            |   |                     |   |   |   |
    1.000010 |               |  get_tree_bdev_flags() {
    1.000020 |   1.500 us    |    sget_fc();
    1.000025 |               |    /* kmalloc: call_site=hfs_init ptr=00 */
    1.000030 | + 10.000 us   |    hfs_fill_super [hfs]();
    1.000050 | + 40.000 us   |  }
    1.000060 |               |  put_fs_context() {
    1.000070 |   2.000 us    |    hfs_free_fc [hfs]();
"""


def test_a_trace_is_calls_and_events() -> None:
    spans, moments = parse_times(_GRAPH)
    assert [(one.function, one.depth) for one in spans] == [
        ("get_tree_bdev_flags", 0),
        ("sget_fc", 1),
        ("hfs_fill_super", 1),
        ("put_fs_context", 0),
        ("hfs_free_fc", 1),
    ]
    assert round(spans[0].took) == 40
    assert spans[1].took == 1.5
    # It had not returned when the trace ended.
    assert round(spans[3].took) == 10
    assert [(one.name, one.text) for one in moments] == [("kmalloc", "call_site=hfs_init ptr=00")]


def test_perfetto_has_every_call_and_event() -> None:
    text = perfetto_json([Span("f", 0, 1.0, 2.0)], [Moment("kfree", "x", 3.0)], task="case")
    events = json.loads(text)["traceEvents"]
    assert [event["ph"] for event in events] == ["M", "X", "i"]
    assert events[1]["dur"] == 2.0


def test_a_core_has_the_memory_and_what_finds_its_page_tables(tmp_path: Path) -> None:
    ram = GuestRam(1 << 20)
    ram.write_word(0x3000, 0x1122334455667788)
    note = vmcoreinfo("7.2.13", {"init_top_pgt": 0xFFFFFFFF82001000})
    assert "SYMBOL(swapper_pg_dir)=ffffffff82001000\n" in note
    with pytest.raises(InfrastructureError, match="page table"):
        vmcoreinfo("7.2.13", {})
    core = tmp_path / "core"
    write_core(ram, note, core, registers=[{"rip": 0x1111, "gs": 0x2222}])
    ram.close()
    data = core.read_bytes()
    assert data[:4] == b"\x7fELF"
    assert note.encode() in data
    with core.open("rb") as file:
        segment = ELFFile(file).get_segment(0)
        assert isinstance(segment, NoteSegment)
        notes = {one["n_type"]: one["n_desc"] for one in segment.iter_notes()}
    # struct elf_prstatus has the registers at 112: rip is the seventeenth, gs the last.
    status = notes["NT_PRSTATUS"]
    status = status if isinstance(status, bytes) else status.encode("latin-1")
    assert len(status) == 336
    assert struct.unpack_from("<Q", status, 112 + 16 * 8)[0] == 0x1111
    assert struct.unpack_from("<Q", status, 112 + 26 * 8)[0] == 0x2222
    start = struct.unpack_from("<Q", data, 64 + 56 + 8)[0]
    assert struct.unpack_from("<Q", data, start + 0x3000)[0] == 0x1122334455667788
    # Memory that nobody touched takes no room.
    assert core.stat().st_blocks * 512 < 1 << 19


def test_registers_of_each_cpu_are_read_from_what_qemu_prints() -> None:
    text = """\
CPU#0
RAX=ffff888004555000 RBX=0000000000000001 RCX=0000000000000003 RDX=0000000000000000
R8 =8080808080808080 R9 =ffff888004555378 R10=ffffffffa03d78bb R11=fefefefefefefeff
RIP=ffffffff813b4ac0 RFL=00000246 [---Z-P-] CPL=0 II=0 A20=1 SMM=0 HLT=0
CS =0010 0000000000000000 ffffffff 00af9b00 DPL=0 CS64 [-RA]
GS =0000 ffff88808db08000 ffffffff 00c00000
CR0=80050033 CR2=0000000000550d38 CR3=0000000000a53000 CR4=003506b0

CPU#1
RAX=0000000000000007 RBX=0000000000000000 RCX=0000000000000000 RDX=0000000000000000
RIP=ffffffff81000000 RFL=00000002 [-------] CPL=0 II=0 A20=1 SMM=0 HLT=1
"""
    first, second = parse_registers(text)
    assert first["rax"] == 0xFFFF888004555000
    assert first["r8"] == 0x8080808080808080
    assert (first["rip"], first["eflags"]) == (0xFFFFFFFF813B4AC0, 0x246)
    assert (first["cs"], first["gs_base"]) == (0x10, 0xFFFF88808DB08000)
    assert (second["rax"], second["rip"]) == (7, 0xFFFFFFFF81000000)


@pytest.mark.parametrize(
    "text",
    [
        "struct x_sb_info *X_SB(struct super_block *sb)\n{\n\treturn sb->s_fs_info;\n}",
        "#define X_SB(sb) ((struct x_sb_info *)(sb)->s_fs_info)",
        "\tstruct x_sb_info *sbi = dentry->d_sb->s_fs_info;\n",
    ],
)
def test_the_sources_say_what_a_superblock_holds(text: str) -> None:
    assert superblock_data_type(["int f;", text]) == "x_sb_info"
    assert superblock_data_type(["int f;"]) == ""


@pytest.mark.parametrize("command", ["trace", "debug", "dump"])
def test_an_unknown_case_is_one_line(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main([command, "no-such-case"]) == 2
    err = capsys.readouterr().err
    assert "no-such-case: no such case" in err
    assert err.count("\n") == 1


def test_without_gdb_there_is_one_line_with_the_package(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(shutil, "which", lambda name, *rest, **more: None)
    assert main.main(["debug", _CASE]) == 125
    assert "gdb: not found on PATH (Debian package gdb" in capsys.readouterr().err


@pytest.mark.qemu
@pytest.mark.kernel_build
def test_gdb_stops_at_the_forced_fault_with_symbols_of_modules_and_types(
    capfd: pytest.CaptureFixture[str],
) -> None:
    commands = "bt 3; info symbol hfs_fill_super; up; p fc->fs_type->name; ptype struct hfs_sb_info"
    # Of the kernel's gdb scripts: what runs, and the modules.
    commands += "; p $lx_current().comm; lx-lsmod"
    assert main.main(["debug", _CASE, "--types", "--batch", commands]) == 0
    out = capfd.readouterr().out
    # A member of another structure's, and a structure of the filesystem's own.
    assert '"hfs"' in out
    assert "struct hfs_btree *ext_tree;" in out
    assert "#0  setup_bdev_super" in out
    assert "get_tree_bdev_flags" in out
    assert "hfs_fill_super in section .text" in out
    assert '"errpath-debugge"' in out
    assert re.search(r"(?m)^0x\w+ hfs +\d+ +2", out)


@pytest.mark.qemu
@pytest.mark.kernel_build
def test_drgn_sees_the_stopped_guest(capfd: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("drgn", reason="no drgn (pip install errpath[inspect])")
    # A helper of drgn's, three of ours, and a structure of the filesystem's.
    statements = (
        "print('PID 1', prog.stack_trace(find_task(1))[0].name); "
        "print('CPU', cpu_stack()[1].name); "
        "print('TASK', case_task().comm.string_()); "
        "[sb] = superblocks(); fs_info(sb).type_"
    )
    assert main.main(["debug", _CASE, "--drgn", "--batch", statements]) == 0
    lines = capfd.readouterr().out.splitlines()
    assert "PID 1 context_switch" in lines
    assert "CPU get_tree_bdev_flags" in lines
    assert "TASK b'errpath-debugge'" in lines
    assert lines[-1] == "struct hfs_sb_info *"
    assert main.main(["debug", _CASE, "--drgn", "--batch", "superblocks('hfs"]) == 2
    assert "--batch: unterminated string" in capfd.readouterr().err


@pytest.mark.qemu
def test_the_session_of_the_documentation_is_what_one_sees(
    capfd: pytest.CaptureFixture[str],
) -> None:
    text = (ROOT / "docs" / "debugging.md").read_text()
    block = text[text.index("    $ errpath debug ") :].partition("\n\n")[0]
    command, *expected = [line.removeprefix("    ") for line in block.splitlines()]
    assert main.main(shlex.split(command)[2:]) == 0
    out = iter(capfd.readouterr().out.splitlines())
    for line in expected:
        # Addresses and arguments change from build to build: the text has an ellipsis for them.
        pattern = re.escape(line).replace("…", ".*")
        pattern = re.sub(r"0x[0-9a-f]+|\([\d.\\-]+\)|:\d+", ".*", pattern)
        if line != "…":
            assert any(re.match(pattern, seen) for seen in out), line


@pytest.mark.qemu
def test_a_case_is_traced(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "trace.json"
    words = ["trace", _CASE, "--events", "kmem:kfree", "--perfetto", str(file)]
    assert main.main(words) == 0
    out = capsys.readouterr().out
    assert out.index("hfs_init_fs_context") < out.index("put_fs_context")
    events = json.loads(file.read_text())["traceEvents"]
    assert {"hfs_init_fs_context", "sget_fc", "kfree"} <= {one["name"] for one in events}
    assert all(one["dur"] >= 0 for one in events if one["ph"] == "X")


def test_the_source_of_types_has_the_filesystems_own_includes() -> None:
    text = types_source('#include <linux/nls.h>\n#include "hfs_fs.h"\n#include "x.c"\nint f;\n')
    assert text.index("<linux/fs.h>") < text.index("<linux/nls.h>") < text.index('"hfs_fs.h"')
    assert "x.c" not in text
    assert "int f" not in text


@pytest.mark.qemu
def test_a_core_opens_in_drgn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    drgn = pytest.importorskip("drgn", reason="no drgn (pip install errpath[inspect])")
    core = tmp_path / "core"
    assert main.main(["dump", _CASE, "-o", str(core)]) == 0
    words = capsys.readouterr().out.split()
    assert words[:3] == ["drgn", "-c", str(core)]
    program = drgn.Program()
    program.set_core_dump(core)
    program.load_debug_info([word for before, word in pairwise(words) if before == "-s"])
    banner = program.symbol("linux_banner")
    text = program.read(banner.address, 40)
    assert text.startswith(b"Linux version ")


def test_attempts_differ_first_in_their_steps_then_their_calls() -> None:
    one = Attempt(("mount: 0",), ("m",), (("f", 0), ("g", 1)), ())
    assert difference(one, one) == ""
    other = replace(one, calls=(("f", 0), ("h", 1)), messages=())
    assert difference(one, other) == "call 2 of 2: h(), 1 deep; expected g(), 1 deep"
    assert difference(one, replace(one, messages=())) == "message 1 of 1: none; expected m"
    assert difference(one, replace(other, steps=("mount: -EIO",))).startswith(
        "step 1 of 1: mount: -"
    )
    leak = replace(one, leaks=("64 bytes at 0xffff888000000000",))
    assert difference(one, leak).startswith("leaked object 1 of 1: 64 bytes")
    assert str(leak) == "2 calls, 1 message, 1 leaked object; mount: 0"


@pytest.mark.qemu
def test_a_case_is_run_again_in_clones(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["run", "killsb-omfs-d-plain-mount-ro", "--replay"]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert re.fullmatch(
        r"clone 1  \d+ calls, 2 messages, 1 leaked object; mount: 0, umount: 0", first
    )
    assert second == "clone 2  the same, in the same order"


def test_a_replay_is_of_one_case_in_several_clones(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["run", _CASE, "--replay", "1"]) == 2
    assert "--replay 1: expected 2 or more clones" in capsys.readouterr().err
    assert main.main(["run", _CASE, "other", "--replay"]) == 2
    assert "--replay: expected one CASE-ID" in capsys.readouterr().err
