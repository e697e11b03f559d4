"""errpath-leakcheck: the leak verdict as one static program, for runners that are not errpath.

`guests/leakcheck` is the program, `guests/modules/canary` the module that proves its silence.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from errpath.errors import BuildError, UsageError
from errpath.guest.program import guest_program
from errpath.oracles.modules import CANARY
from errpath.util import process
from errpath.util.cache import scratch_directory
from errpath.util.deadline import Deadline
from errpath.util.files import replacing
from errpath.util.process import ProgramError, last_line
from errpath.util.resources import GUESTS

__all__ = [
    "PROGRAM",
    "SOURCE",
    "built_kernel",
    "canary_for",
    "leakcheck_program",
    "write_leakcheck",
]

PROGRAM = "errpath-leakcheck"
# The name and version of DKMS (guests/leakcheck/dkms.conf), as the directory in /usr/src.
SOURCE = "errpath-canary-1"
_DKMS = GUESTS / "leakcheck" / "dkms.conf"
# What kbuild wants of a kernel to make a module that it loads: a tree built in place, a directory
# of `make O=`, or a distribution's headers.
_BUILD_PARTS = ("Makefile", ".config", "Module.symvers", "include/generated/autoconf.h")
_MAKE_SECONDS = 300.0


def leakcheck_program() -> bytes:
    """The program, compiled once for its sources and compiler.

    Raises:
        ToolMissingError: no compiler.
        InfrastructureError: it does not compile.
    """
    return guest_program("leakcheck")


def built_kernel(spec: str) -> Path | None:
    """The directory of a finished build that a kernel's spec names; None for any other spec."""
    directory = Path(spec)
    if spec and all((directory / name).is_file() for name in _BUILD_PARTS):
        return directory.resolve()
    return None


def canary_for(build: Path) -> bytes:
    """The canary's module for the kernel of a finished build, whose configuration is the user's.

    Raises:
        BuildError: it does not compile.
        ToolMissingError: no make.
    """
    with scratch_directory() as scratch:
        source = scratch / SOURCE
        shutil.copytree(CANARY.directory, source)
        argv: list[str | Path] = ["make", "-s", "-C", build, f"M={source}", "modules"]
        deadline = Deadline.after(_MAKE_SECONDS, "make modules")
        try:
            process.run(argv, deadline=deadline)
        except ProgramError as error:
            printed = last_line(error.completed.stderr.decode(errors="replace"))
            raise BuildError(f"{build}: the canary's module: {printed}") from None
        (module,) = source.glob("*.ko")
        process.run(["strip", "--strip-debug", module])
        return module.read_bytes()


def write_leakcheck(directory: Path, module: bytes | None = None) -> tuple[Path, ...]:
    """Write what another machine needs: the program, the module's source with a file for DKMS, and
    `module`, which is the module built for one kernel. The paths, in this order.

    Raises:
        UsageError: `directory` cannot be written.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        written = [_put(directory / PROGRAM, leakcheck_program(), 0o755)]
        source = directory / SOURCE
        # Whole: links to headers that are elsewhere become files.
        shutil.copytree(CANARY.directory, source, dirs_exist_ok=True)
        shutil.copyfile(_DKMS, source / _DKMS.name)
        written.append(source)
        if module is not None:
            written.append(_put(directory / f"errpath_{CANARY.name}.ko", module, 0o644))
    except OSError as error:
        raise UsageError(
            f"{error.filename or directory}: {error.strerror}; expected a directory to write to"
        ) from None
    return tuple(written)


def _put(path: Path, data: bytes, mode: int) -> Path:
    """In one step: a program that is being run cannot be written to."""
    with replacing(path) as part:
        part.write_bytes(data)
        part.chmod(mode)
    return path
