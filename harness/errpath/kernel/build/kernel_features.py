"""What the kernels in a cache can do, probed once each."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from errpath.kernel.build.built import BuiltKernel
from errpath.kernel.build.state import combine
from errpath.kernel.features.finding import Finding, Presence
from errpath.kernel.features.probe import Compile, features_header, probe_features
from errpath.kernel.features.table import Feature
from errpath.kernel.layout import Layout, read_json, write_json

__all__ = ["KernelFeatures"]


class KernelFeatures:
    """Findings in a cache, by kernel and table."""

    def __init__(self, layout: Layout, table: Callable[[], tuple[Feature, ...]]) -> None:
        self._layout = layout
        self._table = table

    def of(self, kernel: BuiltKernel, compile_all: Compile) -> tuple[Finding, ...]:
        """What a kernel has of the table, in its order.

        Raises:
            BuildError: a probe failed, and the compiler did not say why.
        """
        table = self._table()
        text = "\0".join(map(repr, table))
        final = self._layout.modules / combine("features", kernel.key, text)
        record = read_json(final / "meta.json")
        if record is None:
            found = probe_features(
                table,
                config=kernel.config,
                system_map=kernel.system_map,
                vmlinux=kernel.vmlinux,
                compile_all=compile_all,
            )
            record = {
                "kernel": kernel.key,
                "features": [[one.name, one.presence.value, one.why] for one in found],
            }
            with self._layout.making(final) as directory:
                write_json(directory / "meta.json", record)
        return tuple(
            Finding(name, Presence(presence), why) for name, presence, why in record["features"]
        )

    def header(self, found: Sequence[Finding]) -> str:
        """The C header that says to our modules what a kernel has."""
        return features_header(self._table(), found)
