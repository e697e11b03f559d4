"""What unloading a module says where the kernel does not survive it."""

from __future__ import annotations

import errno
from collections.abc import Callable
from dataclasses import replace

import pytest

from errpath.guest.channel import AgentError
from errpath.oracles.modules import PLANT
from errpath.runner.testbed import Testbed
from errpath.runner.unloading import unload_all

pytestmark = [pytest.mark.qemu, pytest.mark.xdist_group("guests")]

_MODULE = f"errpath_{PLANT.name}"
_FILE = f"/sys/kernel/debug/{_MODULE}"
# Half of what a verb may take that is never answered.
_SOON = 30.0


def test_a_reference_that_was_dropped_twice_is_found_at_once(
    make_testbed: Callable[..., Testbed],
) -> None:
    """A BUG in delete_module(2), whose task keeps the lock of all modules."""
    testbed = make_testbed(plants=(PLANT.name,))
    prepared = testbed.guests.prepare(("minix",), ())
    try:
        prepared.guest.write_file(_FILE, "drop")
        prepared.guest.end_after(_SOON)
        left = unload_all(replace(prepared, modules={"minix": ("minix", _MODULE)}))
    finally:
        prepared.guest.close()
        testbed.close()
    assert any("delete_module" in failure.title for failure in left), left
    assert left[-1].title == "unloading took the guest down"


def test_a_module_that_is_not_there_is_told(make_testbed: Callable[..., Testbed]) -> None:
    testbed = make_testbed()
    prepared = testbed.guests.prepare(("minix",), ())
    try:
        with pytest.raises(AgentError, match="delete_module") as told:
            prepared.guest.unload_module("errpath_none")
    finally:
        prepared.guest.close()
        testbed.close()
    assert told.value.errno == errno.ENOENT
