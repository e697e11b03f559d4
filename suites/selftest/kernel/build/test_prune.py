"""The limit of the cache: the kernel that was not used for longest goes, never one in use."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from errpath.errors import UsageError
from errpath.kernel import KernelRequest
from errpath.kernel.build.prune import cache_limit
from suites.selftest.kernel.fake_tree import fake_store, make_tree, write_fragment

# Uses a kernel until its standard input ends.
USER = """
import sys
from pathlib import Path
from errpath.kernel import KernelRequest
from suites.selftest.kernel.fake_tree import fake_store
store = fake_store(Path(sys.argv[1]))
print(store.build(KernelRequest(spec=sys.argv[2], fragments=(Path(sys.argv[3]),))).key, flush=True)
sys.stdin.read()
"""


def _build(tmp_path: Path, name: str) -> str:
    """Build a kernel that differs from others by its name, in a store of its own; the key."""
    tree = tmp_path / name
    if not tree.exists():
        make_tree(tree)
        (tree / "init/main.c").write_text(f"int {name};\n")
    request = KernelRequest(spec=str(tree), fragments=(write_fragment(tmp_path),))
    return fake_store(tmp_path / "cache").build(request).key


def _keys(tmp_path: Path) -> set[str]:
    return {kernel.key for kernel in fake_store(tmp_path / "cache").inventory.list()}


def _used_at(tmp_path: Path, key: str, when: int) -> None:
    os.utime(tmp_path / "cache/used" / key, (when, when))


def test_the_one_not_used_for_longest_goes_first(tmp_path: Path) -> None:
    one, two, three = (_build(tmp_path, name) for name in ("one", "two", "three"))
    for when, key in enumerate((two, three, one), 1000):
        _used_at(tmp_path, key, when)
    store = fake_store(tmp_path / "cache")
    limit = store.inventory.size() - 1
    done = store.prune(limit)
    assert [kernel.key for kernel in done.removed] == [two]
    assert done.after == store.inventory.size() <= limit < done.before
    assert _keys(tmp_path) == {one, three}
    # To ask for a kernel is to use it.
    _build(tmp_path, "three")
    assert [kernel.key for kernel in store.prune(store.inventory.size() - 1).removed] == [one]


def test_nothing_goes_below_the_limit(tmp_path: Path) -> None:
    _build(tmp_path, "one")
    store = fake_store(tmp_path / "cache")
    done = store.prune(store.inventory.size())
    assert done.removed == ()
    assert done.before == done.after


def test_a_kernel_in_use_stays_whatever_its_size(tmp_path: Path) -> None:
    key = _build(tmp_path, "one")
    fragment = write_fragment(tmp_path)
    paths = map(str, (tmp_path / "cache", tmp_path / "one", fragment))
    words = [sys.executable, "-c", USER, *paths]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as user:
        assert user.stdout is not None
        assert user.stdout.readline().decode().strip() == key
        done = fake_store(tmp_path / "cache").prune(1)
        assert done.removed == ()
        assert [kernel.key for kernel in done.in_use] == [key]
        user.communicate(b"")
    assert [kernel.key for kernel in fake_store(tmp_path / "cache").prune(1).removed] == [key]
    assert _keys(tmp_path) == set()


def test_the_limit_is_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ERRPATH_CACHE_LIMIT", raising=False)
    assert cache_limit() == 20 * 2**30
    monkeypatch.setenv("ERRPATH_CACHE_LIMIT", "0.5")
    assert cache_limit() == 2**29


@pytest.mark.parametrize("text", ["much", "0", "-1", "inf", "nan"])
def test_a_limit_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("ERRPATH_CACHE_LIMIT", text)
    with pytest.raises(UsageError, match=r"ERRPATH_CACHE_LIMIT: got .*; expected a size in GiB"):
        cache_limit()
