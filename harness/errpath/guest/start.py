"""Start a guest: boot it, or let a frozen one go on."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from errpath.errors import BootError, GuestLostError, GuestPoisonedError, InfrastructureError
from errpath.guest.channel import ChannelClosedError
from errpath.guest.definition import GuestDefinition
from errpath.guest.machine import Machine
from errpath.guest.qemu import QEMU
from errpath.guest.qemu_process import QemuProcess, Start
from errpath.guest.qmp import CloneError, go_on
from errpath.guest.ram import GuestRam
from errpath.util.deadline import Deadline

__all__ = ["boot", "resume"]

# Seconds that a frozen guest may take to answer again, on a busy machine.
_RESUME_SECONDS = 20.0


def boot(
    definition: GuestDefinition,
    kernel: Path,
    *,
    artefacts: Path,
    accel: str = "tcg",
    append: Sequence[str] = (),
    gdb_port: int | None = None,
) -> Machine:
    """Boot a guest and wait for its agent.

    `artefacts` gets console.log, host.log (as the guest ends), qemu.log and qemu.argv. QEMU dies
    with this process, whatever ends it: it is started with a parent-death signal, and all it uses
    are inherited descriptors.

    Raises:
        BootError: the kernel did not reach the agent in time; the text has its last console line.
        GuestLostError: QEMU was not started, or killed from outside.
        InfrastructureError: QEMU itself failed.
    """
    ram = GuestRam(definition.memory_mib << 20)
    start = Start(definition, kernel, artefacts, accel, tuple(append), gdb_port)
    try:
        qemu = QemuProcess(start, ram)
    except BaseException:
        ram.close()
        raise
    try:
        seconds = definition.boot_seconds
        hello = qemu.channel.hello(Deadline.after(seconds, "the agent's first word"))
    except ChannelClosedError as error:
        console = qemu.console
        console.wait_end(Deadline.after(1.0, "the console"))
        printed = qemu.printed()
        booted = console.text.strip()
        last = console.last_line
        fatal = next((crash.title for crash in console.crashes() if crash.fatal), None)
        killed = "" if fatal else qemu.killed_by()
        qemu.end()
        if killed:
            raise GuestLostError(f"guest is lost: {killed} before the agent answered") from None
        if not booted and printed:
            raise InfrastructureError(f"{QEMU}: {printed}") from None
        raise BootError(
            f"kernel {kernel}: did not reach the agent ({error}): {fatal or last}; "
            f"see {artefacts / 'console.log'}"
        ) from None
    except BaseException:
        qemu.end()
        raise
    return Machine(qemu, str(hello["release"]))


def resume(
    definition: GuestDefinition,
    kernel: Path,
    *,
    artefacts: Path,
    ram: GuestRam,
    fill: Callable[[GuestRam], None],
    state_fd: int,
    release: str,
    images: Iterable[str] = (),
    accel: str = "tcg",
    append: Sequence[str] = (),
    added: Callable[[GuestRam], Sequence[str]] = lambda ram: (),
) -> Machine:
    """A guest that goes on where a frozen one stopped; everything but RAM and state as at its boot.

    `ram` becomes its own; `fill` writes the frozen guest's memory into it, while QEMU starts.
    `state_fd` is read from its beginning. `added` gives words for QEMU's command line that leave
    the machine what it is, such as a plugin or a debugger's port.

    Raises:
        CloneError: QEMU does not take the state, or the agent in it does not answer.
        GuestLostError: QEMU was not started, or killed from outside.
    """
    try:
        start = Start(definition, kernel, artefacts, accel, tuple(append), added=tuple(added(ram)))
        qemu = QemuProcess(start, ram, waits=True)
    except BaseException:
        ram.close()
        raise
    try:
        fill(ram)
        # A description of its own: two clones must not share the offset.
        incoming = os.open(f"/proc/self/fd/{state_fd}", os.O_RDONLY | os.O_CLOEXEC)
        try:
            go_on(qemu.monitor, incoming)
        finally:
            os.close(incoming)
    except CloneError as error:
        killed = qemu.killed_by()
        qemu.end()
        if killed:
            raise GuestLostError(f"guest is lost: {killed} ({error})") from None
        raise
    except BaseException:
        qemu.end()
        raise
    machine = Machine(qemu, release)
    machine.note_images(images)
    try:
        machine.call("ping", seconds=_RESUME_SECONDS)
    except GuestPoisonedError as error:
        printed, killed = qemu.printed(), qemu.killed_by()
        machine.close()
        if killed:
            raise
        raise CloneError(f"{QEMU}: a frozen guest does not go on: {printed or error}") from None
    except BaseException:
        machine.close()
        raise
    return machine
