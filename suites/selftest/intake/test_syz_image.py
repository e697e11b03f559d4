"""Images that reproducers carry: both forms, in C and in syzkaller's language."""

from __future__ import annotations

import base64
import contextlib
import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from errpath.cli.main import main
from errpath.errors import UsageError
from errpath.images.crafted.catalogue import base_image
from errpath.intake.syz_image import extract_images

_IMAGE = base_image("hfs")
_RAW = _IMAGE.to_bytes()


def _escaped(data: bytes, width: int = 64) -> str:
    """C string literals, one a line."""
    lines = [data[i : i + width] for i in range(0, len(data), width)]
    return "\n".join('"' + "".join(f"\\x{byte:02x}" for byte in line) + '"' for line in lines)


def _packed_source(data: bytes) -> str:
    packed = zlib.compress(data)
    return f"""
#include <stdio.h>
static long syz_mount_image(volatile long fsarg, volatile long dir, volatile long flags)
{{ return puff(fsarg); }}
int main(void) {{
  memcpy((void*)0x20000000, "hfs\\000", 4);
  memcpy((void*)0x20000040, "./file0\\000", 8);
  memcpy((void*)0x20000100, {_escaped(packed)}, {len(packed)});
  syz_mount_image(/*fs=*/0x20000000, /*dir=*/0x20000040, /*flags=*/0, /*opts=*/0x20000080,
                  /*chdir=*/1, /*size=*/{len(packed):#x}, /*img=*/0x20000100);
}}
"""


def _segment_source(call: str) -> str:
    return f"""
#include <stdio.h>
struct fs_image_segment {{ void* data; uintptr_t size; uintptr_t offset; }};
int main(void) {{
  memcpy((void*)0x20000000, "hfs\\000", 4);
  *(uint64_t*)0x20000200 = 0x20010000;
  memcpy((void*)0x20010000, "BD\\x01" "\\"\\\\\\n\\101", 7);
  *(uint64_t*)0x20000208 = 7;
  *(uint64_t*)0x20000210 = 0x400;
  NONFAILING(*(uint64_t*)0x20000218 = 0x20010100);
  memset((void*)0x20010100, 255, 16);
  *(uint64_t*)0x20000220 = 0x10;
  *(uint64_t*)0x20000228 = 0x2000;
  {call}
}}
"""


def test_a_packed_image() -> None:
    (one,) = extract_images(_packed_source(_RAW))
    assert one.filesystem == "hfs"
    assert one.image.sha256 == _IMAGE.sha256
    assert one.image.name == "mount_0_hfs.img"


@pytest.mark.parametrize(
    ("call", "filesystem"),
    [
        ("syz_mount_image(0x20000000, 0, 0x100000, 2, 0x20000200, 0, 0x20010020, 0);", "hfs"),
        ("NONFAILING(syz_read_part_table(0x100000ul, 2ul, 0x20000200ul));", ""),
    ],
)
def test_segments(call: str, filesystem: str) -> None:
    (one,) = extract_images(_segment_source(call))
    assert (one.filesystem, one.image.size) == (filesystem, 0x100000)
    assert one.image.read(0x400, 8) == b'BD\x01"\\\nA\x00'
    assert one.image.read(0x2000, 17) == b"\xff" * 16 + b"\0"


def test_a_long_literal_on_a_line_of_its_own() -> None:
    call = "syz_mount_image(0x20000000, 0, 0x100000, 2, 0x20000200, 0, 0, 0);"
    wrapped = _segment_source(call).replace("memcpy((void*)", "memcpy(\n      (void*)")
    wrapped = wrapped.replace("memset((void*)", "memset(\n      (void*)")
    (one,) = extract_images(wrapped)
    assert (one.filesystem, one.image.read(0x400, 2)) == ("hfs", b"BD")
    assert one.image.read(0x2000, 2) == b"\xff\xff"


