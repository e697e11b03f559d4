"""`errpath debug` and `errpath dump`: gdb in one case, and its memory as a core."""

from __future__ import annotations

import argparse
import contextlib
import shlex
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from errpath.analysis.inspect.core import parse_registers, vmcoreinfo, write_core
from errpath.analysis.inspect.debugger import (
    CRASH_FUNCTIONS,
    DEBUGGED_TASK,
    Session,
    Symbols,
    gdb_words,
    module_sections,
    run_gdb,
)
from errpath.analysis.inspect.drgn_session import (
    CoreFile,
    find_drgn,
    run_drgn,
    superblock_data_type,
)
from errpath.analysis.inspect.gdb_scripts import lay_out_scripts
from errpath.analysis.inspect.types import Types, build_types
from errpath.cases.run import run_case
from errpath.cli.chosen_case import ChosenCase, chosen_case
from errpath.cli.parser import add_groups
from errpath.errors import ErrpathError, GuestPoisonedError, InfrastructureError, UsageError
from errpath.filesystems import load_filesystem
from errpath.guest.machine import Machine
from errpath.kernel import KernelStore
from errpath.kernel.features.probe import symbols_of
from errpath.kernel.symbols.symtab import load_system_map
from errpath.oracles.timeline import Place
from errpath.runner.options import RUN_GROUPS, LogOptions, RunOptions
from errpath.util.cache import scratch_directory
from errpath.util.deadline import Deadline
from errpath.util.process import find_program
from errpath.util.progress import Progress

__all__ = ["add_parser"]

# In a scratch directory: QEMU's stub.
_SOCKET = "gdb"
_AT = "fault, alloc, lost, crash, a function or FILE:LINE"


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the `debug` and `dump` commands."""
    debug = commands.add_parser("debug", help="run one case under gdb, stopped where it matters")
    _add_common(debug, "where to stop")
    debug.add_argument(
        "--drgn",
        action="store_true",
        help="drgn on the guest's memory there, with helpers, instead of gdb",
    )
    debug.add_argument(
        "--batch",
        metavar="COMMANDS",
        help="commands of gdb (statements of Python with --drgn) to run there, separated by "
        "semicolons, instead of a session",
    )
    debug.add_argument("--script", type=Path, metavar="FILE", help="gdb commands to read first")
    debug.add_argument(
        "--types",
        action=argparse.BooleanOptionalAction,
        help="whole types, for `p *sb` and the kernel's gdb scripts; compiled once "
        "(default: where the kernel's source is there)",
    )
    debug.set_defaults(handler=_debug)
    dump = commands.add_parser("dump", help="write the memory of one case's guest as a core")
    _add_common(dump, "when; without it, after the case")
    dump.add_argument(
        "-o",
        "--output",
        type=Path,
        default=Path("core"),
        metavar="FILE",
        help="the core (default: core)",
    )
    dump.set_defaults(handler=_dump)


def _add_common(parser: argparse.ArgumentParser, at: str) -> None:
    parser.add_argument("case", metavar="CASE-ID", help="as in a test's brackets")
    parser.add_argument("--at", default="", metavar="PLACE", help=f"{at}: {_AT}")
    add_groups(parser, *RUN_GROUPS, LogOptions)


def _debug(arguments: argparse.Namespace) -> int:
    find_program("gdb")
    if arguments.drgn:
        find_drgn()
        if arguments.script is not None:
            raise UsageError("--script: gdb's; expected no --drgn, or --batch")
    if arguments.script is not None and not arguments.script.is_file():
        raise UsageError(f"--script {arguments.script}: no such file")
    with (
        chosen_case(
            arguments.case, RunOptions.from_namespace(arguments), command="debug"
        ) as chosen,
        scratch_directory() as scratch,
    ):
        places = _places(chosen, arguments.at)
        types, why = _types(chosen, arguments.types)
        if arguments.drgn:
            core = scratch / "core"
            registers = _write_stopped(chosen, places, core, types, scratch)
            banner = _banner(chosen, places, (), "ended; drgn has its memory and registers")
            file = _core_file(chosen, core, types)
            data_type = superblock_data_type(_sources(chosen))
            file = replace(file, data_type=data_type, task=DEBUGGED_TASK, registers=registers)
            return run_drgn(file, banner, arguments.batch)
        batch = None
        if arguments.batch is not None:
            batch = tuple(word.strip() for word in arguments.batch.split(";") if word.strip())
        with _gdb(chosen, types, scratch) as (guest, symbols):
            notes = _notes(chosen, symbols, why)
            goes_on = "stands still; `continue` goes on, and the guest ends with gdb"
            print(_banner(chosen, places, notes, goes_on), flush=True)
            session = Session(symbols, places, batch, arguments.script)
            return run_gdb(guest, chosen.case, scratch / _SOCKET, session)


def _dump(arguments: argparse.Namespace) -> int:
    with chosen_case(
        arguments.case, RunOptions.from_namespace(arguments), command="dump"
    ) as chosen:
        types, _ = _types(chosen, None)
        if arguments.at:
            find_program("gdb")
            places = _places(chosen, arguments.at)
            with scratch_directory() as scratch:
                _write_stopped(chosen, places, arguments.output, types, scratch)
        else:
            _after(chosen, arguments.output)
        core = _core_file(chosen, arguments.output, types)
        words = ["drgn", "-c", core.path, "-s", core.vmlinux]
        words += [word for path in core.modules for word in ("-s", path)]
        words += [word for path in core.types for word in ("--extra-symbols", path)]
        print(shlex.join(map(str, words)))
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


def _write_stopped(
    chosen: ChosenCase, places: tuple[str, ...], output: Path, types: Types | None, scratch: Path
) -> tuple[Mapping[str, int], ...]:
    """The core of a guest that has stopped at one of some places; the registers of its CPUs.

    Raises:
        InfrastructureError: gdb failed.
    """
    with _gdb(chosen, types, scratch) as (guest, symbols):
        # Behind it the guest stands still; QEMU lets it go on when gdb just ends.
        session = Session(symbols, places, ("disconnect",))
        status = run_gdb(guest, chosen.case, scratch / _SOCKET, session)
        if status:
            raise InfrastructureError(f"gdb: exit status {status}; expected 0")
        return _write(chosen, guest, output)


@contextlib.contextmanager
def _gdb(
    chosen: ChosenCase, types: Types | None, scratch: Path
) -> Iterator[tuple[Machine, Symbols]]:
    """A clone with QEMU's stub, and what gdb is to know of it."""
    kernel = chosen.testbed.kernel
    scripts = None
    if types is not None:
        store = KernelStore(progress=Progress())
        scripts = lay_out_scripts(store, kernel, types.constants(), scratch / "scripts")
    prepared = chosen.clone(gdb_words(scratch / _SOCKET))
    try:
        guest = _machine(prepared.guest)
        modules = chosen.testbed.modules(chosen.case.filesystem)
        sections = {module.path: module_sections(guest, module.name) for module in modules}
        files = types.files if types is not None else ()
        yield guest, Symbols(kernel.vmlinux, sections, files, scripts)
    finally:
        prepared.guest.close()


