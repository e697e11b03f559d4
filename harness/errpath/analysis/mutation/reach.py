"""Which tests reach which of the statements that are left out: no other test can tell of a mutant.

All statements are marked in one build of the filesystem's modules, and every test runs once in it.
What is marked between two tests is nobody's: a mutant of that statement goes through all of them.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from errpath.analysis.mutation.mutants import CONTROL, Mutant
from errpath.cases.case import MountCase
from errpath.cases.run import run_case
from errpath.errors import GuestPoisonedError, InfrastructureError
from errpath.guest.channel import AgentError
from errpath.oracles.pending import let_fire, read_pending
from errpath.runner.guest_loss import is_guest_unusable
from errpath.runner.guests import Boot, PreparedGuest

__all__ = ["Marks", "Reach", "marks_patch", "observe"]

# An array holds no more: a parameter of a module is read in one page.
_MOST = 4000
_ARRAY = "errpath_reached"
# What the file has that defines the arrays: it is compiled in every configuration.
_INIT = re.compile(r"^module_(?:init|exit)\(", re.MULTILINE)
T = TypeVar("T")
_END = re.compile(r";(\s*(?:/[/*].*)?)$")


class MarkedGuest(Protocol):
    """What is asked of a guest with the marks."""

    def read_file(self, path: str, /) -> bytes: ...

    def write_file(self, path: str, data: str, /) -> None: ...


@dataclass
class Reach:
    """What the tests of a filesystem reach."""

    # Ids of mutants whose statements were marked.
    marked: frozenset[str] = frozenset()
    # By test: the mutants that it reaches; None where that could not be seen.
    by_test: dict[str, frozenset[str] | None] = field(default_factory=dict)
    # Mutants that something else than a test's own time has reached.
    between: frozenset[str] = frozenset()

    def add(self, other: Reach) -> None:
        """Take over what some of the tests reach."""
        self.by_test |= other.by_test
        self.between |= other.between

    def may_tell(self, mutant: str, test: str) -> bool:
        """Whether a test may run otherwise with a mutant than without."""
        if mutant not in self.marked or mutant in self.between:
            return True
        reached = self.by_test.get(test)
        return reached is None or mutant in reached


@dataclass(frozen=True)
class Marks:
    """The marks of a kernel that was built with `marks_patch`."""

    # Ids, in the order of the arrays.
    mutants: tuple[str, ...]
    # Name of the module that has the arrays.
    module: str

    def take(self, guest: MarkedGuest) -> frozenset[str]:
        """What was reached since the last time.

        Raises:
            AgentError: the module has no marks.
        """
        found: set[str] = set()
        for number, ids in enumerate(_parts(self.mutants)):
            path = f"/sys/module/{self.module}/parameters/{_ARRAY}{number}"
            text = guest.read_file(path).decode().strip("\0\n")
            if "1" in text:
                found |= {one for one, mark in zip(ids, text, strict=True) if mark == "1"}
                guest.write_file(path, "0" * len(ids))
        return frozenset(found)


def marks_patch(mutants: Sequence[Mutant], sources: Mapping[str, str], *, exported: bool) -> str:
    """A patch that marks every statement that is reached; `sources` are the texts of the modules'
    files, of which the first that registers a module has the marks, `exported` to others.

    Raises:
        InfrastructureError: none of them registers a module.
    """
    real = [one for one in mutants if one.kind != CONTROL]
    home = next((path for path, text in sources.items() if _INIT.search(text)), None)
    if home is None:
        raise InfrastructureError("no file calls module_init(); expected one with the marks")
    declared = "".join(
        f"extern char {_ARRAY}{number}[];\n" for number, _ in enumerate(_parts(real))
    )
    patch = ""
    for path in dict.fromkeys((home, *(one.file for one in real))):
        old = sources[path].splitlines(keepends=True)
        new = list(old)
        for number, one in enumerate(real):
            if one.file == path:
                _mark(new, one, f"{_ARRAY}{number // _MOST}[{number % _MOST}] = '1';")
        if path == home:
            new.append("\n#include <linux/module.h>\n")
            for number, part in enumerate(_parts(real)):
                new += _definition(f"{_ARRAY}{number}", len(part), exported=exported)
        new.insert(0, declared)
        patch += "".join(difflib.unified_diff(old, _lines(new), f"a/{path}", f"b/{path}"))
    return patch


def _parts(items: Sequence[T]) -> Iterator[Sequence[T]]:
    for at in range(0, len(items), _MOST):
        yield items[at : at + _MOST]


def _mark(lines: list[str], mutant: Mutant, mark: str) -> None:
    """Put a mark in front of a statement, in braces with it."""
    first, last = mutant.line - 1, mutant.line + mutant.lines - 2
    ended = _END.sub(r"; }\1", lines[last].rstrip("\n"))
    lines[last] = f"{ended}\n"
    body = lines[first].lstrip()
    indent = lines[first][: len(lines[first]) - len(body)]
    lines[first] = f"{indent}{{ {mark} {body}"


def _definition(name: str, count: int, *, exported: bool) -> Iterator[str]:
    yield f'char {name}[{count + 1}] = "{"0" * count}";\n'
    yield f"module_param_string({name}, {name}, {count + 1}, 0600);\n"
    if exported:
        yield f"EXPORT_SYMBOL_GPL({name});\n"


def _lines(parts: Sequence[str]) -> list[str]:
    return "".join(parts).splitlines(keepends=True)


def observe(
    cases: Sequence[MountCase],
    boot: Boot,
    marks: Marks,
    show: Callable[[str], None] = lambda note: None,
) -> Reach:
    """What each of these cases reaches, which run one after another. A guest that one of them hangs
    or crashes is replaced.

    Raises:
        ErrpathError: there is no guest to be had.
        AgentError: the modules have no marks.
    """
    found: dict[str, frozenset[str] | None] = {}
    between: set[str] = set()
    prepared: PreparedGuest | None = None
    try:
        for number, case in enumerate(cases):
            show(case.id)
            if prepared is None:
                prepared = boot()
                between |= marks.take(prepared.guest)
            found[case.id] = None
            spent = False
            try:
                between |= marks.take(prepared.guest)
                outcome = run_case(prepared.guest, case, f"errpath-{number:06d}")
                own = marks.take(prepared.guest)
                spent = is_guest_unusable(outcome)
                found[case.id] = None if spent else own
            except GuestPoisonedError:
                spent = True
            except AgentError:
                # It could not be set up: the next may run here.
                pass
            if spent:
                prepared.guest.close()
                prepared = None
        if prepared is not None:
            let_fire(prepared.guest, read_pending(prepared.guest))
            between |= marks.take(prepared.guest)
    finally:
        if prepared is not None:
            prepared.guest.close()
    return Reach(by_test=found, between=frozenset(between))
