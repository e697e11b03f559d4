"""Names: encodings, limits, and the orders that catalogs are sorted in."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from errpath.errors import UsageError
from errpath.images.hfs import macroman, unistr

_MACROMAN = bytes(range(1, 256)).replace(b":", b"").decode("mac_roman").replace("/", "")


@settings(deadline=None)
@given(st.text(alphabet=_MACROMAN + ":", min_size=1, max_size=31))
def test_hfs_names_survive(name: str) -> None:
    assert macroman.decode_name(macroman.encode_name(name)) == name


def test_hfs_order_is_that_of_the_macintosh() -> None:
    """Accented letters follow their letter, case does not count, quotes stand together."""
    names = [" ", "!", '"', "“", "«", "A", "à", "Å", "B", "c", "ç", "D", "z", "[", "Ê"]
    keys = [macroman.sort_key(name.encode("mac_roman")) for name in names]
    assert keys == sorted(keys)
    assert len(set(keys)) == len(keys)


@pytest.mark.parametrize(("one", "other"), [("readme", "README"), ("å", "Å"), ("œ", "Œ")])
def test_hfs_cannot_tell_case(one: str, other: str) -> None:
    key = macroman.sort_key
    assert key(one.encode("mac_roman")) == key(other.encode("mac_roman"))


@pytest.mark.parametrize(("one", "other"), [("á", "Á"), ("e", "é"), ("ÿ", "Ÿ")])
def test_hfs_can_tell_some_accented_letters(one: str, other: str) -> None:
    key = macroman.sort_key
    assert key(one.encode("mac_roman")) != key(other.encode("mac_roman"))


@pytest.mark.parametrize(("name", "error"), [("", "0 bytes"), ("a" * 32, "32 bytes"), ("ж", "no")])
def test_hfs_refuses_names_that_do_not_fit(name: str, error: str) -> None:
    with pytest.raises(UsageError, match=error):
        macroman.encode_name(name)


@pytest.mark.parametrize(
    ("name", "units"),
    [
        ("é", [0x65, 0x301]),
        ("ế", [0x65, 0x302, 0x301]),
        ("각", [0x1100, 0x1161, 0x11A8]),
        ("가", [0x1100, 0x1161]),
        ("ΐ", [0x3B9, 0x308, 0x30D]),
        ("a:b", [0x61, 0x2F, 0x62]),
        ("\u2400", [0]),
        ("\U0001f600", [0xD83D, 0xDE00]),
        ("\u212b", [0x212B]),
        ("\uf900", [0xF900]),
    ],
)
def test_hfsplus_decomposes(name: str, units: list[int]) -> None:
    assert unistr.encode_name(name) == tuple(units)


def test_hfsplus_keeps_what_it_is_told_to_keep() -> None:
    assert unistr.encode_name("é", decomposed=False) == (0xE9,)


def test_the_private_directory_comes_last() -> None:
    key = unistr.sort_key
    private = unistr.encode_name("\u2400\u2400\u2400\u2400HFS+ Private Data")
    assert key(private, case_sensitive=False) > key((0xFFFD,), case_sensitive=False)
    assert key(private, case_sensitive=True) < key((1,), case_sensitive=True)


@pytest.mark.parametrize(("upper", "lower"), [("A", "a"), ("Ж", "ж"), ("Ａ", "ａ"), ("Ⴀ", "ა")])
def test_hfsplus_folds_case(upper: str, lower: str) -> None:
    one, other = unistr.encode_name(upper), unistr.encode_name(lower)
    assert unistr.sort_key(one, case_sensitive=False) == unistr.sort_key(
        other, case_sensitive=False
    )
    assert unistr.sort_key(one, case_sensitive=True) != unistr.sort_key(other, case_sensitive=True)


def test_hfsplus_ignores_joiners() -> None:
    assert unistr.sort_key((0x61, 0x200D, 0x62), case_sensitive=False) == (0x61, 0x62)


@pytest.mark.parametrize("name", ["", "a" * 256, "é" * 128])
def test_hfsplus_refuses_names_that_do_not_fit(name: str) -> None:
    with pytest.raises(UsageError, match="expected 1 to 255"):
        unistr.encode_name(name)


def _table(text: str, name: str) -> list[int]:
    body = text[text.index(name) :]
    body = body[body.index("{") : body.index("};")]
    body = re.sub(r"/\*.*?\*/|//.*", "", body, flags=re.DOTALL if "//" not in body else 0)
    return [int(number, 16) for number in re.findall(r"0x([0-9A-Fa-f]+)", body)]


def _kernel_source(path: str) -> str:
    root = os.environ.get("ERRPATH_KERNEL_SOURCE")
    if not root:
        pytest.skip("ERRPATH_KERNEL_SOURCE names no kernel source to compare with")
    return (Path(root) / path).read_text(encoding="utf-8")


def test_hfs_order_equals_the_kernels() -> None:
    order = _table(_kernel_source("fs/hfs/string.c"), "caseorder[256]")
    ours = [macroman.sort_key(bytes([code]))[0] for code in range(256)]
    by_kernel = sorted(range(256), key=lambda code: (order[code], code))
    assert sorted(range(256), key=lambda code: (ours[code], code)) == by_kernel
    assert len(set(order)) == len(set(ours))


def test_hfsplus_tables_equal_the_kernels() -> None:
    text = _kernel_source("fs/hfsplus/tables.c")
    fold = _table(text, "hfsplus_case_fold_table[]")
    parts = _table(text, "hfsplus_decompose_table[]")
    for code in range(0x10000):
        row = fold[code >> 8]
        assert unistr.case_fold(code) == (fold[row + (code & 0xFF)] if row else code), hex(code)
        at = parts[code >> 12]
        for shift in (8, 4, 0):
            at = parts[at + (code >> shift & 0xF)] if at not in (0, 0xFFFF) else 0
        expected = tuple(parts[at // 4 : at // 4 + at % 4]) if at % 4 else (code,)
        if not 0xAC00 <= code < 0xAC00 + 11172:
            assert unistr.decompose(code) == expected, hex(code)
