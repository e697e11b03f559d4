"""The QEMU process of a guest: what it inherits, and what watches it."""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from errpath.errors import GuestLostError, InfrastructureError
from errpath.guest.agent import build_initramfs
from errpath.guest.channel import SocketChannel
from errpath.guest.console import Console
from errpath.guest.definition import GuestDefinition
from errpath.guest.disk import open_disk
from errpath.guest.host_log import HostLog
from errpath.guest.qemu import QEMU, Launch, qemu_argv
from errpath.guest.qmp import Qmp
from errpath.guest.ram import GuestRam
from errpath.util import process

__all__ = ["QemuProcess", "Start"]

# Seconds that a process may take to end once it has closed its sockets.
_DYING_SECONDS = 0.5


@dataclass(frozen=True)
class Start:
    """What every start of a guest's QEMU has."""

    definition: GuestDefinition
    kernel: Path
    artefacts: Path
    accel: str
    append: tuple[str, ...]
    gdb_port: int | None = None
    # Words at the end of QEMU's command line.
    added: tuple[str, ...] = ()


@contextlib.contextmanager
def _artefact_errors(directory: Path) -> Iterator[None]:
    """Whoever starts guests may be writing the cache meanwhile: this is another disk, perhaps.

    Raises:
        InfrastructureError: a file cannot be written there.
    """
    try:
        yield
    except OSError as error:
        raise InfrastructureError(
            f"{directory}: {error.strerror}; expected room for a guest's logs"
        ) from None


class QemuProcess:
    """A QEMU process and our ends of what it inherited."""

    def __init__(self, start: Start, ram: GuestRam, *, waits: bool = False) -> None:
        """With `waits`, the guest stands still until a state is loaded.

        Raises:
            GuestLostError: the host did not start QEMU.
            InfrastructureError: QEMU is not installed, or its log cannot be written.
        """
        process.find_program(QEMU)
        with _artefact_errors(start.artefacts):
            start.artefacts.mkdir(parents=True, exist_ok=True)
        initramfs = build_initramfs()
        disks = [open_disk(disk) for disk in start.definition.disks]
        host_console, guest_console = socket.socketpair()
        host_agent, guest_agent = socket.socketpair()
        host_monitor, guest_monitor = socket.socketpair()
        launch = Launch(
            start.kernel,
            initramfs,
            start.accel,
            guest_console.fileno(),
            guest_agent.fileno(),
            start.append,
            start.gdb_port,
            ram_fd=ram.fd,
            monitor_fd=guest_monitor.fileno(),
            disk_fds=tuple(disk.fileno() for disk in disks),
            incoming=waits,
        )
        argv = (
            process.find_program("setpriv"),
            *("--pdeathsig", "KILL"),
            *qemu_argv(start.definition, launch),
            *start.added,
        )
        with _artefact_errors(start.artefacts):
            (start.artefacts / "qemu.argv").write_text("\n".join(argv) + "\n")
        self._log = start.artefacts / "qemu.log"
        inherited = [guest_console.fileno(), guest_agent.fileno(), guest_monitor.fileno(), ram.fd]
        inherited += [disk.fileno() for disk in disks]
        with contextlib.ExitStack() as given:
            for end in (guest_console, guest_agent, guest_monitor):
                given.enter_context(end)
            for disk in disks:
                given.enter_context(disk)
            errors = given.enter_context(self._log.open("wb"))
            try:
                self._process = subprocess.Popen(
                    argv,
                    stdin=subprocess.DEVNULL,
                    stdout=errors,
                    stderr=errors,
                    pass_fds=inherited,
                    # Ctrl-C is ours to handle: the guest is ended in order.
                    start_new_session=True,
                )
            except OSError as error:
                for ours in (host_console, host_agent, host_monitor):
                    ours.close()
                # Mostly the host's trouble of the moment, such as no memory: to be tried again.
                raise GuestLostError(
                    f"guest is lost: {QEMU} was not started: {argv[0]}: {error.strerror}"
                ) from None
        self.ram = ram
        self.console = Console(host_console, start.artefacts / "console.log")
        self._host_log = HostLog(start.artefacts.name, start.artefacts / "host.log")
        self.channel = SocketChannel(host_agent, self._host_log)
        self.monitor = Qmp(host_monitor, self._host_log)

    def printed(self) -> str:
        """The first line that QEMU itself printed, or nothing."""
        lines = self._log.read_text(errors="replace").strip().splitlines()
        return lines[0] if lines else ""

    def killed_by(self) -> str:
        """What ended QEMU from outside, such as the kernel that was out of memory; "" if QEMU runs
        or ended by itself."""
        try:
            # Its sockets close a little before it can be waited for.
            status = self._process.wait(_DYING_SECONDS)
        except subprocess.TimeoutExpired:
            return ""
        return f"{QEMU} was killed by signal {-status}" if status < 0 else ""

    def memory_bytes(self) -> tuple[int, int]:
        """Bytes that only this guest takes: its RAM, and QEMU's RssAnon (proc_pid_status(5))."""
        rows = Path(f"/proc/{self._process.pid}/status").read_text().splitlines()
        sizes = {row.split(":")[0]: row.split()[1] for row in rows if row.endswith(" kB")}
        # Shared memory is the RAM; what is mapped from files is shared with all other clones.
        return self.ram.allocated, int(sizes["RssAnon"]) << 10

    def end(self) -> None:
        """End QEMU and take down what watched it. Safe to call for one that has ended."""
        self.channel.close()
        self.monitor.close()
        if self._process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(signal.SIGKILL)
        self._process.wait()
        self.console.close()
        self.ram.close()
        self._host_log.write()
