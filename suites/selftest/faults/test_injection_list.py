"""The injection targets: entries filled into a module, and names found in a guest."""

from __future__ import annotations

import io
import struct
from collections.abc import Sequence

import pytest
from elftools.elf.elffile import ELFFile
from hypothesis import given
from hypothesis import strategies as st

from errpath.errors import InfrastructureError, UnknownFunctionError
from errpath.faults.injection_list import fill_targets, resolve
from errpath.guest.machine import GuestSymbol
from suites.selftest.kernel.elfmaker import make_module

_SECTION = "_error_injection_whitelist"
_ROOM = 8


def _module(errno_type: int = 1) -> bytes:
    """The targets module of a kernel that numbers EI_ETYPE_ERRNO so."""
    entries = struct.pack("<QiI", 2**64 - 1, errno_type, 0) * _ROOM
    return make_module({".text": b"\x90" * 13, _SECTION: entries, ".data": b"after"})


_MODULE = _module()


@pytest.mark.parametrize("errno_type", [1, 2])
def test_the_type_is_the_kernel_s_own(errno_type: int) -> None:
    section = ELFFile(io.BytesIO(fill_targets(_module(errno_type), [7]))).get_section_by_name(
        _SECTION
    )
    assert section is not None
    assert section.data() == struct.pack("<QiI", 7, errno_type, 0)


@given(addresses=st.lists(st.integers(0, 2**64 - 1), max_size=_ROOM))
def test_entries_are_filled_in_and_the_section_is_cut(addresses: list[int]) -> None:
    filled = fill_targets(_MODULE, addresses)
    elf = ELFFile(io.BytesIO(filled))
    section = elf.get_section_by_name(_SECTION)
    assert section is not None
    # struct error_injection_entry: the address, EI_ETYPE_ERRNO, padding.
    expected = b"".join(struct.pack("<QiI", address, 1, 0) for address in addresses)
    assert section.data() == expected
    assert section["sh_size"] == 16 * len(addresses)
    for name in (".text", ".data"):
        before = ELFFile(io.BytesIO(_MODULE)).get_section_by_name(name)
        after = elf.get_section_by_name(name)
        assert before is not None
        assert after is not None
        assert before.data() == after.data()
    assert len(filled) == len(_MODULE)


def test_too_many() -> None:
    with pytest.raises(
        InfrastructureError, match=r"errpath_targets: 9 targets; expected at most 8"
    ):
        fill_targets(_MODULE, range(9))


def test_another_module() -> None:
    with pytest.raises(InfrastructureError, match=f"no section {_SECTION}"):
        fill_targets(make_module({".text": b"x"}), [1])


def _symbols(*pairs: tuple[str, str]) -> list[GuestSymbol]:
    return [GuestSymbol(name, 0x1000 + at, module) for at, (name, module) in enumerate(pairs)]


@pytest.mark.parametrize(
    ("known", "message"),
    [
        ([], "function f: not in the running kernel; expected a function with code of its own"),
        ([("f2", ""), ("xf", "")], "function f: not in the running kernel"),
        (
            [("f.isra.0", ""), ("f.constprop.0", "hfs")],
            "function f: only as f.constprop.0, f.isra.0; expected one of these names",
        ),
        (
            [("f", "hfs"), ("f", "")],
            "function f: 2 of that name (hfs, vmlinux); expected one, because fail_function",
        ),
        # The cold part of a function that was inlined cannot be called.
        ([("f.cold", "hfs")], "function f: not in the running kernel"),
        ([("f.cold", ""), ("f.part.0", "")], "function f: only as f.part.0; expected one of"),
    ],
)
def test_a_function_without_one_symbol(known: Sequence[tuple[str, str]], message: str) -> None:
    found = resolve(["f"], _symbols(*known))["f"]
    assert isinstance(found, UnknownFunctionError)
    assert str(found).startswith(message)


def test_the_exact_name_wins_over_its_clones() -> None:
    symbols = _symbols(("f.cold", ""), ("f", "hfs"), ("f.isra.0", ""), ("g", ""))
    assert resolve(["f", "g"], symbols) == {"f": symbols[1], "g": symbols[3]}


def test_nothing_asked_nothing_found() -> None:
    assert resolve([], _symbols(("f", ""))) == {}


def test_the_one_of_a_module() -> None:
    symbols = _symbols(("f", "hfsplus"), ("f", "hfs"), ("f", ""))
    found = resolve(["hfs:f", "hpfs:f"], symbols)
    assert found["hfs:f"] == symbols[1]
    assert isinstance(found["hpfs:f"], UnknownFunctionError)
