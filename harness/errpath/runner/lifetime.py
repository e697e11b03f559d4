"""The life of a leaked object, measured: who held it, and where its last reference went.

The case runs in a clone to learn where its object lies, and in another, of the same frozen guest,
in which QEMU watches that place (`errpath.guest.holders`). Clones of one guest do the same things
in the same order, so that the object lies there again; where it does not, both are tried again.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Protocol

from errpath.cases.case import MountCase
from errpath.cases.run import run_case
from errpath.errors import ErrpathError
from errpath.guest.channel import AgentError
from errpath.guest.clones import Added
from errpath.guest.holders import Change, plugin_words, read_changes
from errpath.guest.machine import Guest
from errpath.kernel import BuiltKernel, BuiltModule
from errpath.kernel.build.compiled import source_files
from errpath.kernel.symbols.elf import section_size
from errpath.kernel.symbols.symbolizer import Frame, Symbolizer
from errpath.oracles.kmemleak import Record
from errpath.oracles.references import Taker
from errpath.oracles.releases import Release, find_release
from errpath.oracles.timeline import (
    Holder,
    Timeline,
    is_of_filesystem,
    make_reference_timeline,
    make_timeline,
)
from errpath.runner.guests import PreparedGuest
from errpath.runner.observation import find_leaks
from errpath.util.cache import scratch_directory

__all__ = [
    "WATCHED_TASK",
    "Lifetime",
    "LifetimeBed",
    "LifetimeWatch",
    "Statements",
    "code_sections",
    "measure_lifetime",
    "measure_references",
    "release_of",
    "resolver",
    "sources_of",
]

# Of the case. The same in every clone: its length alone may move what lies behind it.
WATCHED_TASK = "errpath-watched"
# How often the object may lie elsewhere than expected, or turn out to be held by another.
_TRIES = 4
# Sections with code.
_CODE = (".text", ".text.unlikely", ".noinstr.text", ".exit.text")
# Lines of a statement that are put together.
_STATEMENT_LINES = 4


@dataclass(frozen=True)
class Lifetime:
    """A timeline, or why there is none."""

    timeline: Timeline | None
    reason: str = ""
    # Of what is kept instead of lost, such as a page: who took and who put references to it.
    takers: tuple[Taker, ...] = ()
    # The word of the filesystem's that pointed to such a thing last.
    holder: Holder | None = None
    # The function that should have released what its last holder was freed with.
    release: Release | None = None


# Measures what a case leaks.
LifetimeWatch = Callable[[MountCase], Lifetime]


class LifetimeBed(Protocol):
    """What a measurement needs of a test bed."""

    @property
    def accel(self) -> str:
        """ "kvm" or "tcg"."""

    @property
    def kernel(self) -> BuiltKernel:
        """The built kernel."""

    @property
    def offsets_module(self) -> BuiltModule:
        """The module that says where members of structures lie."""

    def clone(
        self,
        filesystems: Sequence[str],
        functions: Sequence[str],
        points: Sequence[str] | None,
        added: Added | None,
    ) -> PreparedGuest:
        """A fresh clone with QEMU's words in addition that `added` gives."""

    def symbolizer(self, filesystems: Sequence[str], /) -> Symbolizer:
        """Source positions in the kernel and in the modules of these filesystems."""

    def source(self, path: str, /) -> str | None:
        """The text of a file of the kernel's source; None where it is missing."""

    def modules(self, filesystem: str, /) -> tuple[BuiltModule, ...]:
        """A filesystem's modules with what they depend on, in load order."""


def measure_lifetime(
    bed: LifetimeBed,
    filesystems: Sequence[str],
    functions: Sequence[str],
    points: Sequence[str] | None,
    case: MountCase,
) -> Lifetime:
    """The life of an object that `case` leaks; of several, of that which held the others."""
    if bed.accel != "tcg":
        return Lifetime(None, f"QEMU watches memory under TCG only, and this is {bed.accel}")
    clone = functools.partial(bed.clone, filesystems, functions, points)
    try:
        return _measure(bed, clone, case)
    except (ErrpathError, AgentError) as error:
        return Lifetime(None, str(error))


def measure_references(
    bed: LifetimeBed,
    filesystems: Sequence[str],
    functions: Sequence[str],
    points: Sequence[str] | None,
    case: MountCase,
    module: str,
) -> Lifetime:
    """Who held pointers to the data of a module whose references `case` loses, such as an NLS
    table's: who holds such a pointer owes a reference back."""
    if bed.accel != "tcg":
        return Lifetime(None, f"QEMU watches memory under TCG only, and this is {bed.accel}")
    clone = functools.partial(bed.clone, filesystems, functions, points)
    try:
        built = {one.name: one for name in filesystems for one in bed.modules(name)}
        size = section_size(built[module].path, ".data") if module in built else 0
        prepared = clone(None)
        try:
            address = _code(prepared.guest, module, (".data",)).get(".data", 0)
        finally:
            prepared.guest.close()
        if not size or not address:
            return Lifetime(None, f"module {module} has no data of its own")
        changes, sections, names = _changes(clone, case, address, size)
        with bed.symbolizer(names) as symbolizer:
            resolve = resolver(symbolizer, sections)
            timeline = make_reference_timeline(
                changes, address, size, f"module {module}", resolve, Statements(bed).statement
            )
    except (ErrpathError, AgentError) as error:
        return Lifetime(None, str(error))
    return Lifetime(timeline, "" if timeline else f"nothing held a pointer to module {module}")


