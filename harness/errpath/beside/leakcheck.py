"""errpath-leakcheck: the leak verdict as one static program, for runners that are not errpath.

`guests/leakcheck` is the program, `guests/modules/canary` the module that proves its silence.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from errpath.errors import UsageError
from errpath.guest.program import guest_program
from errpath.kernel import BuiltModule
from errpath.oracles.modules import CANARY
from errpath.util.files import replacing
from errpath.util.resources import GUESTS

__all__ = ["PROGRAM", "SOURCE", "leakcheck_program", "write_leakcheck"]

PROGRAM = "errpath-leakcheck"
# The name and version of DKMS (guests/leakcheck/dkms.conf), as the directory in /usr/src.
SOURCE = "errpath-canary-1"
_DKMS = GUESTS / "leakcheck" / "dkms.conf"


def leakcheck_program() -> bytes:
    """The program, compiled once for its sources and compiler.

    Raises:
        ToolMissingError: no compiler.
        InfrastructureError: it does not compile.
    """
    return guest_program("leakcheck")


def write_leakcheck(directory: Path, module: BuiltModule | None = None) -> tuple[Path, ...]:
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
            path = directory / module.path.name
            written.append(_put(path, module.stripped.read_bytes(), 0o644))
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
