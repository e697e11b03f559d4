"""A running guest: QEMU, its console and the agent in it."""

from __future__ import annotations

import itertools
import weakref
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from errpath.errors import GuestLostError, GuestPoisonedError
from errpath.guest.channel import (
    AgentError,
    Channel,
    ChannelClosedError,
    Pipelined,
    Reply,
)
from errpath.guest.console import Console
from errpath.guest.qemu_process import QemuProcess
from errpath.guest.qmp import Qmp
from errpath.guest.ram import GuestRam
from errpath.images import Image
from errpath.util.deadline import Deadline

__all__ = ["Guest", "GuestSymbol", "Machine", "ProgramOutput"]

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


def _again(error: GuestPoisonedError) -> GuestPoisonedError:
    """Another error of the same cause: each is raised with a traceback of its own."""
    return type(error)(*error.args)


def _sooner(end: Deadline | None, seconds: float, verb: str) -> Deadline:
    """The deadline of a verb that may take so many seconds, and not longer than until `end`."""
    own = Deadline.after(seconds, verb)
    return end if end is not None and end.at < own.at else own


def _one_by_one(
    guest: Guest, verb: str, requests: Iterable[tuple[Mapping[str, Any], float, bytes]]
) -> Iterator[Reply | AgentError]:
    for arguments, seconds, blob in requests:
        try:
            yield guest.call(verb, arguments, blob=blob, seconds=seconds)
        except AgentError as error:
            yield error


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
        self._end: Deadline | None = None
        # The guest's memory as we can change it; None where it cannot be.
        self.ram: GuestRam | None = None

    # -- the agent's verbs -----------------------------------------------------------------------

    def end_after(self, seconds: float) -> None:
        """Bound everything that is still asked of the guest: what it has not answered so many
        seconds from now makes it unusable, whatever the single verbs may take."""
        self._end = Deadline.after(seconds, "everything that was asked of the guest")

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
            raise _again(self._poison)
        try:
            return self._channel.call(
                verb, arguments or {}, blob=blob, deadline=_sooner(self._end, seconds, verb)
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
            yield from _one_by_one(self, verb, requests)
            return
        coming = iter(requests)
        sent: deque[tuple[int, float]] = deque()
        while self._poison is None:
            try:
                for arguments, seconds, blob in itertools.islice(coming, _AHEAD - len(sent)):
                    sent.append((-1, seconds))
                    deadline = _sooner(self._end, seconds, verb)
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
                    number, verb, _sooner(self._end, seconds, verb)
                )
            except AgentError as error:
                reply = error
            except ChannelClosedError as error:
                raise self.poison(str(error)) from None
            yield reply
        raise _again(self._poison)

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
        return _again(self._poison)

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
        """Unload a module, as delete_module(2) does."""
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
        """Hang up; the guest goes on."""
        self._channel.close()


class Machine(Guest):
    """A guest in a QEMU process of ours."""

    def __init__(self, qemu: QemuProcess, release: str) -> None:
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
