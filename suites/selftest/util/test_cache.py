"""Files of the cache are whole or absent; scratch directories do not outlive their users."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from errpath.errors import InfrastructureError
from errpath.util import cache


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "cache"
    monkeypatch.setenv("ERRPATH_CACHE", str(path))
    return path


def test_root_from_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert cache.cache_root() == tmp_path / "cache"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ERRPATH_CACHE", "here")
    assert cache.cache_root() == tmp_path / "here"
    monkeypatch.delenv("ERRPATH_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache.cache_root() == tmp_path / "xdg" / "errpath"


def test_a_file_is_stored_once(root: Path) -> None:
    path = root / "a" / "b"
    assert cache.store_bytes(path, b"one", mode=0o755) == path
    assert path.read_bytes() == b"one"
    assert path.stat().st_mode & 0o777 == 0o755
    before = path.stat()
    cache.store_bytes(path, b"two")
    assert path.read_bytes() == b"one"
    assert path.stat().st_ino == before.st_ino


@contextmanager
def _small_disk(at: Path) -> Iterator[Path]:
    """A file system with room for 64 KiB."""
    at.mkdir(parents=True)
    argv = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(at)]
    if os.geteuid() != 0 or subprocess.run(argv, capture_output=True, check=False).returncode:
        pytest.skip("mounting a tmpfs needs root and the right to mount")
    try:
        yield at
    finally:
        subprocess.run(["umount", str(at)], check=True)


def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path: Path) -> None:
    with _small_disk(tmp_path / "disk") as disk:
        path = disk / "file"
        with pytest.raises(
            InfrastructureError, match=rf"^{path}: No space left on device; expected room"
        ):
            cache.store_bytes(path, b"x" * 1_000_000)
        assert list(disk.iterdir()) == []


def test_a_cache_that_cannot_be_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("ERRPATH_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(InfrastructureError, match="Not a directory; expected room"):
        cache.store_bytes(cache.cache_root() / "x", b"")
    with (
        pytest.raises(InfrastructureError, match="Not a directory; expected room"),
        cache.scratch_directory(),
    ):
        pass


def test_scratch_goes_with_its_step(root: Path) -> None:
    def work() -> None:
        with cache.scratch_directory() as path:
            (path / "deep").mkdir()
            (path / "deep" / "file").write_text("x")
            assert list((root / "scratch").iterdir()) == [path]
            raise KeyError

    with pytest.raises(KeyError):
        work()
    assert list((root / "scratch").iterdir()) == []


_HOLDER = """
import sys
from errpath.util.cache import scratch_directory
with scratch_directory() as path:
    (path / "file").write_text("x")
    print(path, flush=True)
    sys.stdin.read()
"""


def test_others_can_enter_what_is_reachable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    with cache.scratch_directory(reachable=True) as path:
        assert path.is_relative_to(tmp_path)
        for one in (path, path.parent):
            assert one.stat().st_mode & 0o777 == 0o711
    assert not path.exists()


def test_what_a_killed_process_left_goes_with_the_next(root: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _HOLDER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        try:
            assert child.stdout is not None
            left = Path(child.stdout.readline().strip())
            with cache.scratch_directory() as mine:
                # In use by another: not ours to remove.
                assert (left / "file").exists()
                assert mine != left
        finally:
            child.send_signal(signal.SIGKILL)
        child.wait()
        assert left.exists()
        with cache.scratch_directory() as mine:
            assert not left.exists()
            assert mine.exists()


def test_makers_do_not_remove_each_others(root: Path) -> None:
    """A directory is somebody's from the moment it can be seen."""
    lost: list[Path] = []
    start = threading.Barrier(8)

    def work() -> None:
        start.wait()
        for _ in range(40):
            with cache.scratch_directory() as path:
                try:
                    (path / "file").write_text("x")
                except FileNotFoundError:
                    lost.append(path)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert lost == []
    assert list((root / "scratch").iterdir()) == []