def _types(chosen: ChosenCase, wanted: bool | None) -> tuple[Types | None, str]:
    """Whole types of the case's kernel and filesystem, or why there are none."""
    if wanted is False:
        return None, "--no-types"
    store = KernelStore(progress=Progress())
    try:
        return build_types(store, chosen.testbed.kernel, chosen.case.filesystem), ""
    except ErrpathError as error:
        if wanted:
            raise
        return None, str(error)


def _core_file(chosen: ChosenCase, path: Path, types: Types | None) -> CoreFile:
    return CoreFile(
        path=path,
        vmlinux=chosen.testbed.kernel.vmlinux,
        modules=tuple(module.path for module in chosen.testbed.modules(chosen.case.filesystem)),
        types=types.files if types else (),
        filesystem=load_filesystem(chosen.case.filesystem).fstype,
    )


def _sources(chosen: ChosenCase) -> Iterable[str]:
    """The texts of the filesystem's sources."""
    directory = PurePosixPath(load_filesystem(chosen.case.filesystem).source).parent
    store = KernelStore(progress=Progress())
    return store.sources.below(chosen.testbed.kernel, str(directory)).values()


def _machine(guest: object) -> Machine:
    if not isinstance(guest, Machine):
        raise InfrastructureError("debug: expected a guest of our own QEMU")
    return guest


def _write(chosen: ChosenCase, guest: Machine, output: Path) -> tuple[Mapping[str, int], ...]:
    """A core of a guest, which stands still from then on; the registers of its CPUs."""
    if guest.ram is None:
        raise InfrastructureError("dump: expected a guest whose RAM is a file")
    # Whoever changes registers or memory stands still.
    guest.monitor.command("stop", deadline=Deadline.after(20.0, "the guest to stop"))
    printed = guest.monitor.command(
        "human-monitor-command",
        {"command-line": "info registers -a"},
        deadline=Deadline.after(20.0, "the guest's registers"),
    )
    kernel = chosen.testbed.kernel
    note = vmcoreinfo(kernel.release, symbols_of(kernel.system_map))
    registers = parse_registers(printed)
    write_core(guest.ram, note, output, registers=registers)
    return registers


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


def _notes(chosen: ChosenCase, symbols: Symbols, why_no_types: str) -> list[str]:
    """Lines of the banner on what gdb knows."""
    lines = [
        f"module   {path.stem} .text at {sections.get('.text', 0):#x}"
        for path, sections in symbols.modules.items()
    ]
    if why_no_types:
        lines.append(f"types    those of single files: {why_no_types}")
    if symbols.scripts is not None:
        lines.append("scripts  the kernel's: apropos lx")
    if chosen.testbed.kernel.options().get("CONFIG_DEBUG_INFO_REDUCED") == "y":
        lines.append(
            "locals   may show another value's register (CONFIG_DEBUG_INFO_REDUCED); at the entry "
            "of a function its arguments are in rdi, rsi, rdx, rcx, r8, r9"
        )
    return lines


def _banner(chosen: ChosenCase, places: tuple[str, ...], notes: Sequence[str], time: str) -> str:
    lines = [
        f"case     {chosen.case.id}",
        f"kernel   {chosen.testbed.kernel.description}",
        f"stops at {', '.join(places)}",
        *notes,
        f"time     {time}",
    ]
    return "\n".join(lines)
