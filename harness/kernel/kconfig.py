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

from harness.errors import ConfigError, UsageError

__all__ = [
    "DEFAULT_FRAGMENTS",
    "Requested",
    "load_requested",
    "lost_lines",
    "parse_config",
    "verify",
]

_FRAGMENTS = Path(__file__).parents[2] / "guests" / "kconfig"
DEFAULT_FRAGMENTS: tuple[Path, ...] = tuple(
    _FRAGMENTS / f"{name}.config" for name in ("base", "lean", "checks", "filesystems")
)

_SET = re.compile(r"^(CONFIG_\w+)=(.+)$")
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

    @classmethod
    def parse(cls, text: str) -> Requested:
        """A request from the `text` of another."""
        values = parse_config(text)
        return cls(values, dict.fromkeys(values, "fragments"), frozenset())

    @property
    def key(self) -> str:
        """A hash over the values; comments and order do not count."""
        text = "".join(f"{symbol}={value}\n" for symbol, value in sorted(self.values.items()))
        return hashlib.sha256(text.encode()).hexdigest()[:20]

    @property
    def text(self) -> str:
        """One fragment that says it all, for the kernel's merge script."""
        return "".join(f"{_line(symbol, value)}\n" for symbol, value in self.values.items())


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
    values: dict[str, str] = {}
    origins: dict[str, str] = {}
    for fragment in fragments:
        try:
            lines = fragment.read_text().splitlines()
        except OSError as error:
            raise UsageError(f"{fragment}: cannot be read: {error.strerror}") from error
        for number, line in enumerate(lines, 1):
            if line.strip():
                _take(line, f"{fragment.name}:{number}", values, origins)
    by_hand = set()
    for line in added:
        word = line.strip()
        full = word if word.startswith(("CONFIG_", "#")) else f"CONFIG_{word}"
        symbol = _take(full, "--kconfig-add", values, origins)
        if symbol is None:
            raise UsageError(f"--kconfig-add {line!r}: expected CONFIG_NAME=value")
        by_hand.add(symbol)
    return Requested(values, origins, frozenset(by_hand))


def _take(line: str, origin: str, values: dict[str, str], origins: dict[str, str]) -> str | None:
    parsed = parse_config(line)
    if not parsed:
        if line.strip().startswith("#"):
            return None
        raise UsageError(f"{origin}: {line.strip()!r}: expected CONFIG_NAME=value")
    ((symbol, value),) = parsed.items()
    values.pop(symbol, None)
    values[symbol] = value
    origins[symbol] = origin
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

    A module (`=m`) that this kernel has never heard of is dispensable unless the user asked for it
    by hand: a tree from before a filesystem can still test the others, and asking for the module
    itself fails with its name. `known` holds those lost symbols that the tree's Kconfig defines.
    Returns the symbols dispensed with.

    Raises:
        ConfigError: a line was lost; the text names each, and what it is instead.
    """
    defined = frozenset(known)
    lost = lost_lines(requested, final)
    spared = [
        symbol
        for symbol in lost
        if symbol not in defined
        and requested.values[symbol] == "m"
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
