"""kbuild, run in an object tree: configuration, targets, and what went wrong.

Everything that would make two builds of the same sources differ is fixed: time, user, host, build
number, local version.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from errpath.errors import BuildError, InfrastructureError, ToolMissingError
from errpath.kernel.build.kconfig import (
    Dropped,
    Requested,
    lost_lines,
    parse_config,
    verify,
)
from errpath.kernel.build.repair import repair
from errpath.util.process import ProgramError, find_program, program_path, run
from errpath.util.progress import Progress, Step

__all__ = ["Kbuild", "compiler_identity", "first_error", "shortened", "undefined_symbols"]

_TOOLS = ("gcc", "ld", "make", "flex", "bison", "bc", "patch")
_STEP_LINE = re.compile(rb"^  (?:CC|AS|LD|AR|HOSTCC|HOSTLD|OBJCOPY|GEN|CC \[M\]) ", re.MULTILINE)
_ERROR_LINES = (
    re.compile(r"^(?P<text>\S+?:\d+(?::\d+)?: (?:fatal )?error: .*)$", re.MULTILINE),
    re.compile(r"^(?:ERROR: )(?P<text>modpost: .*)$", re.MULTILINE),
    re.compile(r"^(?P<text>(?:/\S*/)?ld: .*(?:undefined reference|error|multiple def).*)$", re.M),
    re.compile(r"^(?P<text>.*: undefined reference to .*)$", re.MULTILINE),
    re.compile(r"^make(?:\[\d+\])?: \*\*\* (?P<text>.*)$", re.MULTILINE),
)
# What modpost prints of a symbol that nothing exports, in the form up to Linux 7.2 and since.
_UNDEFINED = re.compile(
    r"^(?:ERROR|WARNING): modpost: "
    r"(?:\"(?P<old>[^\"]+)\" \[(?P<its>[^\]]+)\]|(?P<module>\S+): symbol '(?P<symbol>[^']+)')"
    r" undefined!",
    re.MULTILINE,
)
# Lines that a kernel dropped and that are reported by name: somebody else's whole configuration may
# lose hundreds.
_TOLD_MAX = 12
_HEADER_PACKAGES = {"gelf.h": "libelf-dev", "libelf.h": "libelf-dev", "openssl/": "libssl-dev"}


def compiler_identity() -> str:
    """The compiler and linker, as one text that changes with their version.

    Raises:
        ToolMissingError: a program that a kernel build needs is not installed.
    """
    for tool in _TOOLS:
        find_program(tool)
    return " / ".join(
        run([tool, "--version"], env={"LC_ALL": "C"}).text.partition("\n")[0]
        for tool in ("gcc", "ld")
    )


def shortened(lines: Sequence[str]) -> str:
    """Lines in one, the first of them by name."""
    more = len(lines) - _TOLD_MAX
    return "; ".join((*lines[:_TOLD_MAX], *([f"and {more} more"] if more > 0 else [])))


def first_error(log: str) -> str:
    """The first error in the output of a build, as one line."""
    for pattern in _ERROR_LINES:
        if match := pattern.search(log):
            return match["text"].strip()
    lines = log.strip().splitlines()
    return lines[-1].strip() if lines else "make failed and printed nothing"


def undefined_symbols(log: str) -> dict[str, str]:
    """Symbol -> the module (such as `fs/ext4/ext4.ko`) that wants it, from modpost's complaints."""
    return {
        match["old"] or match["symbol"]: match["its"] or match["module"]
        for match in _UNDEFINED.finditer(log)
    }


