"""The table of features (features.yaml), one probe each."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from errpath.util import yamlfile

__all__ = ["KINDS", "TABLE", "Feature", "load_table"]

KINDS = ("oracle", "fault", "option", "support")

TABLE = Path(__file__).with_name("features.yaml")


@dataclass(frozen=True)
class Feature:
    """One entry. Exactly one of `config`, `symbol`, `parameter` and `compile` is given."""

    name: str
    # What errpath does with it: a noun phrase.
    gives: str
    # One of KINDS.
    kind: str = "support"
    # A line of the final configuration, such as CONFIG_KCOV=y.
    config: str = ""
    # A symbol of vmlinux.
    symbol: str = ""
    # A boot parameter.
    parameter: str = ""
    # Of a symbol that is a function to be failed: the function that does its work where the kernel
    # does not have it, and what differs when that one fails.
    instead: str = ""
    differs: str = ""
    # C that compiles where the kernel has it, and what the compiler's first error matches where it
    # has not.
    compile: str = ""
    absent: str = ""

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z][a-z0-9_]*", self.name):
            raise ValueError(f"name: got {self.name!r}; expected lower case letters, digits and _")
        if self.kind not in KINDS:
            raise ValueError(f"{self.name}: kind: got {self.kind!r}; expected {', '.join(KINDS)}")
        probes = [
            probe for probe in (self.config, self.symbol, self.parameter, self.compile) if probe
        ]
        if len(probes) != 1:
            raise ValueError(
                f"{self.name}: got {len(probes)} probes; expected one of config, symbol, "
                "parameter, compile"
            )
        if bool(self.instead) != bool(self.differs) or (self.instead and not self.symbol):
            raise ValueError(f"{self.name}: expected symbol, instead and differs together")
        if bool(self.compile) != bool(self.absent):
            raise ValueError(f"{self.name}: expected `absent` beside `compile`, and only there")
        if self.config and not re.fullmatch(r"CONFIG_\w+=\S+", self.config):
            raise ValueError(
                f"{self.name}: config: got {self.config!r}; expected CONFIG_NAME=value"
            )
        try:
            re.compile(self.absent)
        except re.error as error:
            raise ValueError(
                f"{self.name}: absent: {error}; expected a regular expression"
            ) from None

    @property
    def macro(self) -> str:
        """The name under which modules of ours find a compiled feature."""
        return f"ERRPATH_HAVE_{self.name.upper()}"


@dataclass(frozen=True)
class _Table:
    features: tuple[Feature, ...]

    def __post_init__(self) -> None:
        names = [feature.name for feature in self.features]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"feature {name}: twice; expected every name once")


def load_table(path: Path = TABLE) -> tuple[Feature, ...]:
    """The entries of a table, in its order.

    Raises:
        DefinitionError: the file is wrong; the text begins with `file:line:`.
    """
    return yamlfile.load(path, _Table).features
