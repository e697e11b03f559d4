"""Guest definitions: every shipped one loads, and a wrong one says what is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from errpath.errors import DefinitionError, UsageError
from errpath.guest.definition import load_guest
from errpath.util.resources import GUESTS

_SHIPPED = sorted(path.stem for path in GUESTS.glob("*.yaml"))
_GOOD = """\
description: x
machine: microvm
virtio: mmio
cpu: max
memory_mib: 128
vcpus: 1
kconfig: [base]
boot_args: [console=ttyS0]
"""


def test_something_is_shipped() -> None:
    assert "microvm" in _SHIPPED


@pytest.mark.parametrize("name", _SHIPPED)
def test_every_shipped_guest_loads(name: str) -> None:
    guest = load_guest(name)
    assert guest.name == name
    assert all(path.is_file() for path in guest.fragments)
    # Without these no verdict of this guest could be believed.
    # U for kmemleak, F, Z and P for SLUB's own checks.
    (checks,) = (word for word in guest.boot_args if word.startswith("slab_debug="))
    assert set("FUZP") <= set(checks)
    assert "console=ttyS0" in guest.boot_args


def test_an_unknown_guest_lists_the_known() -> None:
    with pytest.raises(UsageError) as caught:
        load_guest("nothing")
    assert str(caught.value) == (
        f"guest nothing: no file {GUESTS}/nothing.yaml; expected one of: {', '.join(_SHIPPED)}"
    )


def test_a_guest_of_the_users_own(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(_GOOD)
    guest = load_guest(str(path))
    assert (guest.name, guest.memory_mib, guest.boot_args) == ("mine", 128, ("console=ttyS0",))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("virtio: mmio", "virtio: usb"), "virtio: got 'usb'; expected mmio or pci"),
        (("vcpus: 1", "vcpus: 1\nslowness: 0"), "slowness: got 0.0; expected at least 1"),
        (("memory_mib: 128", "memory_mib: 16"), "memory_mib: got 16; expected at least 64"),
        (("vcpus: 1", "vcpus: 0"), "vcpus: got 0; expected at least 1"),
        (("kconfig: [base]", "kconfig: [bsae]"), "kconfig bsae: no file "),
        (("cpu: max\n", ""), "has no key 'cpu'; expected a string"),
        (("vcpus: 1", "vcpu: 1"), "unknown key 'vcpu'; expected one of: description, machine"),
        (("vcpus: 1", "vcpus: 1\nname: x"), "unknown key 'name'"),
    ],
)
def test_what_a_guest_cannot_be(tmp_path: Path, change: tuple[str, str], message: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(_GOOD.replace(*change))
    with pytest.raises(UsageError) as caught:
        load_guest(str(path))
    assert str(caught.value).startswith(f"{path}:")
    assert message in str(caught.value)
    assert isinstance(caught.value, DefinitionError) or "kconfig" in message
