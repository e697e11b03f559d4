"""Room on a disk is asked for before it is needed."""

from __future__ import annotations

import pytest

from errpath.errors import InfrastructureError
from errpath.util.room import need_room
from suites.selftest.disk import Disk

_MIB = 2**20


def test_a_disk_without_room_is_named(disk: Disk) -> None:
    place = disk.path / "not" / "there" / "yet"
    need_room(place, _MIB // 2, "a little")
    with pytest.raises(InfrastructureError) as caught:
        need_room(place, 3 * _MIB - 5, "building a kernel")
    text = str(caught.value)
    assert text.startswith(f"{place}: ")
    assert "building a kernel takes about 3 MiB" in text
    assert "\n" not in text
    disk.resize("8M")
    need_room(place, 3 * _MIB, "building a kernel")
