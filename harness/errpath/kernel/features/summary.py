"""A kernel's features as one line, and the spelling of boot arguments that it knows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from errpath.errors import BuildError
from errpath.kernel.features.finding import Finding, Presence
from errpath.kernel.features.table import Feature, load_table

__all__ = ["missing", "spelled", "stand_ins", "summary"]

# Boot parameters by the feature that stands for their newer name -> that name and the older one.
_SPELLINGS = {"slab_debug": ("slab_debug", "slub_debug")}


def missing(found: Iterable[Finding], table: Iterable[Feature] | None = None) -> dict[str, str]:
    """What errpath does and this kernel does not allow -> why: absent oracles and faults.

    Raises:
        BuildError: a probe is broken, so that it is unknown.
    """
    features = {one.name: one for one in (table if table is not None else load_table())}
    gone = {}
    for finding in found:
        if finding.presence is Presence.BROKEN:
            raise BuildError(f"probe of feature {finding.name}: {finding.why}")
        feature = features[finding.name]
        if not finding.present and feature.kind in ("oracle", "fault"):
            instead = f"; {feature.instead} fails instead" if feature.instead else ""
            gone[feature.gives] = f"{finding.why}{instead}"
    return gone


def stand_ins(
    found: Iterable[Finding], table: Iterable[Feature] | None = None
) -> dict[str, Feature]:
    """Functions that a kernel does not have -> the entry that names one to fail in their place."""
    features = {one.name: one for one in (table if table is not None else load_table())}
    gone = [features[finding.name] for finding in found if not finding.present]
    return {feature.symbol: feature for feature in gone if feature.instead}


def summary(found: Iterable[Finding], table: Iterable[Feature] | None = None) -> str:
    """One line: the oracles of a kernel, and what it does not allow, with the reason."""
    findings = tuple(found)
    entries = tuple(table if table is not None else load_table())
    features = {one.name: one for one in entries}
    oracles = [
        features[finding.name].gives
        for finding in findings
        if finding.present and features[finding.name].kind == "oracle"
    ]
    text = f"oracles: {', '.join([*oracles, 'the kernel log'])}"
    gone = [f"{what} ({why})" for what, why in missing(findings, entries).items()]
    return f"{text}; not here: {', '.join(gone)}" if gone else text


def spelled(arguments: Iterable[str], found: Iterable[Finding]) -> tuple[str, ...]:
    """Kernel command line words, with the older name of a parameter where the newer is absent."""
    absent = {finding.name for finding in found if finding.presence is Presence.ABSENT}
    older: Mapping[str, str] = dict(
        pair for feature, pair in _SPELLINGS.items() if feature in absent
    )
    words = []
    for argument in arguments:
        name, equals, value = argument.partition("=")
        words.append(f"{older.get(name, name)}{equals}{value}")
    return tuple(words)
