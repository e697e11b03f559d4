"""kmemleak's threshold: found where it is, and never anything else written."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from errpath.errors import InfrastructureError
from errpath.guest.machine import Guest
from errpath.guest.ram import GuestRam
from errpath.oracles.kmemleak_min_age import MinAge, find_min_age, set_min_age
from suites.selftest.runner.simguest import World

_IOMEM = b"""00001000-0009fbff : System RAM
00100000-0fffffff : System RAM
  01200000-01a00fff : Kernel code
  01c00000-01d00fff : Kernel rodata
"""
_MAP = """ffffffff81000000 T _text
ffffffff81000100 T start_kernel
ffffffff81d00010 d jiffies_min_age
"""


def _guest() -> Guest:
    return World(files={"/proc/iomem": _IOMEM}).boot().guest


@pytest.fixture
def guest() -> Iterator[Guest]:
    one = _guest()
    one.ram = GuestRam(32 << 20)
    # _text is at 0x1200000 in this guest, as /proc/iomem says.
    one.ram.write_word(0x1F00010, 1250)
    yield one
    one.ram.close()


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    (tmp_path / "System.map").write_text(_MAP)
    (tmp_path / "config").write_text("CONFIG_HZ_250=y\nCONFIG_HZ=250\n")
    return tmp_path / "System.map", tmp_path / "config"


def test_it_is_where_the_kernel_was_put(guest: Guest, files: tuple[Path, Path]) -> None:
    assert find_min_age(guest, *files) == MinAge(0x1F00010, 1250)


def test_lowered_and_put_back(guest: Guest, files: tuple[Path, Path]) -> None:
    assert guest.ram is not None
    found = find_min_age(guest, *files)
    set_min_age(guest, found, lowered=True)
    assert guest.ram.read_word(found.address) == 0
    set_min_age(guest, found, lowered=False)
    assert guest.ram.read_word(found.address) == 1250


def test_another_value_is_another_variable(guest: Guest, files: tuple[Path, Path]) -> None:
    assert guest.ram is not None
    guest.ram.write_word(0x1F00010, 1251)
    with pytest.raises(InfrastructureError, match=r"1251 jiffies at 0x1f00010; expected 1250"):
        find_min_age(guest, *files)
    with pytest.raises(InfrastructureError, match="expected 0 or 1250"):
        set_min_age(guest, MinAge(0x1F00010, 1250), lowered=True)
    assert guest.ram.read_word(0x1F00010) == 1251


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("ffffffff81000000 T _text\n", "no jiffies_min_age; expected a kernel with kmemleak"),
        (_MAP + "ffffffff81d00050 d jiffies_min_age\n", "jiffies_min_age twice"),
    ],
)
def test_a_map_that_does_not_tell(
    guest: Guest, files: tuple[Path, Path], text: str, complaint: str
) -> None:
    files[0].write_text(text)
    with pytest.raises(InfrastructureError, match=complaint):
        find_min_age(guest, *files)


def test_memory_that_is_not_ours(guest: Guest, files: tuple[Path, Path]) -> None:
    other = _guest()
    with pytest.raises(InfrastructureError, match="not ours to change"):
        find_min_age(other, *files)