@dataclass(frozen=True)
class Kbuild:
    """One object tree of one source tree, under the workspace's lock."""

    source: Path
    objects: Path
    # The lock's descriptor: compilers keep it, so that a tree is not touched before they end.
    lock: int
    progress: Progress
    # How many compilers at once.
    jobs: int
    # Where notes and the log go: into the object tree itself, unless that is the user's.
    notes: Path | None = None

    @property
    def log(self) -> Path:
        """Everything that make printed in this object tree, oldest first."""
        return (self.notes or self.objects) / "errpath.log"

    @property
    def _busy(self) -> Path:
        return (self.notes or self.objects) / "errpath.busy"

    def recover(self) -> bool:
        """Repair the object tree if the last build in it was cut off; whether it was."""
        if not self._busy.exists():
            return False
        repair(self.objects, self.progress, since=self._busy.stat().st_mtime)
        self._busy.unlink()
        return True

    def configure(self, requested: Requested, what: str) -> None:
        """Merge the requested lines into `.config` and verify it.

        Raises:
            ConfigError: a line was lost.
            BuildError: the kernel's own scripts failed.
        """
        fragment = self.objects / "errpath.config"
        fragment.write_text(requested.text)
        script = self.source / "scripts/kconfig/merge_config.sh"
        # -n: everything that the fragments do not name is off.
        self._run(
            [script, "-n", "-O", self.objects, fragment],
            f"{what}: configuration",
            env={"ARCH": "x86_64"},
        )
        wishes = [str(line) for line in self.dropped(requested) if line.loss]
        if wishes:
            self.progress.say(f"{what}: not as wished: {shortened(wishes)}")

    def dropped(self, requested: Requested) -> tuple[Dropped, ...]:
        """What the final configuration did not keep, of what it need not keep.

        Raises:
            ConfigError: a needed line was lost.
        """
        final = parse_config((self.objects / ".config").read_text())
        return verify(requested, final, known=self._defined(lost_lines(requested, final)))

    def make(
        self,
        targets: Iterable[str],
        what: str,
        *,
        variables: Sequence[str] = (),
        total: int | None = None,
    ) -> None:
        """Build targets. `total` is about how many steps that will be, for the progress line.

        Raises:
            BuildError: the sources do not compile; the text holds the first error.
            InfrastructureError: the disk is full, or a library's headers are missing.
        """
        make = [
            *_leash(),
            *("make", "-C", str(self.source), f"O={self.objects}", f"-j{self.jobs}"),
            # The environment must not change what is built.
            *("ARCH=x86_64", "CROSS_COMPILE=", "LLVM=", "KCFLAGS=", "LOCALVERSION="),
            *("KBUILD_BUILD_USER=errpath", "KBUILD_BUILD_HOST=errpath", "KBUILD_BUILD_VERSION=1"),
            "KBUILD_BUILD_TIMESTAMP=Thu Jan  1 00:00:00 UTC 1970",
            *variables,
            *targets,
        ]
        self._run(make, what, env={"MAKEFLAGS": ""}, total=total)

    def last_output(self) -> str:
        """What the latest command in this object tree printed."""
        text = self.log.read_text(errors="replace")
        return text.rpartition(_MARK)[2]

    def _run(
        self,
        argv: Sequence[str | Path],
        what: str,
        *,
        env: dict[str, str],
        total: int | None = None,
    ) -> None:
        self._busy.touch()
        with self.log.open("a") as log:
            log.write(_MARK)
        began = self.log.stat().st_size
        try:
            with self.progress.step(what, total=total) as step:
                run(
                    argv,
                    cwd=self.source,
                    env={"LC_ALL": "C", "KBUILD_VERBOSE": "", **env},
                    log=self.log,
                    pass_fds=(self.lock,),
                    tick=_Counter(self.log, began, step),
                )
        except ProgramError as error:
            # It ended by itself: kbuild has cleaned up behind it.
            self._busy.unlink()
            self._blame(what, error)
        self._busy.unlink()

    def _blame(self, what: str, error: ProgramError) -> None:
        output = self.last_output()
        if "No space left on device" in output:
            raise InfrastructureError(
                f"{self.objects}: the disk is full; free space, or: errpath kernel rm"
            ) from error
        text = first_error(output)
        for header, package in _HEADER_PACKAGES.items():
            if header in text and "No such file" in text:
                raise ToolMissingError(f"{header}: not found (Debian package {package})")
        if re.search(r"Killed signal|out of memory|internal compiler error: Killed", output):
            raise InfrastructureError(
                f"{what}: the compiler was killed (too little memory?); see {self.log}"
            )
        raise BuildError(f"{what}: {text} (see {self.log})") from error

    def _defined(self, symbols: Iterable[str]) -> set[str]:
        """Which of some symbols (with CONFIG_) the tree's Kconfig files define."""
        wanted = {symbol.removeprefix("CONFIG_") for symbol in symbols}
        if not wanted:
            return set()
        pattern = re.compile(r"^\s*(?:menu)?config[ \t]+(\w+)", re.MULTILINE)
        found: set[str] = set()
        for path in self.source.rglob("Kconfig*"):
            if path.is_file():
                found |= wanted.intersection(pattern.findall(path.read_text(errors="replace")))
        return {f"CONFIG_{name}" for name in found}


_MARK = "\n=== errpath ===\n"


def _leash() -> list[str]:
    """make must not outlive whoever waits for it; on SIGTERM it deletes what is half done."""
    return ["setpriv", "--pdeathsig", "TERM"] if program_path("setpriv") else []


class _Counter:
    """Counts a build's steps in its log as it grows."""

    def __init__(self, log: Path, offset: int, step: Step) -> None:
        self._log = log
        self._offset = offset
        self._step = step
        self._count = 0

    def __call__(self) -> None:
        with self._log.open("rb") as log:
            log.seek(self._offset)
            text = log.read()
        end = text.rfind(b"\n") + 1
        self._offset += end
        steps = _STEP_LINE.findall(text[:end])
        self._count += len(steps)
        last = text[:end].rstrip().rpartition(b"\n")[2] if steps else b""
        self._step.update(self._count, note=os.fsdecode(last.split()[-1]) if last else "")
