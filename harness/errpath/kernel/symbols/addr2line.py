"""One addr2line process per ELF file, kept running: it reads the debug information only once."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from errpath.errors import InfrastructureError
from errpath.util.process import find_program

__all__ = ["Addr2line", "Frame"]

_ADDRESS = re.compile(r"^0x[0-9a-f]{16}$")
# No code is here, in a kernel or in a section of a module, so that its answer marks the end of the
# one before.
_NOWHERE = 0x0DEA_DDEA_DDEA_DDEA
_PLACE = re.compile(r"^(?P<file>.*):(?P<line>\d+|\?)(?: \(discriminator \d+\))?$")


@dataclass(frozen=True)
class Frame:
    """One function that an address is in."""

    function: str
    # Below the source root, such as `fs/hfs/super.c`.
    file: str
    line: int
    # Whether the function's code was placed inside that of the next frame.
    inlined: bool


class Addr2line:
    """Looks up addresses in one ELF file; relative to `section` (`.text` of a module) if given."""

    def __init__(self, elf: Path, *, prefixes: Sequence[str], section: str = "") -> None:
        self._elf = elf
        self._prefixes = tuple(prefix for prefix in prefixes if prefix)
        argv = [find_program("addr2line"), "--addresses", "--functions", "--inlines"]
        argv += ["--section", section] if section else []
        self._child = subprocess.Popen(
            [*argv, "--exe", str(elf)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            errors="replace",
            start_new_session=True,
        )

    def close(self) -> None:
        """End the process; no lookup may follow."""
        self._child.kill()
        for stream in (self._child.stdin, self._child.stdout):
            if stream is not None:
                stream.close()
        self._child.wait()

    def lookup(self, address: int) -> tuple[Frame, ...]:
        """The frames at an address, innermost first; () if it has no line.

        Raises:
            InfrastructureError: addr2line died.
        """
        stdin, stdout = self._child.stdin, self._child.stdout
        assert stdin is not None
        assert stdout is not None
        try:
            stdin.write(f"{address:#x}\n{_NOWHERE:#x}\n")
            stdin.flush()
        except OSError as error:
            raise InfrastructureError(f"addr2line: died on {self._elf}") from error
        answers: list[list[str]] = []
        # Two answers, the second of exactly two lines.
        while len(answers) < 2 or len(answers[1]) < 2:
            line = stdout.readline()
            if not line:
                raise InfrastructureError(f"addr2line: died on {self._elf}")
            if _ADDRESS.match(line.strip()):
                answers.append([])
            else:
                answers[-1].append(line.strip())
        return self._frames(answers[0])

    def _frames(self, lines: list[str]) -> tuple[Frame, ...]:
        pairs = list(zip(lines[::2], lines[1::2], strict=True))
        frames = []
        for number, (function, place) in enumerate(pairs):
            match = _PLACE.match(place)
            if match is None or match["line"] in ("?", "0") or match["file"] == "??":
                return ()
            inlined = number < len(pairs) - 1
            file = self._relative(match["file"])
            frames.append(Frame(function, file, int(match["line"]), inlined))
        return tuple(frames)

    def _relative(self, file: str) -> str:
        for prefix in self._prefixes:
            if file.startswith(prefix):
                return _normal(file.removeprefix(prefix))
        return _normal(file)


def _normal(path: str) -> str:
    """`./include/linux/../linux/slab.h` -> `include/linux/slab.h`."""
    parts: list[str] = []
    for part in path.split("/"):
        if part == ".." and parts and parts[-1] not in ("", ".."):
            parts.pop()
        elif part != ".":
            parts.append(part)
    return "/".join(parts)