def test_an_image_is_as_long_as_its_segments() -> None:
    call = "syz_mount_image(0x20000000, 0, 16, 2, 0x20000200, 0, 0, 0);"
    (one,) = extract_images(_segment_source(call))
    assert one.image.size == 0x2010


def test_a_program_of_syzkaller() -> None:
    packed = base64.b64encode(zlib.compress(_RAW)).decode()
    text = (
        "# https://syzkaller.appspot.com/bug?id=1\n"
        "syz_mount_image$hfs(&(0x7f0000000000), &(0x7f0000000040)='./file0\\x00', 0x0, "
        f'&(0x7f0000000080)=ANY=[@ANYBLOB="00"], 0x1, 0x2d4, &(0x7f0000000100)="${packed}")\n'
        "r0 = open(&(0x7f0000000040)='./file0\\x00', 0x0, 0x0)\n"
    )
    (one,) = extract_images(text)
    assert (one.filesystem, one.image.sha256) == ("hfs", _IMAGE.sha256)


def test_segments_of_a_program() -> None:
    text = (
        "syz_mount_image$jfs(&(0x7f0000000000)='jfs\\x00', &(0x7f0000000100)='./file0\\x00', "
        '0x1000000, 0x2, &(0x7f0000000200)=[{&(0x7f0000010000)="4a465331", 0x4, 0x8000}, '
        "{&(0x7f0000010100)='ab\\x00', 0x3, 0x9000}], 0x0, &(0x7f0000010020))\n"
    )
    (one,) = extract_images(text)
    assert (one.filesystem, one.image.size) == ("jfs", 0x1000000)
    assert (one.image.read(0x8000, 4), one.image.read(0x9000, 3)) == (b"JFS1", b"ab\0")


def test_what_carries_none() -> None:
    assert extract_images(_segment_source("syz_mount_image(0x20000000, 0, 0, 0, 0, 0, 0);")) == ()
    assert extract_images("int main(void) { return 0; }") == ()
    assert extract_images("#include <x.h>\nsyz_mount_image(a, b, c);") == ()
    assert extract_images("") == ()


@pytest.mark.parametrize("packed", [b"", b"x" * 40, zlib.compress(_RAW)[:-9][:1]])
def test_a_damaged_image_is_one_line(packed: bytes) -> None:
    text = _packed_source(_RAW).replace(_escaped(zlib.compress(_RAW)), _escaped(packed) or '""')
    with pytest.raises(UsageError, match=r"^syz_mount_image: "):
        extract_images(text)


@given(st.text(max_size=300), st.integers(0, 600))
def test_any_text_is_read_or_refused(junk: str, cut: int) -> None:
    for text in (_segment_source(junk), _packed_source(b"x" * 100)[:cut] + junk):
        with contextlib.suppress(UsageError):
            extract_images(text)


def test_the_command_writes_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "repro.c"
    source.write_text(_packed_source(_RAW))
    assert main(["images", "extract", str(source), "--into", str(tmp_path / "out")]) == 0
    file = tmp_path / "out" / "mount_0_hfs.img"
    assert file.read_bytes() == _RAW
    assert capsys.readouterr().out == f"{file}: {len(_RAW)} bytes, mounted as hfs, is hfs\n"
    assert main(["images", "show", str(file)]) == 0
    assert "mount_0_hfs.img: hfs\n" in capsys.readouterr().out
    source.write_text("int main(void) { return 0; }")
    assert main(["images", "extract", str(source)]) == 1
    assert main(["images", "extract", str(tmp_path / "none")]) == 2


@given(st.lists(st.tuples(st.integers(0, 8191), st.binary(min_size=1, max_size=8)), max_size=6))
def test_show_bears_any_volume(pieces: list[tuple[int, bytes]]) -> None:
    from errpath.images.crafted.show import show

    kept = [(offset, data) for offset, data in pieces if offset + len(data) <= _IMAGE.size]
    assert show(_IMAGE.patched_all(kept))
