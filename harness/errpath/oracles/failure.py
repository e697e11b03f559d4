"""What went wrong, made once by the oracle that saw it.

Verdicts, reports, history, known issues, comparison and fuzzing read a `Failure`; none of them
parses its text. A new oracle declares its own kind with `declare`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from errpath.oracles.frames import base_name

__all__ = [
    "CORRUPTION",
    "DATA_MISMATCH",
    "DEVICE_HELD",
    "ERRNO",
    "HANG",
    "INFRASTRUCTURE",
    "KERNEL_LOG",
    "KILLED",
    "LEAK",
    "LOCKDEP",
    "LOG",
    "NOT_AVAILABLE",
    "OOPS",
    "RESOURCE_LEAK",
    "TEST",
    "UNDEFINED",
    "VOLUME",
    "WARNING",
    "Failure",
    "Kind",
    "declare",
    "infrastructure",
    "join_signatures",
    "kind_named",
    "kinds",
    "stable_text",
    "worst",
]

_HEX = re.compile(r"\b(?:0x)?[0-9a-f]{8,16}\b")
_OFFSET = re.compile(r"\+0x[0-9a-f]+(?:/0x[0-9a-f]+)?")
_NUMBER = re.compile(r"(?<![\w.])\d+(?![\w.])")
# Characters of a signature made from text.
_TEXT_MAX = 200


@dataclass(frozen=True)
class Kind:
    """One kind of failure."""

    name: str
    # The lower, the worse; kinds of one number are as bad as each other.
    severity: int
    # One occurrence proves it: no repeat of the case is needed.
    certain: bool = False
    # Wrong in any kernel. An answer other than the expected one is not, by itself.
    bug: bool = True

    def __str__(self) -> str:
        return self.name


_KINDS: dict[str, Kind] = {}


def declare(name: str, *, severity: int, certain: bool = False, bug: bool = True) -> Kind:
    """Declare a kind of failure; for the module of the oracle that makes such failures.

    Raises:
        ValueError: the name is taken.
    """
    if name in _KINDS:
        raise ValueError(f"kind {name!r}: declared twice; expected a new name")
    return _KINDS.setdefault(name, Kind(name, severity, certain, bug))


def kinds() -> tuple[Kind, ...]:
    """Every declared kind, the worst first."""
    return tuple(sorted(_KINDS.values(), key=lambda kind: kind.severity))


def kind_named(name: str) -> Kind:
    """The declared kind of a name.

    Raises:
        ValueError: no kind is called that.
    """
    if name not in _KINDS:
        raise ValueError(f"kind {name!r}: expected one of: {', '.join(map(str, kinds()))}")
    return _KINDS[name]


HANG = declare("hang", severity=10)
OOPS = declare("oops", severity=20, certain=True)
# The task was killed, and the kernel gave no reason.
KILLED = declare("killed", severity=20)
# Of the kernel's memory: KASAN, KFENCE, SLUB, list and reference count checks.
CORRUPTION = declare("corruption", severity=30, certain=True)
UNDEFINED = declare("undefined behaviour", severity=40, certain=True)
LOCKDEP = declare("lockdep", severity=50, certain=True)
WARNING = declare("warning", severity=60, certain=True)
# A message that neither the filesystem's file nor the case expects (`errpath.oracles.messages`).
KERNEL_LOG = declare("kernel log", severity=65, certain=True)
DATA_MISMATCH = declare("data mismatch", severity=70)
# What is on the disk afterwards is not a valid volume.
VOLUME = declare("volume", severity=80)
# Memory to which nothing points; confirmed by repeats of its own.
LEAK = declare("leak", severity=90, certain=True)
# What the kernel counts and does not give back.
RESOURCE_LEAK = declare("resource leak", severity=90)
DEVICE_HELD = declare("device held", severity=100)
ERRNO = declare("errno", severity=110, bug=False)
LOG = declare("log", severity=120, bug=False)
# Of a test without a case.
TEST = declare("test", severity=130, bug=False)
# The kernel does not have what the case is about: the case is left out.
NOT_AVAILABLE = declare("not available", severity=190, bug=False)
INFRASTRUCTURE = declare("infrastructure", severity=200, bug=False)


@dataclass(frozen=True)
class Failure:
    """One thing that went wrong."""

    kind: Kind
    # One line, in syzbot's words where it has them: "memory leak in hfs_init_fs_context".
    title: str
    # The same for the same failure, whatever addresses, sizes and builds; the title's own words
    # unless given.
    signature: str = ""
    # Functions on the stack, innermost first, without the compiler's suffixes.
    functions: tuple[str, ...] = ()
    # "fs/hfs/super.c:414"; empty where that is not known.
    where: str = ""
    # What is not given back, such as "module references: nls_utf8".
    resource: str = ""
    # Bytes of one leaked object.
    size: int = 0
    # What varies from run to run, for readers: counts, addresses, the kernel's own first line.
    detail: str = ""
    # It came after a report after which the kernel is not trusted any more.
    follows: bool = False
    # The raw text; not kept in records.
    evidence: str = ""

    def __post_init__(self) -> None:
        if not self.signature:
            object.__setattr__(self, "signature", stable_text(self.title))
        object.__setattr__(self, "functions", tuple(map(base_name, self.functions)))

    @property
    def line(self) -> str:
        """The failure in one line."""
        return f"{self.title} ({self.detail})" if self.detail else self.title

    def to_json(self) -> dict[str, Any]:
        """JSON values without the evidence; what is empty is left out."""
        values = {
            "kind": self.kind.name,
            "title": self.title,
            "signature": self.signature,
            "functions": list(self.functions),
            "where": self.where,
            "resource": self.resource,
            "size": self.size,
            "detail": self.detail,
            "follows": self.follows,
        }
        return {name: value for name, value in values.items() if value}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Failure:
        """The failure that `to_json` wrote. A kind or a key of a later version is passed over.

        Raises:
            ValueError: kind or title is missing.
        """
        if "kind" not in values or "title" not in values:
            raise ValueError("failure: expected kind and title")
        name = str(values["kind"])
        return cls(
            _KINDS.get(name) or Kind(name, INFRASTRUCTURE.severity - 1, bug=False),
            str(values["title"]),
            signature=str(values.get("signature", "")),
            functions=tuple(map(str, values.get("functions", ()))),
            where=str(values.get("where", "")),
            resource=str(values.get("resource", "")),
            size=int(values.get("size", 0)),
            detail=str(values.get("detail", "")),
            follows=bool(values.get("follows", False)),
        )


def infrastructure(reason: str) -> Failure:
    """A failure that says nothing of the kernel."""
    return Failure(INFRASTRUCTURE, reason)


def worst(failures: Iterable[Failure]) -> Failure | None:
    """The first of the most severe."""
    return min(failures, key=lambda failure: failure.kind.severity, default=None)


def join_signatures(failures: Iterable[Failure]) -> str:
    """One signature for what failed together; consequences change with timing and are left out."""
    return "; ".join(dict.fromkeys(one.signature for one in failures if not one.follows))


def stable_text(text: str) -> str:
    """A line without what changes from run to run: offsets, addresses, numbers."""
    text = _OFFSET.sub("", text)
    text = _HEX.sub("X", text)
    return _NUMBER.sub("N", text)[:_TEXT_MAX]
