"""Kernel configuration: fragments merged by the kernel's own script, and the result verified.

Kconfig drops a line without a word when a dependency is missing. A guest whose kernel silently
lacks kmemleak finds no leak, so every requested line is looked up in the final `.config`.

A fragment is in sections, each begun by a comment:

    # need                 lines without which nothing can be tested; the default
    # need if known        the same, on kernels whose Kconfig has the option at all
    # wish: WHAT IS LOST   lines that a kernel may drop, at the price that the text names
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from errpath.errors import ConfigError, UsageError
from errpath.util.resources import GUESTS

__all__ = [
    "DEFAULT_FRAGMENTS",
    "FRAGMENTS",
    "Dropped",
    "Requested",
    "check_finished",
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
# Beginnings of sections.
_NEED = "# need"
_IF_KNOWN = "# need if known"
_WISH = "# wish:"
# A comment that looks like one of them and is none.
_MARKER = re.compile(r"^#\s*(?:need|wish|if known)\b", re.IGNORECASE)
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
    # Symbols that are needed where the kernel's Kconfig has them.
    optional: frozenset[str] = frozenset()
    # Symbols that a kernel may drop -> what is lost by that.
    wishes: Mapping[str, str] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """A hash over the values and what may be dropped; comments and order do not count."""
        text = "".join(
            f"{symbol}={value}{self._section(symbol)[:6]}\n"
            for symbol, value in sorted(self.values.items())
        )
        return hashlib.sha256(text.encode()).hexdigest()[:20]

    @property
    def text(self) -> str:
        """One fragment with every line, for the kernel's merge script."""
        lines = []
        for symbol, value in self.values.items():
            lines += [self._section(symbol), _line(symbol, value)]
        return "\n".join(lines) + "\n"

    def _section(self, symbol: str) -> str:
        if symbol in self.wishes:
            return f"{_WISH} {self.wishes[symbol]}"
        return _IF_KNOWN if symbol in self.optional else _NEED


@dataclass(frozen=True)
class Dropped:
    """A line that the final configuration did not keep, and need not."""

    # With CONFIG_.
    symbol: str
    wanted: str
    # What it is instead: a value, "not set" or "absent".
    got: str
    # Whether the kernel's Kconfig has the option.
    known: bool
    # What is lost by it; empty for nothing.
    loss: str

    def __str__(self) -> str:
        name = self.symbol.removeprefix("CONFIG_")
        if not self.known:
            now = "no such option"
        elif self.wanted == "n":
            now = "cannot be off"
        else:
            now = "dropped" if self.got in ("absent", "not set") else f"is {self.got}"
        return f"{name} ({now}: {self.loss})" if self.loss else f"{name} ({now})"


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
        symbol = reader.take(full, "--kconfig-add", _NEED)
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
        self._wishes: dict[str, str] = {}

    def requested(self, added: frozenset[str]) -> Requested:
        optional = frozenset(self._optional)
        return Requested(self._values, self._origins, added, optional, self._wishes)

    def take_text(self, text: str, name: str) -> None:
        section = _NEED
        for number, line in enumerate(text.splitlines(), 1):
            if _MARKER.match(line.strip()):
                section = _marker(line.strip(), f"{name}:{number}")
            elif line.strip():
                self.take(line, f"{name}:{number}", section)

    def take(self, line: str, origin: str, section: str) -> str | None:
        """Take one line of a section; its symbol, None for a comment."""
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
        self._wishes.pop(symbol, None)
        if section == _IF_KNOWN:
            self._optional.add(symbol)
        elif section.startswith(_WISH):
            self._wishes[symbol] = section.removeprefix(_WISH).strip()
        return symbol


def _marker(line: str, origin: str) -> str:
    """The beginning of a section, as written."""
    wish = line.startswith(_WISH) and line.removeprefix(_WISH).strip()
    if line not in (_NEED, _IF_KNOWN) and not wish:
        raise UsageError(
            f"{origin}: {line!r}: expected {_NEED!r}, {_IF_KNOWN!r} or '{_WISH} WHAT IS LOST'"
        )
    return line


def lost_lines(requested: Requested, final: Mapping[str, str]) -> dict[str, str]:
    """Symbol -> its final value (or "absent"), for each request that the result did not keep."""
    lost = {}
    for symbol, value in requested.values.items():
        got = final.get(symbol, "absent")
        wants_off = value == "n"
        if got != value and not (wants_off and got == "absent"):
            lost[symbol] = "not set" if got == "n" else got
    return lost


def check_finished(requested: Requested, final: Mapping[str, str], what: str) -> None:
    """Check that a kernel that somebody else configured has what it takes to be tested.

    Only what is to be on counts, and not as a module: a guest has nothing to load one with before
    its first test. Numbers, and what is to be off, are left to whoever configured it.

    Raises:
        ConfigError: something is missing; the text names all of it.
    """
    missing = [
        f"{symbol} is {now}"
        for symbol, now in lost_lines(requested, final).items()
        if requested.values[symbol] == "y"
        and symbol not in requested.wishes
        and symbol not in requested.optional
    ]
    if missing:
        raise ConfigError(f"{what}: cannot be tested: {', '.join(missing)}; expected each to be y")


def verify(
    requested: Requested, final: Mapping[str, str], *, known: Iterable[str]
) -> tuple[Dropped, ...]:
    """Check that `final` kept every line that is needed; what it did not keep of the others.

    `known` holds those lost symbols that the tree's Kconfig defines. A module that became built in
    is refused even where it was a wish: its sources would no longer be apart from the kernel's.

    Raises:
        ConfigError: a needed line was lost; the text names each, and what it is instead.
    """
    defined = frozenset(known)
    lost = lost_lines(requested, final)
    dropped = []
    complaints = []
    for symbol, now in lost.items():
        wanted = requested.values[symbol]
        wish = symbol in requested.wishes and not (wanted == "m" and now == "y")
        if wish or (symbol in requested.optional and symbol not in defined):
            loss = requested.wishes.get(symbol, "")
            dropped.append(Dropped(symbol, wanted, now, symbol in defined, loss))
        else:
            complaints.append(
                f"{_line(symbol, wanted)} ({requested.origins[symbol]}) is {now}"
                + ("" if symbol in defined else ", unknown to this kernel")
            )
    if complaints:
        raise ConfigError(f"the kernel configuration lost: {'; '.join(complaints)}")
    return tuple(dropped)


def _line(symbol: str, value: str) -> str:
    return f"# {symbol} is not set" if value == "n" else f"{symbol}={value}"
