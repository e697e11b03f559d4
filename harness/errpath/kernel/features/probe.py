"""Probes of a finished kernel: its configuration, its symbols, its boot parameters, its headers."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from elftools.elf.elffile import ELFFile

from errpath.errors import BuildError
from errpath.kernel.build.kconfig import parse_config
from errpath.kernel.features.finding import Finding, Presence
from errpath.kernel.features.table import Feature

__all__ = [
    "boot_parameters",
    "features_header",
    "first_compiler_error",
    "probe_features",
    "symbols_of",
]

_ERROR = re.compile(r"^\S*?:\d+(?::\d+)?: (?:fatal )?error: (.*)$", re.MULTILINE)
# What gcc may put around names, to what the table writes.
_QUOTES = str.maketrans({"\u2018": "'", "\u2019": "'"})
# Symbols of the arrays that hold the names of boot parameters.
_NAMES = ("__setup_str_", "__param_str_")

# Feature name -> C, to feature name -> what the compiler printed ("" where it compiled).
Compile = Callable[[Mapping[str, str]], Mapping[str, str]]


def probe_features(
    table: Iterable[Feature],
    *,
    config: Path,
    system_map: Path,
    vmlinux: Path,
    compile_all: Compile,
) -> tuple[Finding, ...]:
    """What a kernel has of a table's features, in the table's order."""
    features = tuple(table)
    values = parse_config(config.read_text())
    symbols = symbols_of(system_map)
    parameters = (
        boot_parameters(vmlinux, symbols) if any(one.parameter for one in features) else frozenset()
    )
    sources = {feature.name: feature.compile for feature in features if feature.compile}
    printed = compile_all(sources) if sources else {}
    found = []
    for feature in features:
        if feature.compile:
            found.append(_compiled(feature, printed[feature.name]))
        elif feature.config:
            found.append(_configured(feature, values))
        elif feature.symbol:
            found.append(_has(feature, feature.symbol in symbols, f"no symbol {feature.symbol}"))
        else:
            why = f"no boot parameter {feature.parameter}"
            found.append(_has(feature, feature.parameter in parameters, why))
    return tuple(found)


def features_header(table: Iterable[Feature], found: Iterable[Finding]) -> str:
    """The header that defines a macro for each feature that compiled.

    Raises:
        BuildError: a probe is broken, so that it is unknown whether the kernel has the feature.
    """
    compiled = {feature.name: feature for feature in table if feature.compile}
    lines = ["/* Made by errpath from its table of features: what this kernel has. */"]
    for finding in found:
        if finding.name not in compiled:
            continue
        if finding.presence is Presence.BROKEN:
            raise BuildError(f"probe of feature {finding.name}: {finding.why}")
        if finding.present:
            lines.append(f"#define {compiled[finding.name].macro} 1")
    return "\n".join(lines) + "\n"


def symbols_of(system_map: Path) -> dict[str, int]:
    """Symbol -> address, from System.map; of several of one name, the last."""
    symbols = {}
    for line in system_map.read_text().splitlines():
        words = line.split()
        if len(words) == 3:
            symbols[words[2]] = int(words[0], 16)
    return symbols


def boot_parameters(vmlinux: Path, symbols: Mapping[str, int]) -> frozenset[str]:
    """Names of boot parameters, without `=`: of __setup(), early_param() and module_param().

    Each has its name in an array of its own (include/linux/init.h, include/linux/moduleparam.h).
    """
    addresses = [address for name, address in symbols.items() if name.startswith(_NAMES)]
    names = set()
    with vmlinux.open("rb") as file:
        elf = ELFFile(file)
        loads = [one.header for one in elf.iter_segments() if one.header.p_type == "PT_LOAD"]
        for address in addresses:
            for load in loads:
                at = address - load.p_vaddr
                if 0 <= at < load.p_filesz:
                    file.seek(load.p_offset + at)
                    text = file.read(64).partition(b"\0")[0]
                    names.add(text.decode(errors="replace").rstrip("="))
    return frozenset(names)


def first_compiler_error(output: str) -> str:
    """The first error in a compiler's output, without its place; "" where there is none."""
    match = _ERROR.search(output)
    return match[1].translate(_QUOTES).strip() if match else ""


def _compiled(feature: Feature, output: str) -> Finding:
    if not output:
        return Finding(feature.name, Presence.PRESENT)
    error = first_compiler_error(output) or output.strip().rpartition("\n")[2]
    known = re.search(feature.absent, error) is not None
    return Finding(feature.name, Presence.ABSENT if known else Presence.BROKEN, error)


def _configured(feature: Feature, values: Mapping[str, str]) -> Finding:
    symbol, _, value = feature.config.partition("=")
    got = values.get(symbol, "absent")
    now = {"n": "not set"}.get(got, got)
    return _has(feature, got == value, f"{symbol} is {now}")


def _has(feature: Feature, present: bool, why: str) -> Finding:
    if present:
        return Finding(feature.name, Presence.PRESENT)
    return Finding(feature.name, Presence.ABSENT, why)
