"""A running guest: QEMU, its console and the agent in it."""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import socket
import subprocess
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from errpath.errors import BootError, GuestLostError, GuestPoisonedError, InfrastructureError
from errpath.guest.agent import build_initramfs
from errpath.guest.channel import (
    AgentError,
    Channel,
    ChannelClosedError,
    Pipelined,
    Reply,
    SocketChannel,
)
from errpath.guest.console import Console
from errpath.guest.definition import GuestDefinition
from errpath.guest.disk import open_disk
from errpath.guest.host_log import HostLog
from errpath.guest.qemu import QEMU, Launch, qemu_argv
from errpath.guest.qmp import CloneError, Qmp, go_on
from errpath.guest.ram import GuestRam
from errpath.images import Image
from errpath.util import process
from errpath.util.deadline import Deadline

__all__ = ["Guest", "GuestSymbol", "Machine", "ProgramOutput", "boot", "resume"]

# Seconds that an ordinary verb may take under TCG on a busy machine.
_VERB_SECONDS = 60.0
# Requests of a stream that are under way at once.
_AHEAD = 4


@dataclass(frozen=True)
class ProgramOutput:
    """A program that ran in the guest."""

    # Exit status, or minus the signal that ended it.
    status: int
    # Standard output and error together.
    output: str


@dataclass(frozen=True)
class GuestSymbol:
    """A function as the guest's /proc/kallsyms has it."""

    name: str
    address: int
    # Name of the module, "" for built-in code.
    module: str


