"""Kernel configuration: fragments merged by the kernel's own script, and the result verified.

Kconfig drops a line without a word when a dependency is missing. A guest whose kernel silently
lacks kmemleak finds no leak, so every requested line is looked up in the final `.config`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from errpath.errors import ConfigError, UsageError
from errpath.util.resources import GUESTS

__all__ = [
    "DEFAULT_FRAGMENTS",
    "FRAGMENTS",
    "Requested",
    "load_requested",
    "lost_lines",
    "parse_config",
    "parse_requested",
    "verify",
]

# Where the fragments are that guests and filesystems name.
FRAGMENTS = GUESTS / "kconfig"
DEFAULT_FRAGMENTS: tuple[Path, ...] = tuple(
    FRAGMENTS / f"{name}.config" for name in ("base", "lean", "checks", "filesystems")
)

_SET = re.compile(r"^(CONFIG_\w+)=(.+)$")
# The line before one that only some versions of the kernel have.
_IF_KNOWN = "# if known"
_UNSET = re.compile(r"^# (CONFIG_\w+) is not set$")


@dataclass(frozen=True)
class Requested:
    """What a configuration must have in the end."""

    # Symbol (with CONFIG_) -> value as written; "n" for "is not set". The last line wins.
    values: Mapping[str, str]
    # Symbol -> where it was asked for, such as `checks.config:3`.
    origins: Mapping[str, str]
    # Symbols that the user asked for by hand: never dispensable.
    added: frozenset[str]
    # Symbols that only some versions of the kernel have.
    optional: frozenset[str] = frozenset()

    @property
    def key(self) -> str:
        """A hash over the values; comments and order do not count."""
        text = "".join(f"{symbol}={value}\n" for symbol, value in sorted(self.values.items()))
        return hashlib.sha256(text.encode()).hexdigest()[:20]

    @property
    def text(self) -> str:
        """One fragment that says it all, for the kernel's merge script."""
        lines = []
        for symbol, value in self.values.items():
            if symbol in self.optional:
                lines.append(_IF_KNOWN)
            lines.append(_line(symbol, value))
        return "\n".join(lines) + "\n"


def parse_config(text: str) -> dict[str, str]:
    """Symbol -> value of a `.config` or fragment; "n" for "is not set"."""
    values = {}
    for line in text.splitlines():
        if match := _SET.match(line.strip()):
            values[match[1]] = match[2]
        elif match := _UNSET.match(line.strip()):
            values[match[1]] = "n"
    return values


def load_requested(fragments: Iterable[Path], added: Iterable[str]) -> Requested:
    """Read fragments, and the lines that the user added.

    Raises:
        UsageError: a fragment cannot be read, or a line is no configuration line.
    """
    reader = _Reader()
    for fragment in fragments:
        try:
            text = fragment.read_text()
        except OSError as error:
            raise UsageError(f"{fragment}: cannot be read: {error.strerror}") from error
        reader.take_text(text, fragment.name)
    by_hand = set()
    for line in added:
        word = line.strip()
        full = word if word.startswith(("CONFIG_", "#")) else f"CONFIG_{word}"
        symbol = reader.take(full, "--kconfig-add", optional=False)
        if symbol is None:
            raise UsageError(f"--kconfig-add {line!r}: expected CONFIG_NAME=value")
        by_hand.add(symbol)
    return reader.requested(frozenset(by_hand))


def parse_requested(text: str) -> Requested:
    """A request from the `text` of another."""
    reader = _Reader()
    reader.take_text(text, "fragments")
    return reader.requested(frozenset())


class _Reader:
    """Gathers configuration lines; the last line of a symbol wins."""

    def __init__(self) -> None:
        self._values: dict[str, str] = {}
        self._origins: dict[str, str] = {}
        self._optional: set[str] = set()

    def requested(self, added: frozenset[str]) -> Requested:
        return Requested(self._values, self._origins, added, frozenset(self._optional))

    def take_text(self, text: str, name: str) -> None:
        optional = False
        for number, line in enumerate(text.splitlines(), 1):
            if line.strip():
                self.take(line, f"{name}:{number}", optional=optional)
            optional = line.strip() == _IF_KNOWN

    def take(self, line: str, origin: str, *, optional: bool) -> str | None:
        """Take one line; its symbol, None for a comment."""
        parsed = parse_config(line)
        if not parsed:
            if line.strip().startswith("#"):
                return None
            raise UsageError(f"{origin}: {line.strip()!r}: expected CONFIG_NAME=value")
        ((symbol, value),) = parsed.items()
        self._values.pop(symbol, None)
        self._values[symbol] = value
        self._origins[symbol] = origin
        self._optional.discard(symbol)
        if optional:
            self._optional.add(symbol)
        return symbol


def lost_lines(requested: Requested, final: Mapping[str, str]) -> dict[str, str]:
    """Symbol -> its final value (or "absent"), for each request that the result did not keep."""
    lost = {}
    for symbol, value in requested.values.items():
        got = final.get(symbol, "absent")
        wants_off = value == "n"
        if got != value and not (wants_off and got == "absent"):
            lost[symbol] = "not set" if got == "n" else got
    return lost


def verify(requested: Requested, final: Mapping[str, str], *, known: Iterable[str]) -> list[str]:
    """Check that `final` kept every requested line.

    What this kernel has never heard of is dispensable in two cases, unless the user asked for it by
    hand: a module (`=m`; a tree from before a filesystem can still test the others, and asking for
    the module itself fails with its name), and a line below `# if known`, which only some versions
    have. `known` holds those lost symbols that the tree's Kconfig defines. Returns the symbols
    dispensed with.

    Raises:
        ConfigError: a line was lost; the text names each, and what it is instead.
    """
    defined = frozenset(known)
    lost = lost_lines(requested, final)
    spared = [
        symbol
        for symbol in lost
        if symbol not in defined
        and (requested.values[symbol] == "m" or symbol in requested.optional)
        and symbol not in requested.added
    ]
    complaints = [
        f"{_line(symbol, requested.values[symbol])} ({requested.origins[symbol]}) is {now}"
        + ("" if symbol in defined else ", unknown to this kernel")
        for symbol, now in lost.items()
        if symbol not in spared
    ]
    if complaints:
        raise ConfigError(f"the kernel configuration lost: {'; '.join(complaints)}")
    return spared


def _line(symbol: str, value: str) -> str:
    return f"# {symbol} is not set" if value == "n" else f"{symbol}={value}"
