"""A filesystem's own checker, run over a volume that a kernel has written.

The programs read what may be hostile: run by root, they get the identity of nobody. They are never
given anything but a copy.
"""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path

from errpath.errors import InfrastructureError
from errpath.filesystems import Filesystem
from errpath.filesystems.hfsprogs import find_program
from errpath.images import Image
from errpath.util.deadline import Deadline
from errpath.util.process import Completed, run

__all__ = ["complaint", "has_bits", "missing_checker"]

_SECONDS = 30.0
# The user nobody of every Debian.
_NOBODY = 65534
_LINES_MAX = 3
# The dynamic linker's statuses, and a script's whose interpreter is missing.
_NOT_STARTED = (126, 127)


def missing_checker(filesystem: Filesystem) -> str:
    """Why volumes of a filesystem are not checked on this machine; "" where they are."""
    if not filesystem.fsck:
        return filesystem.no_fsck or "nothing checks it"
    program = filesystem.fsck[0]
    return "" if find_program(program) is not None else f"{program}: not found on PATH"


def complaint(filesystem: Filesystem, volume: Image) -> str:
    """What the checker has against a volume, in a line; "" where it passes, or is not here.

    Raises:
        InfrastructureError: it could not be started, or was killed.
        ProgramError: it did not end in time.
    """
    if missing_checker(filesystem):
        return ""
    program = filesystem.fsck[0]
    try:
        with tempfile.TemporaryDirectory(prefix="errpath-fsck-") as name:
            done = _check(filesystem, Path(name), volume)
    except OSError as error:
        raise InfrastructureError(f"{program}: {error.strerror}: {error.filename}") from None
    lines = (done.text + done.stderr.decode(errors="replace")).splitlines()
    printed = [line.strip() for line in lines if line.strip()]
    text = f"{program}: status {done.returncode}: {'; '.join(printed[-_LINES_MAX:])}"
    if done.returncode < 0 or done.returncode in _NOT_STARTED:
        raise InfrastructureError(text)
    patterns = [*filesystem.fsck_wrong]
    if filesystem.fsck_without and not has_bits(filesystem, volume):
        patterns.append(filesystem.fsck_without)
    wrong = any(re.search(pattern, text) for pattern in patterns)
    return text if done.returncode and not wrong else ""


def has_bits(filesystem: Filesystem, volume: Image) -> bool:
    """Whether the checker passes what the kernel makes of a volume (`Filesystem.fsck_bits`)."""
    if filesystem.fsck_bits is None:
        return True
    at, bits = filesystem.fsck_bits
    return bool(volume.read(at, 1)[0] & bits)


def _check(filesystem: Filesystem, folder: Path, volume: Image) -> Completed:
    program = find_program(filesystem.fsck[0])
    assert program is not None
    file = folder / "image"
    volume.write(file)
    user = _NOBODY if os.geteuid() == 0 else None
    if user is not None:
        # Wherever the program is, below root's home too: nobody may not be let in there.
        # By a process of its own: where another thread forks while this one writes it, that child
        # holds it open for writing, and it cannot be executed (ETXTBSY).
        copy = folder / program.name
        run(
            ["install", "-m", "755", str(program), str(copy)],
            deadline=Deadline.after(_SECONDS, f"a copy of {program.name}"),
        )
        program = copy
        file.chmod(0o644)
        folder.chmod(0o755)
    words = [word.replace("{image}", str(file)) for word in filesystem.fsck[1:]]
    return run(
        [program, *words],
        deadline=Deadline.after(_SECONDS, f"{filesystem.fsck[0]} of a volume"),
        check=False,
        user=user,
    )
