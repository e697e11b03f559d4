"""Locks between processes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from errpath.util.locks import lock_descriptor, open_to_lock, try_lock


def test_a_lock_is_held_until_its_descriptor_is_closed(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    first = try_lock(path)
    assert first is not None
    assert try_lock(path) is None
    os.close(first)
    again = try_lock(path)
    assert again is not None
    os.close(again)


def test_shared_locks_keep_an_exclusive_one_out(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    readers = [open_to_lock(path) for _ in range(2)]
    assert all(lock_descriptor(reader, shared=True, wait=False) for reader in readers)
    assert try_lock(path) is None
    for reader in readers:
        os.close(reader)
    writer = try_lock(path)
    late = open_to_lock(path)
    assert writer is not None
    assert not lock_descriptor(late, shared=True, wait=False)
    os.close(late)
    os.close(writer)


def test_what_is_only_locked_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        try_lock(tmp_path / "missing", create=False)
    assert list(tmp_path.iterdir()) == []
    directory = try_lock(tmp_path, create=False)
    assert directory is not None
    assert try_lock(tmp_path, create=False) is None
    os.close(directory)
