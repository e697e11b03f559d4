"""Who holds the mutex or rw-semaphore that a task of the guest waits for, read from its RAM.

A waiter stands on its task's stack and is linked from the lock, so that the lock is what a word of
the stack points to and what points back into the stack. Its owner is in the first word of a mutex,
the second of a rw-semaphore (include/linux/mutex_types.h, rwsem.h). Where members of task_struct
lie is read from init_task, whose name and stack are known: no types are needed.
"""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from errpath.guest.pages import DIRECT_MAP, KernelMemory
from errpath.guest.ram import GuestRam, data_extents

__all__ = ["Held", "find_owners"]

_KERNEL = 0xFFFF_8000_0000_0000
_STACK = 1 << 14
# Bytes of task_struct that are searched, and of a lock that are looked at.
_TASK, _LOCK = 16384, 64
_IDLE = b"swapper"
# TASK_COMM_LEN
_COMM = 16
# Flags in the low bits of an owner.
_FLAGS = 7


@dataclass(frozen=True)
class Held:
    """A lock that a task waits for."""

    waiter: str
    owner: str
    # Its address.
    lock: int


def find_owners(
    ram: GuestRam, symbols: Mapping[str, int], names: Iterable[str]
) -> tuple[Held, ...]:
    """What the tasks of these names wait for, and which of them holds it; () where the kernel's
    symbols do not tell.

    Raises:
        InfrastructureError: the page tables lead out of the guest's memory.
    """
    view = KernelMemory(ram, symbols)
    offsets = _offsets(view, symbols)
    if offsets is None:
        return ()
    comm_at, stack_at = offsets
    tasks: dict[int, tuple[str, int]] = {}
    for task, name in _tasks(ram, dict.fromkeys(names), comm_at):
        stack = view.word(task + stack_at)
        if stack is not None and stack > _KERNEL and not stack % _STACK:
            tasks[task] = (name, stack)
    return tuple(
        Held(name, tasks[owner][0], lock)
        for name, stack in tasks.values()
        for lock, owner in _waits(view, stack, tasks)
    )


def _offsets(view: KernelMemory, symbols: Mapping[str, int]) -> tuple[int, int] | None:
    """Where a task has its name, and the address of its stack."""
    task = symbols.get("init_task", 0)
    stack = symbols.get("init_stack", symbols.get("init_thread_union", 0))
    data = b"".join(view.read(task + at, 64) for at in range(0, _TASK, 64))
    comm = data.find(_IDLE)
    found = data.find(struct.pack("<Q", stack)) if stack else -1
    return (comm, found) if comm > 0 and found > 0 else None


def _tasks(ram: GuestRam, names: Iterable[str], comm_at: int) -> Iterator[tuple[int, str]]:
    """Addresses at which tasks of these names may lie, with the names."""
    wanted = {name.encode()[: _COMM - 1]: name for name in names}
    if not wanted:
        return
    pattern = re.compile(b"(" + b"|".join(map(re.escape, wanted)) + b")\0")
    # What the guest never touched is no memory of ours yet, and must not become it.
    for start, length in data_extents(ram.fd):
        for match in pattern.finditer(os.pread(ram.fd, length, start)):
            at = start + match.start() - comm_at
            if at >= 0 and not at % 8:
                yield DIRECT_MAP + at, wanted[match[1]]


def _waits(
    view: KernelMemory, stack: int, tasks: Mapping[int, tuple[str, int]]
) -> Iterator[tuple[int, int]]:
    """Locks, with their owners, that are linked with a waiter on a stack."""
    words = b"".join(view.read(stack + at, 4096) for at in range(0, _STACK, 4096))
    seen = set()
    for (lock,) in struct.iter_unpack("<Q", words[: len(words) // 8 * 8]):
        if lock < _KERNEL or lock % 8 or lock in seen or stack <= lock < stack + _STACK:
            continue
        seen.add(lock)
        # Not over the end of a page, beyond which may be another's memory.
        data = view.read(lock, min(_LOCK, 4096 - lock % 4096))
        inside = [word for (word,) in struct.iter_unpack("<Q", data[: len(data) // 8 * 8])]
        owner = next((word & ~_FLAGS for word in inside[:2] if word & ~_FLAGS in tasks), None)
        if owner is not None and any(stack <= word < stack + _STACK for word in inside[2:]):
            yield lock, owner
