"""Who holds a lock that a task waits for, in a memory that is made of data."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from errpath.guest.lock_owners import Held, find_owners
from errpath.guest.ram import GuestRam

_MIB = 1 << 20
_IMAGE, _DIRECT = 0xFFFFFFFF80000000, 0xFFFF888000000000
_COMM, _STACK = 0x600, 0x20
_SYMBOLS = {
    "init_top_pgt": _IMAGE + 0x1000,
    "init_task": _IMAGE + 0x100000,
    "init_stack": _IMAGE + 0x110000,
}


@dataclass
class _Memory:
    """Kernel image and direct map, both from physical 0 on, by one large page each."""

    ram: GuestRam

    def __post_init__(self) -> None:
        for base, tables in (
            (_IMAGE, (0x1000, 0x2000, 0x3000)),
            (_DIRECT, (0x1000, 0x4000, 0x5000)),
        ):
            for shift, table, below in zip((39, 30), tables, tables[1:], strict=False):
                self.ram.write_word(table + (base >> shift & 511) * 8, below | 3)
            for number in range(4):
                entry = (base >> 21 & 511) + number
                self.ram.write_word(tables[2] + entry * 8, number * 2 * _MIB | 0x83)
        self.task(0x100000, "swapper/0", _SYMBOLS["init_stack"])

    def task(self, at: int, name: str, stack: int) -> int:
        """A task_struct at a physical address; its address."""
        self.ram.write_word(at + _STACK, stack)
        os.pwrite(self.ram.fd, name.encode() + b"\0", at + _COMM)
        return _DIRECT + at

    def words(self, at: int, *words: int) -> int:
        os.pwrite(self.ram.fd, struct.pack(f"<{len(words)}Q", *words), at)
        return _DIRECT + at


@pytest.fixture
def memory() -> Iterator[_Memory]:
    ram = GuestRam(8 * _MIB)
    yield _Memory(ram)
    ram.close()


# Physical addresses.
_A, _B, _STACK_A, _STACK_B, _LOCK = 0x200000, 0x204000, 0x210000, 0x214000, 0x300040
_WAITER = 0x3F00


def _tasks(memory: _Memory) -> tuple[int, int]:
    a = memory.task(_A, "waits", _DIRECT + _STACK_A)
    b = memory.task(_B, "kworker/0:1", _DIRECT + _STACK_B)
    return a, b


def test_the_owner_of_a_mutex(memory: _Memory) -> None:
    _, b = _tasks(memory)
    lock = memory.words(_LOCK, b | 1, 0, _DIRECT + _STACK_A + _WAITER, 0)
    memory.words(_STACK_A + 0x3E00, 5, lock, 7)
    names = ("waits", "kworker/0:1", "gone")
    assert find_owners(memory.ram, _SYMBOLS, names) == (Held("waits", "kworker/0:1", lock),)


def test_a_rw_semaphore_that_a_task_holds_itself(memory: _Memory) -> None:
    a, _ = _tasks(memory)
    lock = memory.words(_LOCK, 1, a, 0, _DIRECT + _STACK_A + _WAITER)
    memory.words(_STACK_A + 0x3E00, lock)
    (held,) = find_owners(memory.ram, _SYMBOLS, ("waits", "kworker/0:1"))
    assert (held.waiter, held.owner) == ("waits", "waits")


def test_what_is_no_wait(memory: _Memory) -> None:
    _, b = _tasks(memory)
    # A lock that nobody of this stack is linked with, and a pointer to something else.
    lock = memory.words(_LOCK, b, 0, _DIRECT + _STACK_B + _WAITER, 0)
    memory.words(_STACK_A + 0x3E00, lock, b, _DIRECT + 0x7FFFF8)
    assert find_owners(memory.ram, _SYMBOLS, ("waits", "kworker/0:1")) == ()
    # A task that is not known holds nothing.
    memory.words(_LOCK, b, 0, _DIRECT + _STACK_A + _WAITER, 0)
    assert find_owners(memory.ram, _SYMBOLS, ("waits",)) == ()


@pytest.mark.parametrize("name", ["init_top_pgt", "init_task", "init_stack"])
def test_without_a_symbol_nobody_is_told(memory: _Memory, name: str) -> None:
    _, b = _tasks(memory)
    lock = memory.words(_LOCK, b, 0, _DIRECT + _STACK_A + _WAITER, 0)
    memory.words(_STACK_A + 0x3E00, lock)
    symbols = {key: value for key, value in _SYMBOLS.items() if key != name}
    assert find_owners(memory.ram, symbols, ("waits", "kworker/0:1")) == ()