class Guest:
    """What tests and the harness do with a guest.

    The first fatal event poisons it: every later use raises `GuestPoisonedError` with the original
    cause, so that nothing is ever concluded from an unusable guest.
    """

    def __init__(self, channel: Channel, *, release: str = "", console: Console | None = None):
        self._channel = channel
        self.console = console
        # What uname says in the guest.
        self.release = release
        self._poison: GuestPoisonedError | None = None
        self._images: set[str] = set()
        # The guest's memory as we can change it; None where it cannot be.
        self.ram: GuestRam | None = None

    # -- the agent's verbs -----------------------------------------------------------------------

    def call(
        self,
        verb: str,
        arguments: Mapping[str, Any] | None = None,
        *,
        blob: bytes = b"",
        seconds: float = _VERB_SECONDS,
    ) -> Reply:
        """Have the agent carry out one verb.

        Raises:
            AgentError: it failed in the guest, with the guest's errno.
            GuestPoisonedError: the guest is unusable, now or since earlier.
        """
        if self._poison is not None:
            raise self._again(self._poison)
        try:
            return self._channel.call(
                verb, arguments or {}, blob=blob, deadline=Deadline.after(seconds, verb)
            )
        except ChannelClosedError as error:
            raise self.poison(str(error)) from None

    def stream(
        self, verb: str, requests: Iterable[tuple[Mapping[str, Any], float, bytes]]
    ) -> Iterator[Reply | AgentError]:
        """Have the agent carry out one verb many times, each with its arguments, seconds and blob.

        A few requests are always under way, so that the guest never waits for the host. No other
        verb may be called before the last reply.

        Raises:
            GuestPoisonedError: at the request that the guest did not survive.
        """
        channel = self._channel
        if not isinstance(channel, Pipelined):
            for arguments, seconds, blob in requests:
                try:
                    yield self.call(verb, arguments, blob=blob, seconds=seconds)
                except AgentError as error:
                    yield error
            return
        coming = iter(requests)
        sent: deque[tuple[int, float]] = deque()
        while self._poison is None:
            try:
                for arguments, seconds, blob in itertools.islice(coming, _AHEAD - len(sent)):
                    sent.append((-1, seconds))
                    deadline = Deadline.after(seconds, verb)
                    number = channel.post(verb, arguments, blob=blob, deadline=deadline)
                    sent[-1] = (number, seconds)
            except ChannelClosedError:
                # The answers to what was sent before may still be there: first come those.
                coming = iter(())
            if not sent:
                return
            number, seconds = sent.popleft()
            try:
                reply: Reply | AgentError = channel.collect(
                    number, verb, Deadline.after(seconds, verb)
                )
            except AgentError as error:
                reply = error
            except ChannelClosedError as error:
                raise self.poison(str(error)) from None
            yield reply
        raise self._again(self._poison)

    def poison(self, cause: str) -> GuestPoisonedError:
        """Make the guest unusable; the kernel's own last word beats `cause` where there is one.
        Without one, the guest is lost."""
        if self._poison is None:
            fatal = None
            if self.console is not None:
                # The console may still hold what the kernel said before the channel broke.
                self.console.wait_end(Deadline.after(1.0, "the console"))
                fatal = next((crash for crash in self.console.crashes() if crash.fatal), None)
            self._poison = (
                GuestPoisonedError(f"guest is unusable: {fatal.title}")
                if fatal
                else GuestLostError(f"guest is lost: {self._lost_by() or cause}")
            )
        return self._again(self._poison)

    @staticmethod
    def _again(error: GuestPoisonedError) -> GuestPoisonedError:
        """Another error of the same cause: each is raised with a traceback of its own."""
        return type(error)(*error.args)

    def _lost_by(self) -> str:
        """What the host did to the guest, where it is known."""
        return ""

    @property
    def poisoned(self) -> str | None:
        """The original cause, or None while the guest is good."""
        return str(self._poison) if self._poison is not None else None

    def write_file(
        self, path: str, data: bytes | str, *, mode: int | None = None, task: str | None = None
    ) -> None:
        """Write `data` in one write(); with `mode` the file is created or truncated, with `task` a
        task of that name does it and ends."""
        arguments: dict[str, Any] = {"path": path}
        if mode is not None:
            arguments["mode"] = mode
        if task is not None:
            arguments["as"] = task
        self.call("file.write", arguments, blob=data.encode() if isinstance(data, str) else data)

    def read_file(self, path: str) -> bytes:
        """Everything up to end of file, however many reads that takes."""
        return self.call("file.read", {"path": path}).blob

    def run(self, argv: Sequence[str], *, seconds: float = 30.0) -> ProgramOutput:
        """Run a program of the guest (busybox's applets are in /bin)."""
        reply = self.call(
            "exec",
            {"argv": list(argv), "timeout_ms": int(seconds * 1000)},
            seconds=seconds + _VERB_SECONDS,
        )
        return ProgramOutput(int(reply.values["status"]), reply.blob.decode(errors="replace"))

    def dmesg(self) -> str:
        """The kernel log."""
        return self.call("dmesg").blob.decode(errors="replace")

    def loaded_modules(self) -> frozenset[str]:
        """The names of the modules in the kernel."""
        lines = self.read_file("/proc/modules").decode().splitlines()
        return frozenset(line.split()[0] for line in lines)

    def load_module(self, name: str, image: bytes, *, parameters: str = "") -> None:
        """Load a module from the bytes of its .ko file."""
        self.call("module.load", {"name": name, "parameters": parameters}, blob=image)

    def unload_module(self, name: str) -> None:
        self.call("module.unload", {"name": name})

    def symbols(self, names: Iterable[str], *, data: bool = False) -> tuple[GuestSymbol, ...]:
        """Functions of these names, and their compiler-made clones (`name.isra.0`); or data."""
        reply = self.call("symbols", {"names": list(names), "data": data})
        # The agent's JSON integers are signed.
        return tuple(
            GuestSymbol(name, address & (2**64 - 1), module)
            for name, address, module in reply.values["symbols"]
        )

    def put_image(self, image: Image) -> str:
        """Bring an image into the guest, once; its id is made from its content."""
        key = image.key[:32]
        if key not in self._images:
            extents = [[offset, len(data)] for offset, data in image.extents]
            self.call(
                "image.put",
                {"image": key, "size": image.size, "extents": extents},
                blob=b"".join(data for _, data in image.extents),
            )
            self._images.add(key)
        return key

    def note_images(self, ids: Iterable[str]) -> None:
        """These images are in the guest already."""
        self._images.update(ids)

    def memory_bytes(self) -> tuple[int, int]:
        """What the guest's RAM takes, and what its machine takes beside it; of ours, nothing."""
        return 0, 0

    def sleep(self, seconds: float) -> None:
        """Let time pass on the guest's clock."""
        self.call("sleep", {"ms": int(seconds * 1000)}, seconds=seconds + _VERB_SECONDS)

    def quiesce(self) -> None:
        """Let the kernel finish what it put off (see guests/agent/system.c)."""
        self.call("quiesce")

    def close(self) -> None:
        self._channel.close()


