"""`errpath debug` and `errpath dump`: gdb in one case, and its memory as a core."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from errpath.analysis.inspect.core import vmcoreinfo, write_core
from errpath.analysis.inspect.debugger import (
    CRASH_FUNCTIONS,
    Session,
    Symbols,
    gdb_words,
    module_sections,
    run_gdb,
)
from errpath.analysis.inspect.types import types_module
from errpath.cases.run import run_case
from errpath.cli.chosen_case import ChosenCase, chosen_case
from errpath.cli.parser import add_groups
from errpath.errors import GuestPoisonedError, InfrastructureError, UsageError
from errpath.guest.machine import Machine
from errpath.kernel import KernelStore
from errpath.kernel.symbols.symtab import load_system_map
from errpath.oracles.timeline import Place
from errpath.runner.options import RUN_GROUPS, LogOptions, RunOptions
from errpath.util.cache import scratch_directory
from errpath.util.process import find_program
from errpath.util.progress import Progress

__all__ = ["add_parser"]

_AT = "fault, alloc, lost, crash, a function or FILE:LINE"


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the `debug` and `dump` commands."""
    debug = commands.add_parser("debug", help="run one case under gdb, stopped where it matters")
    _add_common(debug, "where to stop")
    debug.add_argument(
        "--batch",
        metavar="COMMANDS",
        help="gdb commands to run there, separated by semicolons, instead of a session",
    )
    debug.add_argument("--script", type=Path, metavar="FILE", help="gdb commands to read first")
    debug.add_argument(
        "--types",
        action="store_true",
        help="the types of the filesystem's superblock code, for `p *sb` (compiled once)",
    )
    debug.set_defaults(handler=_debug)
    dump = commands.add_parser("dump", help="write the memory of one case's guest as a core")
    _add_common(dump, "when; without it, after the case")
    dump.add_argument("-o", "--output", type=Path, required=True, metavar="FILE", help="the core")
    dump.set_defaults(handler=_dump)


def _add_common(parser: argparse.ArgumentParser, at: str) -> None:
    parser.add_argument("case", metavar="CASE-ID", help="as in a test's brackets")
    parser.add_argument("--at", default="", metavar="PLACE", help=f"{at}: {_AT}")
    add_groups(parser, *RUN_GROUPS, LogOptions)


def _debug(arguments: argparse.Namespace) -> int:
    find_program("gdb")
    batch = None
    if arguments.batch is not None:
        batch = tuple(word.strip() for word in arguments.batch.split(";") if word.strip())
    if arguments.script is not None and not arguments.script.is_file():
        raise UsageError(f"--script {arguments.script}: no such file")
    with chosen_case(
        arguments.case, RunOptions.from_namespace(arguments), command="debug"
    ) as chosen:
        places = _places(chosen, arguments.at)
        types = _types(chosen) if arguments.types else None
        return _stopped(chosen, places, batch, arguments.script, None, types)


def _dump(arguments: argparse.Namespace) -> int:
    with chosen_case(
        arguments.case, RunOptions.from_namespace(arguments), command="dump"
    ) as chosen:
        if arguments.at:
            find_program("gdb")
            places = _places(chosen, arguments.at)
            status = _stopped(chosen, places, (), None, arguments.output, None)
            if status:
                return status
        else:
            _after(chosen, arguments.output)
        vmlinux = chosen.testbed.kernel.vmlinux
        modules = " ".join(f"-s {m.path}" for m in chosen.testbed.modules(chosen.case.filesystem))
        print(f"drgn -c {arguments.output} -s {vmlinux} {modules}".rstrip())
    return 0


def _after(chosen: ChosenCase, output: Path) -> None:
    """The core of a guest in which the case has run."""
    prepared = chosen.clone()
    try:
        try:
            run_case(prepared.guest, chosen.case, "errpath-dumped")
        except GuestPoisonedError as error:
            # A crash is what one wants to look at.
            print(f"errpath: {error}", file=sys.stderr)
        _write(chosen, _machine(prepared.guest), output)
    finally:
        prepared.guest.close()


def _stopped(
    chosen: ChosenCase,
    places: tuple[str, ...],
    batch: tuple[str, ...] | None,
    script: Path | None,
    core: Path | None,
    types: Path | None,
) -> int:
    """gdb's status; with `core`, the memory is written as gdb leaves it."""
    with scratch_directory() as scratch:
        socket = scratch / "gdb"
        prepared = chosen.clone(gdb_words(socket))
        try:
            guest = _machine(prepared.guest)
            modules = chosen.testbed.modules(chosen.case.filesystem)
            sections = {module.path: module_sections(guest, module.name) for module in modules}
            symbols = Symbols(chosen.testbed.kernel.vmlinux, sections, types)
            if core is None:
                print(_banner(chosen, places, symbols), flush=True)
            session = Session(symbols, places, batch, script)
            status = run_gdb(guest, chosen.case, socket, session)
            if core is not None and not status:
                _write(chosen, guest, core)
            return status
        finally:
            prepared.guest.close()


def _types(chosen: ChosenCase) -> Path:
    """A file with the types of the case's filesystem."""
    store = KernelStore(progress=Progress())
    return types_module(store, chosen.testbed.kernel, chosen.case.filesystem)


def _machine(guest: object) -> Machine:
    if not isinstance(guest, Machine):
        raise InfrastructureError("debug: expected a guest of our own QEMU")
    return guest


def _write(chosen: ChosenCase, guest: Machine, output: Path) -> None:
    if guest.ram is None:
        raise InfrastructureError("dump: expected a guest whose RAM is a file")
    symbols: dict[str, int] = {}
    for line in chosen.testbed.kernel.system_map.read_text().splitlines():
        address, _, name = line.split(maxsplit=2)
        symbols.setdefault(name, int(address, 16))
    write_core(guest.ram, vmcoreinfo(chosen.testbed.kernel.release, symbols), output)


def _places(chosen: ChosenCase, at: str) -> tuple[str, ...]:
    """Breakpoints.

    Raises:
        UsageError: there is no such place in the case.
        InfrastructureError: it cannot be measured.
    """
    fault = chosen.case.fault
    if at == "crash":
        known = load_system_map(chosen.testbed.kernel.system_map)
        return tuple(name for name in CRASH_FUNCTIONS if known.named(name))
    if at in ("alloc", "lost"):
        return (_measured(chosen, at),)
    if at == "fault" or (not at and fault is not None and fault.function):
        if fault is None or not fault.function:
            raise UsageError(f"--at fault: {chosen.case.id} fails no function; expected {_AT}")
        return (fault.function,)
    return (at or "vfs_get_tree",)


def _measured(chosen: ChosenCase, at: str) -> str:
    functions, points = chosen.functions
    lifetime = chosen.testbed.watch((chosen.case.filesystem,), functions, points=points)(
        chosen.case
    )
    if lifetime.timeline is None:
        raise UsageError(f"--at {at}: {lifetime.reason}")
    place: Place = lifetime.timeline.allocated if at == "alloc" else lifetime.timeline.lost
    return f"{place.file}:{place.line}"


def _banner(chosen: ChosenCase, places: tuple[str, ...], symbols: Symbols) -> str:
    lines = [
        f"case     {chosen.case.id}",
        f"kernel   {chosen.testbed.kernel.description}",
        f"stops at {', '.join(places)}",
    ]
    for path, sections in symbols.modules.items():
        lines.append(f"module   {path.stem} .text at {sections.get('.text', 0):#x}")
    lines.append("time     stands still; `continue` goes on, and the guest ends with gdb")
    return "\n".join(lines)
