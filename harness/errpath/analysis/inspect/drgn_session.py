"""drgn on the memory of a guest, with whole types and helpers for a mount.

drgn (https://drgn.readthedocs.io) is in the extra `inspect`, and is imported when it is used.
"""

from __future__ import annotations

import importlib.util
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from errpath.errors import InfrastructureError, ToolMissingError, UsageError

if TYPE_CHECKING:
    import drgn

__all__ = ["CoreFile", "find_drgn", "open_core", "run_drgn", "superblock_data_type"]

# What drgn must have for types from files that no loaded module belongs to.
_NEEDED = "extra_module"
# Bytes of a task's name, with the 0 behind it (include/linux/sched.h).
_TASK_COMM_LEN = 16
# How sources get their structure from a superblock: a function that returns it, a cast, a variable.
_DATA_TYPE = (
    re.compile(
        r"struct\s+(\w+)\s*\*\s*(?:__\w+\s+)?\w+\s*\([^)]*\)\s*\{\s*return\s*"
        r"(?:\(\s*struct\s+\w+\s*\*\s*\))?\s*\(?\s*\w+->s_fs_info\s*\)?\s*;"
    ),
    re.compile(r"\(\s*\(?\s*struct\s+(\w+)\s*\*\s*\)\s*\(*\s*\w+\)?->s_fs_info"),
    re.compile(r"struct\s+(\w+)\s*\*\s*\w+\s*=\s*\w+(?:->\w+)*->s_fs_info\s*;"),
)
# What unwinding begins with: names of struct user_regs_struct, and of struct pt_regs.
_PT_REGS = {
    **{name: name for name in ("r12", "r13", "r14", "r15")},
    **{f"r{name}": name for name in ("ip", "sp", "bp", "bx", "ax", "cx", "dx", "si", "di")},
    "eflags": "flags",
}


@dataclass(frozen=True)
class CoreFile:
    """A core, and where its symbols and types are."""

    path: Path
    vmlinux: Path
    modules: tuple[Path, ...]
    # Files with types alone (`errpath.analysis.inspect.types`).
    types: tuple[Path, ...]
    # The filesystem, as `file_system_type.name` has it, and the structure behind `s_fs_info`; ""
    # where the source does not say.
    filesystem: str
    data_type: str = ""
    # The name of the case's task.
    task: str = ""
    # Of each CPU, by the names of struct user_regs_struct.
    registers: tuple[Mapping[str, int], ...] = ()


def superblock_data_type(texts: Iterable[str]) -> str:
    """The structure that a filesystem's sources take `s_fs_info` for, most often; "" if none."""
    found: Counter[str] = Counter()
    for text in texts:
        for pattern in _DATA_TYPE:
            found.update(pattern.findall(text))
    return found.most_common(1)[0][0] if found else ""


def find_drgn() -> None:
    """See that drgn is there.

    Raises:
        ToolMissingError: it is not, or it is too old.
    """
    expected = "expected pip install 'errpath[inspect]'"
    if importlib.util.find_spec("drgn") is None:
        raise ToolMissingError(f"drgn: not found; {expected}")
    import drgn

    if not hasattr(drgn.Program, _NEEDED):
        raise ToolMissingError(
            f"drgn {drgn.__version__}: too old, has no Program.{_NEEDED}(); {expected}"
        )


def open_core(core: CoreFile) -> drgn.Program:
    """The program of a core, with symbols and types.

    Raises:
        InfrastructureError: drgn refuses the core or the symbols.
    """
    import drgn

    program = drgn.Program()
    try:
        program.set_core_dump(core.path)
        # Before vmlinux: of types of one name the first is taken, and vmlinux has declarations.
        for path in core.types:
            program.extra_module(path.stem, create=True).try_file(path)
        program.load_debug_info([core.vmlinux, *core.modules])
    except (OSError, LookupError, ValueError, drgn.MissingDebugInfoError) as error:
        raise InfrastructureError(f"drgn: {core.path}: {error}") from None
    return program


def run_drgn(core: CoreFile, banner: str, batch: str | None) -> int:
    """A session of drgn, which `find_drgn` has found, at the terminal or, with `batch`, these
    statements; the exit status.

    Raises:
        InfrastructureError: it refuses the core.
        UsageError: `batch` is no Python.
    """
    import drgn
    from drgn import cli

    program = open_core(core)
    # drgn's helpers are called without it.
    drgn.set_default_prog(program)
    helpers = _helpers(program, core)
    if batch is None:
        names = ", ".join(f"{name}()" for name in helpers)
        cli.run_interactive(
            program,
            banner_func=lambda text: f"{banner}\n{text}\n>>> # errpath's: {names}",
            globals_func=lambda known: {**known, **helpers},
        )
        return 0
    print(banner, flush=True)
    return _run_batch({**cli.default_globals(program), **helpers}, batch)


def _run_batch(names: dict[str, Any], batch: str) -> int:
    try:
        # "single": what an expression gives is shown, as at a prompt.
        code = compile(f"{batch}\n", "--batch", "single")
    except SyntaxError as error:
        raise UsageError(f"--batch: {error.msg}; expected statements of Python, with ;") from None
    shown = sys.displayhook
    sys.displayhook = _show
    try:
        exec(code, names)
    except Exception as error:
        # Whatever the user's statements raise is theirs.
        print(f"errpath: --batch: {type(error).__name__}: {error}", file=sys.stderr)
        return 1
    finally:
        sys.displayhook = shown
    return 0


def _show(value: object) -> None:
    if value is not None:
        print(value)


def _helpers(program: drgn.Program, core: CoreFile) -> Mapping[str, Callable[..., Any]]:
    """What a session has beside drgn's own helpers."""
    from drgn import Object, cast
    from drgn.helpers.linux.list import list_for_each_entry
    from drgn.helpers.linux.pid import for_each_task

    def superblocks(filesystem: str = core.filesystem) -> Iterator[drgn.Object]:
        """`struct super_block *` of each superblock of a type that is on super_blocks."""
        head = program["super_blocks"].address_of_()
        for one in list_for_each_entry("struct super_block", head, "s_list"):
            if one.s_type.name.string_().decode() == filesystem:
                yield one

    def fs_info(superblock: drgn.Object) -> drgn.Object:
        """s_fs_info of a superblock, as the filesystem's own structure."""
        data = superblock.s_fs_info
        return cast(f"struct {core.data_type} *", data) if core.data_type else data

    def case_task() -> drgn.Object:
        """`struct task_struct *` of the case's task.

        Raises:
            LookupError: it has ended.
        """
        wanted = core.task[: _TASK_COMM_LEN - 1]
        for task in for_each_task(program):
            if task.comm.string_().decode() == wanted:
                return task
        raise LookupError(f"no task {wanted}: it has ended")

    def cpu_stack(cpu: int = 0) -> drgn.StackTrace:
        """The stack on which a CPU has stopped. That of a task that does not run is
        prog.stack_trace(task)."""
        values = {inner: core.registers[cpu][name] for name, inner in _PT_REGS.items()}
        return program.stack_trace(Object(program, "struct pt_regs", values))

    return {one.__name__: one for one in (superblocks, fs_info, case_task, cpu_stack)}