class Machine(Guest):
    """A guest in a QEMU process of ours."""

    def __init__(self, qemu: _Qemu, release: str) -> None:
        super().__init__(qemu.channel, release=release, console=qemu.console)
        self._qemu = qemu
        self.ram = qemu.ram
        self._finish = weakref.finalize(self, qemu.end)

    @property
    def monitor(self) -> Qmp:
        """QEMU's own monitor."""
        return self._qemu.monitor

    @property
    def images(self) -> frozenset[str]:
        """Ids of the images that are in the guest."""
        return frozenset(self._images)

    @property
    def killed_by(self) -> str:
        """What ended QEMU from outside; "" if nothing did."""
        return self._qemu.killed_by()

    def _lost_by(self) -> str:
        return self._qemu.killed_by()

    def memory_bytes(self) -> tuple[int, int]:
        """What the guest's RAM takes, and what QEMU takes beside it."""
        return self._qemu.memory_bytes()

    def close(self) -> None:
        self._finish()


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
        InfrastructureError: QEMU itself failed.
    """
    ram = GuestRam(definition.memory_mib << 20)
    start = _Start(definition, kernel, artefacts, accel, tuple(append), gdb_port)
    try:
        qemu = _Qemu(start, ram)
    except BaseException:
        ram.close()
        raise
    try:
        seconds = definition.boot_seconds
        hello = qemu.channel.hello(Deadline.after(seconds, "the agent's first word"))
    except ChannelClosedError as error:
        console = qemu.console
        console.wait_end(Deadline.after(1.0, "the console"))
        said = qemu.said()
        booted = console.text.strip()
        last = console.last_line
        fatal = next((crash.title for crash in console.crashes() if crash.fatal), None)
        killed = "" if fatal else qemu.killed_by()
        qemu.end()
        if killed:
            raise GuestLostError(f"guest is lost: {killed} before the agent answered") from None
        if not booted and said:
            raise InfrastructureError(f"{QEMU}: {said}") from None
        raise BootError(
            f"kernel {kernel}: did not reach the agent ({error}): {fatal or last}; "
            f"see {artefacts / 'console.log'}"
        ) from None
    except BaseException:
        qemu.end()
        raise
    return Machine(qemu, str(hello["release"]))


# Seconds that a process may take to end once it has closed its sockets.
_DYING_SECONDS = 0.5
# Seconds that a frozen guest may take to answer again, on a busy machine.
_RESUME_SECONDS = 20.0


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
    """
    try:
        start = _Start(definition, kernel, artefacts, accel, tuple(append), added=tuple(added(ram)))
        qemu = _Qemu(start, ram, waits=True)
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
        said, killed = qemu.said(), qemu.killed_by()
        machine.close()
        if killed:
            raise
        raise CloneError(f"{QEMU}: a frozen guest does not go on: {said or error}") from None
    except BaseException:
        machine.close()
        raise
    return machine


@dataclass(frozen=True)
class _Start:
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


class _Qemu:
    """A QEMU process and our ends of what it inherited."""

    def __init__(self, start: _Start, ram: GuestRam, *, waits: bool = False) -> None:
        """With `waits`, the guest stands still until a state is loaded."""
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
        with guest_console, guest_agent, guest_monitor, self._log.open("wb") as errors:
            self._process = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=errors,
                stderr=errors,
                pass_fds=inherited,
                # Ctrl-C is ours to handle: the guest is ended in order.
                start_new_session=True,
            )
        for disk in disks:
            disk.close()
        self.ram = ram
        self.console = Console(host_console, start.artefacts / "console.log")
        self._host_log = HostLog(start.artefacts.name, start.artefacts / "host.log")
        self.channel = SocketChannel(host_agent, self._host_log)
        self.monitor = Qmp(host_monitor, self._host_log)

    def said(self) -> str:
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
