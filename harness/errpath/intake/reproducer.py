"""What a reporter has → a program that runs in a guest.

A C source, a syzkaller program, or a directory as bug pages offer it. The source is
somebody's and may be hostile: it is compiled under limits, and run only in a guest.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from errpath.errors import UsageError
from errpath.intake.decode import decode_file
from errpath.intake.repro_source import Source, filesystems_named, read_source
from errpath.intake.syz_image import SOURCE_MAX
from errpath.intake.syz_program import translate
from errpath.oracles.failure import Failure
from errpath.util import process
from errpath.util.cache import scratch_directory
from errpath.util.deadline import Deadline

__all__ = ["Reproducer", "load_reproducer"]

_SECONDS = 120.0
# Of the compiler: bytes of memory, seconds of the processor, bytes of a file.
LIMITS = ("--as=4000000000", "--cpu=100", "--fsize=500000000")
# A call of a syzkaller program.
_CALL = re.compile(r"(?m)^(?:r\d+ = )?[a-z_]\w*(?:\$\w+)?\(.*\)")
_SOURCES = ("repro.c", "repro.cprog", "creduce.c")
_PROGRAMS = ("repro.syz", "repro.prog", "repro.syz.txt")
_REPORTS = ("report.txt", "report", "report0", "crash.report", "console.txt")


@dataclass(frozen=True)
class Reproducer:
    """A program for a guest, and what it should show there."""

    # Its file or directory.
    name: str
    # A static executable.
    program: bytes
    # What its reporter saw; "" and None where nothing says.
    title: str = ""
    expected: Failure | None = None
    filesystems: tuple[str, ...] = ()
    # Functions that must be on the error-injection list.
    functions: tuple[str, ...] = ()
    # What was changed in it, and what is missing.
    notes: tuple[str, ...] = ()


def load_reproducer(
    path: Path, *, rounds: int, title: str = "", limits: Sequence[str] = LIMITS
) -> Reproducer:
    """The reproducer in a file or directory; `title` goes before what the files say. `limits` are
    words of prlimit for the compiler.

    Raises:
        UsageError: there is none, it cannot be translated, or it does not compile.
        ToolMissingError: no compiler.
    """
    file, report = (path, None) if not path.is_dir() else _in_directory(path)
    source = _source(file, rounds)
    expected = _reported(report) if report is not None else None
    if title:
        source = replace(source, title=title)
        expected = None
    return Reproducer(
        path.name,
        _compile(file, source, limits),
        source.title or (expected.title if expected is not None else ""),
        expected,
        source.filesystems,
        source.functions,
        source.notes,
    )


def _in_directory(path: Path) -> tuple[Path, Path | None]:
    """Reproducer and report of a bug page's directory."""
    files = {file.name: file for file in sorted(path.iterdir()) if file.is_file()}
    report = next((files[name] for name in _REPORTS if name in files), None)
    sources = [files[name] for name in (*_SOURCES, *_PROGRAMS) if name in files]
    sources = sources or [file for file in files.values() if file.suffix in (".c", ".syz")]
    if not sources:
        raise UsageError(f"{path}: no reproducer; expected repro.c, repro.syz or a single .c file")
    if len(sources) > 1 and sources[0].name not in _SOURCES:
        names = ", ".join(file.name for file in sources)
        raise UsageError(f"{path}: several reproducers ({names}); expected one, or name the file")
    return sources[0], report


def _source(file: Path, rounds: int) -> Source:
    try:
        with file.open("rb") as opened:
            text = opened.read(SOURCE_MAX).decode(errors="replace")
    except OSError as error:
        raise UsageError(f"{file}: {error.strerror}; expected a reproducer") from None
    if re.search(r"\bmain\s*\(", text):
        return read_source(text, rounds=rounds)
    if not _CALL.search(text):
        raise UsageError(f"{file}: no main(); expected a C reproducer or a syzkaller program")
    translation = translate(text, str(file))
    source = read_source(translation.text, rounds=rounds)
    return replace(
        source,
        title=_syz_title(text),
        files=translation.files,
        filesystems=filesystems_named(text),
        notes=(*source.notes, "translated from a syzkaller program; each call is made once"),
    )


def _syz_title(text: str) -> str:
    """The first comment of a syzkaller program, unless it is an address or options."""
    found = re.match(r"\s*#\s*((?!https?:|\{)\S.*)", text)
    return found[1].strip() if found is not None else ""


def _reported(report: Path) -> Failure | None:
    with report.open("rb") as opened:
        return next(iter(decode_file(opened)), None)


def _compile(file: Path, source: Source, limits: Sequence[str]) -> bytes:
    process.find_program("gcc")
    with scratch_directory() as scratch:
        (scratch / "repro.c").write_text(source.text, errors="replace")
        for name, data in source.files.items():
            (scratch / name).write_bytes(data)
        # syzkaller's programs map 16 MiB at 0x20000000. The heap of a program at a fixed address
        # starts at random in its first GiB (arch/x86/kernel/process.c, arch_randomize_brk()): one
        # run in 60 would map over it.
        static = ["-fPIE", "-static-pie", "-pthread"]
        argv = ["prlimit", *limits, "gcc", "-w", "-O1", *static, *source.flags]
        done = process.run(
            [*argv, "-o", "repro", "repro.c"],
            cwd=scratch,
            check=False,
            deadline=Deadline.after(_SECONDS, f"{file.name} to compile"),
        )
        if done.returncode != 0:
            printed = done.stderr.decode(errors="replace").splitlines()
            first = next(
                (line for line in printed if "error" in line), printed[-1] if printed else ""
            )
            raise UsageError(f"{file}: does not compile: {first[:300]}")
        return (scratch / "repro").read_bytes()
