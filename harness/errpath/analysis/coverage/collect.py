"""Run cases in a guest whose kernel has KCOV; which source lines of a module each of them ran."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

from elftools.elf.elffile import ELFFile

from errpath.cases.case import MountCase
from errpath.cases.run import run_case
from errpath.errors import GuestPoisonedError, InfrastructureError
from errpath.guest.channel import AgentError
from errpath.guest.machine import Guest
from errpath.kernel import BuiltKernel, BuiltModule
from errpath.kernel.symbols.addr2line import Addr2line
from errpath.runner.guest_loss import is_guest_unusable
from errpath.runner.guests import PreparedGuest

__all__ = ["Line", "Lines", "Run", "collect"]

# File below the source root, and line.
Line = tuple[str, int]


@dataclass(frozen=True)
class _Section:
    name: str
    start: int
    size: int


class Lines:
    """Addresses of one module in one guest → source lines. A context manager."""

    def __init__(self, kernel: BuiltKernel, module: BuiltModule) -> None:
        self._module = module
        self._prefixes = [module.source_prefix, kernel.source_prefix]
        with module.path.open("rb") as file:
            elf = ELFFile(file)
            self._sizes = {
                section.name: section["sh_size"]
                for section in elf.iter_sections()
                # SHF_EXECINSTR
                if section["sh_flags"] & 4 and section["sh_size"]
            }
        self._programs: dict[str, Addr2line] = {}
        self._known: dict[tuple[str, int], Line | None] = {}

    def __enter__(self) -> Lines:
        return self

    def __exit__(self, *_: object) -> None:
        for program in self._programs.values():
            program.close()
        self._programs.clear()

    def sections(self, guest: Guest) -> tuple[_Section, ...]:
        """Where the module's code lies in a guest (/sys/module/*/sections).

        Raises:
            InfrastructureError: the guest gives no address.
        """
        found = []
        for name, size in self._sizes.items():
            # Code that ran once at its loading has been given back.
            with contextlib.suppress(AgentError):
                text = guest.read_file(f"/sys/module/{self._module.name}/sections/{name}")
                found.append(_Section(name, int(text.decode().strip("\0\n"), 16), size))
        if not found:
            raise InfrastructureError(
                f"module {self._module.name}: the guest gives no section's address"
            )
        return tuple(found)

    def of(self, addresses: Iterable[int], sections: Sequence[_Section]) -> frozenset[Line]:
        """The lines of these return addresses of __sanitizer_cov_trace_pc."""
        lines = set()
        for address in addresses:
            for section in sections:
                if section.start < address <= section.start + section.size:
                    line = self._line(section.name, address - 1 - section.start)
                    if line is not None:
                        lines.add(line)
        return frozenset(lines)

    def _line(self, section: str, offset: int) -> Line | None:
        key = (section, offset)
        if key not in self._known:
            if section not in self._programs:
                self._programs[section] = Addr2line(
                    self._module.path, prefixes=self._prefixes, section=section
                )
            frames = self._programs[section].lookup(offset)
            self._known[key] = (frames[0].file, frames[0].line) if frames else None
        return self._known[key]


@dataclass
class Run:
    """What a set of cases ran."""

    # Names of cases by line, in the order in which they ran.
    cases: dict[Line, list[str]] = field(default_factory=dict)
    # Cases whose guest could not say.
    lost: list[str] = field(default_factory=list)
    # How many cases ran.
    count: int = 0


def collect(
    cases: Sequence[MountCase],
    boot: Callable[[], PreparedGuest],
    lines: Lines,
    show: Callable[[int, str], None],
) -> Run:
    """Run every case; a guest that a case hangs or crashes is replaced.

    Raises:
        InfrastructureError: the kernel has no coverage.
    """
    run = Run()
    prepared: PreparedGuest | None = None
    places: tuple[_Section, ...] = ()
    try:
        for number, case in enumerate(cases, start=1):
            show(number, case.id)
            if prepared is None:
                prepared = boot()
                places = lines.sections(prepared.guest)
            try:
                outcome = run_case(
                    prepared.guest, replace(case, coverage="blocks"), f"errpath-{number:06d}"
                )
            except AgentError as error:
                raise InfrastructureError(f"{case.id}: {error}") from None
            except GuestPoisonedError:
                run.lost.append(case.id)
                prepared.guest.close()
                prepared = None
                continue
            run.count += 1
            for line in lines.of(outcome.coverage, places):
                run.cases.setdefault(line, []).append(case.id)
            if is_guest_unusable(outcome):
                prepared.guest.close()
                prepared = None
    finally:
        if prepared is not None:
            prepared.guest.close()
    return run
