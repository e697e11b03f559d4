"""`errpath shell`: an interactive guest on the chosen kernel."""

from __future__ import annotations

import argparse
import os
import select
import sys
import termios
import tty
from collections.abc import Iterator
from contextlib import contextmanager

from errpath.cli.parser import add_groups
from errpath.errors import InfrastructureError, ToolMissingError, UsageError
from errpath.filesystems import known_filesystems
from errpath.guest.agent import find_busybox
from errpath.guest.console import Console
from errpath.guest.console_session import ConsoleSession
from errpath.guest.machine import Guest
from errpath.images import Image
from errpath.images.file import load_image
from errpath.images.magic import filesystem_of
from errpath.kernel import KernelStore
from errpath.runner.options import (
    GuestOptions,
    ImageOptions,
    KernelOptions,
    LogOptions,
    RunOptions,
    choices,
)
from errpath.runner.testbed import Testbed
from errpath.util.cache import scratch_directory
from errpath.util.progress import Progress

__all__ = ["add_parser"]

_LOOP = "/dev/loop0"
# Ctrl-] leaves, as in telnet.
_LEAVE = b"\x1d"


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the `shell` command."""
    parser = commands.add_parser("shell", help="start an interactive guest")
    add_groups(parser, KernelOptions, GuestOptions, ImageOptions, LogOptions)
    parser.add_argument(
        "--fs",
        default="",
        metavar="NAME,NAME",
        help="load the modules of these filesystems (default: that of --image)",
    )
    parser.add_argument(
        "--gdb",
        nargs="?",
        type=int,
        const=1234,
        metavar="PORT",
        help="open QEMU's gdb stub on this port of the loopback address (default 1234)",
    )
    parser.add_argument(
        "-c",
        dest="script",
        metavar="COMMAND",
        help="run this in the guest's shell instead of opening it; its status is that of errpath",
    )
    parser.set_defaults(handler=_shell)


def _shell(arguments: argparse.Namespace) -> int:
    chosen = choices(RunOptions.from_namespace(arguments))
    if len(chosen) != 1:
        raise UsageError("shell: expected one --kernel")
    if find_busybox() is None:
        raise ToolMissingError(
            "shell: no static /bin/busybox (Debian package busybox-static; "
            "`errpath doctor --install` installs it)"
        )
    progress = Progress()
    store = KernelStore(progress=progress)
    with scratch_directory() as scratch:
        testbed = Testbed(chosen[0].testbed, store=store, artefacts=scratch, progress=progress)
        path = ImageOptions.from_namespace(arguments).image
        image = load_image(path) if path is not None else None
        filesystems = [name for name in arguments.fs.split(",") if name]
        if image is not None and not filesystems and filesystem_of(image) in known_filesystems():
            filesystems = [filesystem_of(image)]
        modules = {m.name: m for name in filesystems for m in testbed.modules(name)}
        # By a triple fault, which QEMU sees: otherwise a microvm starts its kernel again.
        append = ("errpath.shell", "reboot=t")
        guest = testbed.guests.boot(append=append, gdb_port=arguments.gdb)
        try:
            for module in modules.values():
                guest.load_module(module.name, module.stripped.read_bytes())
            if image is not None:
                _attach(guest, image)
            assert guest.console is not None
            if arguments.script is not None:
                return _run(guest.console, arguments.script)
            _greet(testbed, arguments.gdb, tuple(modules), image)
            _talk(guest.console)
        finally:
            guest.close()
    return 0


def _attach(guest: Guest, image: Image) -> None:
    """A copy of an image, in the guest's memory, as its first loop device."""
    done = guest.run(["losetup", _LOOP, f"/images/{guest.put_image(image)}"])
    if done.status != 0:
        raise InfrastructureError(f"{_LOOP}: {done.output.strip()}; expected a free loop device")


def _greet(
    testbed: Testbed, gdb_port: int | None, modules: tuple[str, ...], image: Image | None
) -> None:
    print(f"kernel   {testbed.kernel.description}")
    if image is not None:
        print(f"image    {_LOOP} ({filesystem_of(image) or 'no known filesystem'})")
    if modules:
        print(f"modules  {' '.join(modules)}")
    if gdb_port is not None:
        print(f"gdb      gdb {testbed.kernel.vmlinux} -ex 'target remote :{gdb_port}'")
    print("leave    Ctrl-] (or `reboot -f` in the guest)", flush=True)


def _run(console: Console, command: str) -> int:
    status, output = ConsoleSession(console).run(command)
    sys.stdout.flush()
    _write_all(sys.stdout.fileno(), output)
    return status


def _talk(console: Console) -> None:
    """Connect the terminal and the console until one of them ends."""
    shown = 0
    with _raw_terminal() as terminal:
        while True:
            text = console.raw()
            if len(text) > shown:
                _write_all(sys.stdout.fileno(), text[shown:])
                shown = len(text)
            if console.ended:
                return
            ready, _, _ = select.select([terminal, console.wakeup], [], [])
            if console.wakeup in ready:
                console.drain_wakeup()
            if terminal in ready:
                typed = os.read(terminal, 1024)
                if not typed or _LEAVE in typed:
                    return
                console.send(typed)


def _write_all(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


@contextmanager
def _raw_terminal() -> Iterator[int]:
    terminal = sys.stdin.fileno()
    if not os.isatty(terminal):
        yield terminal
        return
    before = termios.tcgetattr(terminal)
    try:
        tty.setraw(terminal)
        yield terminal
    finally:
        termios.tcsetattr(terminal, termios.TCSADRAIN, before)