def _measure(
    bed: LifetimeBed, clone: Callable[[Added | None], PreparedGuest], case: MountCase
) -> Lifetime:
    records = _leaks(clone(None), case)
    if not records:
        return Lifetime(None, "in a guest of its own the case leaks nothing")
    wanted = records[0]
    best: Timeline | None = None
    for _ in range(_TRIES):
        timeline = _watch(bed, clone, case, wanted)
        if timeline is None:
            records = _leaks(clone(None), case) or records
            wanted = records[0]
            continue
        best = timeline
        # What another leaked object holds was lost with that one.
        above = next((one for one in records if _holds(one, timeline)), None)
        if above is None or above == wanted:
            break
        wanted = above
    if best is not None:
        return Lifetime(best, release=release_of(bed, best.last))
    return Lifetime(None, f"the object did not lie in the same place in {_TRIES} clones")


def _holds(record: Record, timeline: Timeline) -> bool:
    return any(
        record.address <= holder.address < record.address + record.size
        for holder in timeline.remaining
    )


def _leaks(prepared: PreparedGuest, case: MountCase) -> list[Record]:
    try:
        outcome = run_case(prepared.guest, case, WATCHED_TASK)
        return find_leaks(prepared, [outcome]).own.get(WATCHED_TASK, [])
    finally:
        prepared.guest.close()


def _watch(
    bed: LifetimeBed,
    clone: Callable[[Added | None], PreparedGuest],
    case: MountCase,
    record: Record,
) -> Timeline | None:
    changes, sections, names = _changes(clone, case, record.address, record.size)
    with bed.symbolizer(names) as symbolizer:
        return make_timeline(
            changes,
            record.address,
            record.size,
            [site.function for site in record.backtrace],
            resolver(symbolizer, sections),
            Statements(bed).statement,
        )


def release_of(bed: LifetimeBed, holder: Holder | None) -> Release | None:
    """The function that should have released what a word of a filesystem's pointed to; None where
    the source does not tell."""
    if holder is None or not is_of_filesystem(holder.stored):
        return None
    return find_release(holder, sources_of(bed, str(PurePosixPath(holder.stored.file).parent)))


def sources_of(bed: LifetimeBed, directory: str) -> Mapping[str, str]:
    """The C files that a directory's Makefile names, by path; "" for one that is not there."""
    makefile = bed.source(f"{directory}/Makefile") or ""
    paths = [f"{directory}/{name}" for name in source_files(makefile)]
    return {path: bed.source(path) or "" for path in paths}


def resolver(
    symbolizer: Symbolizer, sections: Mapping[str, Mapping[str, int]]
) -> Callable[[int], Sequence[Frame]]:
    """Source positions by absolute address, each looked up once."""
    return functools.lru_cache(maxsize=None)(lambda address: symbolizer.at(address, sections))


def _changes(
    clone: Callable[[Added | None], PreparedGuest], case: MountCase, address: int, size: int
) -> tuple[Sequence[Change], Mapping[str, Mapping[str, int]], tuple[str, ...]]:
    """What QEMU saw of some memory in one run of a case, where the code of the modules lies, and
    the filesystems."""
    with scratch_directory() as scratch:
        out = scratch / "changes"
        prepared = clone(plugin_words(address, size, out))
        try:
            run_case(prepared.guest, case, WATCHED_TASK)
            # What is put off, such as an RCU callback, is part of the teardown.
            prepared.guest.quiesce()
            # Not before: whatever else is done moves what is allocated behind it.
            sections = code_sections(prepared)
        finally:
            prepared.guest.close()
        changes = read_changes(out) if out.exists() else ()
    return changes, sections, tuple(prepared.modules)


def code_sections(prepared: PreparedGuest) -> Mapping[str, Mapping[str, int]]:
    """Where the code of each module lies in a guest."""
    names = {name for names in prepared.modules.values() for name in names}
    return {name: _code(prepared.guest, name) for name in names}


def _code(guest: Guest, module: str, wanted: Sequence[str] = _CODE) -> Mapping[str, int]:
    found = {}
    for section in wanted:
        path = f"/sys/module/{module.replace('-', '_')}/sections/{section}"
        try:
            found[section] = int(guest.read_file(path), 16)
        except AgentError:
            # Not every module has every section.
            continue
    return found


class Statements:
    """Statements of the kernel's source, in one line each."""

    def __init__(self, bed: LifetimeBed) -> None:
        self._bed = bed
        self._files: dict[str, list[str]] = {}

    def statement(self, file: str, line: int) -> str:
        """The statement at a line; "" where the source is not to be had."""
        if file not in self._files:
            self._files[file] = (self._bed.source(file) or "").splitlines()
        lines = self._files[file][line - 1 : line - 1 + _STATEMENT_LINES]
        words: list[str] = []
        for text in lines:
            words.append(text.strip())
            if text.rstrip().endswith((";", "{", "}", ":")):
                break
        return re.sub(r"\s+", " ", " ".join(words))
