"""Probes against trees: a fake one, and the default kernel's."""

from __future__ import annotations

from pathlib import Path

import pytest

from errpath.kernel import KernelRequest, KernelStore
from errpath.kernel.features.finding import Presence
from errpath.kernel.features.table import Feature
from errpath.util.progress import Progress
from suites.selftest.kernel.fake_tree import fake_store, make_tree, write_fragment

# A table that the fake tree can answer.
_FEW = (
    Feature("right", "x", compile="int right;", absent="expected expression"),
    Feature("wrong", "x", compile="SYNTAX-ERROR", absent="expected expression"),
    Feature("odd", "x", compile="SYNTAX-ERROR", absent="no member"),
    Feature("start", "x", symbol="start_kernel"),
)


def test_probes_are_compiled_once_and_kept(tmp_path: Path) -> None:
    store = fake_store(tmp_path / "cache", table=lambda: _FEW)
    request = KernelRequest(
        spec=str(make_tree(tmp_path / "tree")), fragments=(write_fragment(tmp_path),)
    )
    kernel = store.build(request)
    found = {finding.name: finding.presence for finding in store.features(kernel)}
    assert found == {
        "right": Presence.PRESENT,
        "wrong": Presence.ABSENT,
        "odd": Presence.BROKEN,
        "start": Presence.PRESENT,
    }
    (log,) = (tmp_path / "cache/work").glob("*/obj-*/errpath.log")
    size = log.stat().st_size
    assert store.features(kernel) == fake_store(tmp_path / "cache", table=lambda: _FEW).features(
        kernel
    )
    assert log.stat().st_size == size
    assert not list((tmp_path / "cache/tmp").glob("probe-*"))


@pytest.mark.kernel_build
def test_no_probe_is_broken_on_the_default_kernel() -> None:
    store = KernelStore(progress=Progress())
    found = {finding.name: finding for finding in store.features(store.build(KernelRequest()))}
    assert [str(one) for one in found.values() if one.presence is Presence.BROKEN] == []
    assert found["kmemleak"].present
    assert found["setup_bdev_super"].present
    assert found["kasan"].presence is Presence.ABSENT


@pytest.mark.kernel_build
def test_a_planted_mistake_is_a_broken_probe() -> None:
    text = "#include <linux/fs.h>\nint probe = nothing_like_it;\n"
    table = (Feature("planted", "x", compile=text, absent="no member named"),)
    store = KernelStore(progress=Progress(), table=lambda: table)
    (finding,) = store.features(store.build(KernelRequest()))
    assert finding.presence is Presence.BROKEN
    assert "'nothing_like_it' undeclared" in finding.why
