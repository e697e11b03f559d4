"""gdb on a clone that stops where it matters.

The guest is stopped, the case is sent to it, and gdb connects to QEMU's stub: when it goes on, the
case begins, with every breakpoint in its place. QEMU keeps breakpoints outside of the guest's
memory, so that code that is checked or patched meanwhile is what it was.
"""

from __future__ import annotations

import contextlib
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from errpath.cases.case import MountCase
from errpath.cases.run import run_case
from errpath.errors import GuestPoisonedError, InfrastructureError
from errpath.guest.channel import AgentError
from errpath.guest.machine import Guest, Machine
from errpath.guest.ram import GuestRam
from errpath.util.deadline import Deadline
from errpath.util.process import find_program

__all__ = [
    "CRASH_FUNCTIONS",
    "DEBUGGED_TASK",
    "Session",
    "Symbols",
    "gdb_words",
    "module_sections",
    "run_gdb",
]

# Where the kernel goes when it has found something wrong with itself.
CRASH_FUNCTIONS = ("oops_begin", "__warn", "panic")
# Of the case, in the guest.
DEBUGGED_TASK = "errpath-debugged"
_SECTIONS = (".text", ".text.unlikely", ".noinstr.text", ".exit.text", ".data", ".bss", ".rodata")


@dataclass(frozen=True)
class Symbols:
    """Where symbols come from."""

    vmlinux: Path
    # Of each module: its file, and the addresses of its sections in the guest.
    modules: Mapping[Path, Mapping[str, int]] = field(default_factory=dict)
    # Files with types alone (`errpath.analysis.inspect.types`).
    types: tuple[Path, ...] = ()
    # The loader of the kernel's gdb scripts.
    scripts: Path | None = None


@dataclass(frozen=True)
class Session:
    """What gdb is to do."""

    symbols: Symbols
    # Functions, FILE:LINE or *ADDRESS.
    breakpoints: tuple[str, ...]
    # Commands to run once it has stopped; None for a session at the terminal.
    batch: tuple[str, ...] | None = None
    # A file of gdb commands of the user's own.
    script: Path | None = None


def gdb_words(socket: Path) -> Callable[[GuestRam], Sequence[str]]:
    """QEMU's words that open its stub on a socket."""
    words = ("-chardev", f"socket,id=gdb,path={socket},server=on,wait=off", "-gdb", "chardev:gdb")
    return lambda ram: words


def module_sections(guest: Guest, module: str) -> dict[str, int]:
    """Where the sections of a loaded module lie."""
    found = {}
    for section in _SECTIONS:
        path = f"/sys/module/{module.replace('-', '_')}/sections/{section}"
        # Not every module has every section.
        with contextlib.suppress(AgentError):
            found[section] = int(guest.read_file(path), 16)
    return found


def run_gdb(guest: Machine, case: MountCase, socket: Path, session: Session) -> int:
    """Run a case under gdb, which has the terminal or runs its batch; gdb's status.

    The guest is of no use afterwards; its RAM is what it was when gdb left it.

    Raises:
        ToolMissingError: no gdb.
        InfrastructureError: the guest cannot be stopped.
    """
    gdb = find_program("gdb")
    guest.monitor.command("stop", deadline=Deadline.after(20.0, "the guest to stop"))
    worker = threading.Thread(target=_run, args=(guest, case), daemon=True)
    worker.start()
    argv = [gdb, "--quiet", "-nx"]
    argv += ["--batch"] if session.batch is not None else []
    for command in _commands(session, socket):
        argv += ["-ex", command]
    with _interrupts_are_gdbs():
        return subprocess.run(argv, check=False).returncode


def _run(guest: Guest, case: MountCase) -> None:
    # Its answer is of no interest: the guest ends with gdb, in the middle of the case or not.
    with contextlib.suppress(AgentError, GuestPoisonedError, InfrastructureError):
        run_case(guest, case, DEBUGGED_TASK)


def _commands(session: Session, socket: Path) -> Iterator[str]:
    yield "set pagination off"
    yield "set confirm off"
    yield "set print pretty on"
    yield "set breakpoint pending on"
    # Its architecture is what addresses are read by.
    yield f"exec-file {session.symbols.vmlinux}"
    # Before vmlinux: of types of one name gdb takes the first, and vmlinux has but declarations.
    for types in session.symbols.types:
        yield f"add-symbol-file {types}"
    yield f"add-symbol-file {session.symbols.vmlinux}"
    for path, sections in session.symbols.modules.items():
        rest = " ".join(f"-s {name} {at:#x}" for name, at in sections.items())
        if rest:
            yield f"add-symbol-file {path} {rest}"
    yield f"target remote {socket}"
    if session.symbols.scripts is not None:
        yield f"source {session.symbols.scripts}"
    for place in session.breakpoints:
        yield f"break {place}"
    if session.script is not None:
        yield f"source {session.script}"
    yield "continue"
    yield from session.batch or ()


@contextlib.contextmanager
def _interrupts_are_gdbs() -> Iterator[None]:
    """Ctrl-C stops the guest, as gdb's users expect; it does not end errpath."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
