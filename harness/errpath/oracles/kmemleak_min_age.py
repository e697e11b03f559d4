"""kmemleak's minimum age of a reported object, lowered from outside of the guest.

mm/kmemleak.c reports an object only when `object->jiffies + jiffies_min_age` has passed at the
start of a scan, to spare objects whose pointer is still in a register. `jiffies_min_age` is a
static variable that is set once, to msecs_to_jiffies(MSECS_MIN_AGE), 5 s. Its address in the
guest's physical memory is known, and that memory is a file of ours.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from errpath.errors import InfrastructureError
from errpath.guest.machine import Guest

__all__ = ["MinAge", "find_min_age", "set_min_age"]

_VARIABLE = "jiffies_min_age"
# MSECS_MIN_AGE of mm/kmemleak.c, in seconds.
_SECONDS = 5
_CODE = re.compile(r"^\s*([0-9a-f]+)-[0-9a-f]+ : Kernel code$", re.MULTILINE)


@dataclass(frozen=True)
class MinAge:
    """Where the threshold is, and what the kernel set it to."""

    # Guest-physical.
    address: int
    # Jiffies; 5 s.
    ticks: int


def find_min_age(guest: Guest, system_map: Path, config: Path) -> MinAge:
    """The threshold of a running guest, from its kernel's System.map and its own /proc/iomem.

    Raises:
        InfrastructureError: it cannot be found, or what is there is not 5 s in jiffies: better no
            fast check than a write to a wrong address.
    """
    if guest.ram is None:
        raise InfrastructureError(
            "kmemleak's minimum age: this guest's memory is not ours to change"
        )
    addresses = _symbols(system_map, ("_text", _VARIABLE))
    code = _CODE.search(guest.read_file("/proc/iomem").decode())
    if code is None:
        raise InfrastructureError("kmemleak's minimum age: /proc/iomem names no kernel code")
    # The whole image lies in one piece, at whatever address; _text is its first byte.
    found = MinAge(
        int(code[1], 16) + addresses[_VARIABLE] - addresses["_text"], _ticks(config) * _SECONDS
    )
    there = guest.ram.read_word(found.address)
    if there != found.ticks:
        raise InfrastructureError(
            f"kmemleak's minimum age: {there} jiffies at {found.address:#x}; expected {found.ticks}"
        )
    return found


def set_min_age(guest: Guest, min_age: MinAge, *, lowered: bool) -> None:
    """Lower the threshold to nothing, or put it back.

    Raises:
        InfrastructureError: the word there is neither of the two: it is something else, and stays.
    """
    if guest.ram is None:
        raise InfrastructureError(
            "kmemleak's minimum age: this guest's memory is not ours to change"
        )
    there = guest.ram.read_word(min_age.address)
    if there not in (0, min_age.ticks):
        raise InfrastructureError(
            f"kmemleak's minimum age: {there} jiffies at {min_age.address:#x}; expected 0 or "
            f"{min_age.ticks}"
        )
    guest.ram.write_word(min_age.address, 0 if lowered else min_age.ticks)


def _symbols(system_map: Path, names: tuple[str, ...]) -> dict[str, int]:
    found: dict[str, int] = {}
    for line in system_map.read_text().splitlines():
        address, _, name = line.split(maxsplit=2)
        if name in names:
            if name in found:
                raise InfrastructureError(f"{system_map}: {name} twice; expected it once")
            found[name] = int(address, 16)
    for name in names:
        if name not in found:
            raise InfrastructureError(f"{system_map}: no {name}; expected a kernel with kmemleak")
    return found


def _ticks(config: Path) -> int:
    """CONFIG_HZ."""
    line = re.search(r"^CONFIG_HZ=(\d+)$", config.read_text(), re.MULTILINE)
    if line is None:
        raise InfrastructureError(f"{config}: no CONFIG_HZ")
    return int(line[1])
