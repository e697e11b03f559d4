"""Guest definitions: one YAML file per machine under `guests/`."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from errpath.errors import UsageError
from errpath.guest.disk import Disk
from errpath.util import yamlfile
from errpath.util.resources import GUESTS

__all__ = ["GuestDefinition", "load_guest"]


@dataclass(frozen=True)
class GuestDefinition:
    """A machine that QEMU makes. The name is the file's."""

    # One line for lists.
    description: str
    # QEMU's -machine.
    machine: str
    # How virtio devices are attached: "mmio" (microvm) or "pci".
    virtio: str
    # QEMU's -cpu under TCG; KVM always gives the host's.
    cpu: str
    # Guest RAM, MiB.
    memory_mib: int
    vcpus: int
    # Kernel configuration fragments, names of guests/kconfig/*.config, merged in this order.
    kconfig: tuple[str, ...]
    # Kernel command line, word by word.
    boot_args: tuple[str, ...]
    # Seconds of wall time that a boot may take under TCG.
    boot_seconds: int = 60
    # So many times as long as in the default guest may a case take here.
    slowness: float = 1.0
    # Whether it lives on a Debian root (harness/errpath/beside); without one, in its initramfs.
    root: bool = False
    # Extra QEMU arguments, for devices.
    devices: tuple[str, ...] = ()
    name: str = field(default="", init=False)
    # Given by who makes the guest, not by its file.
    disks: tuple[Disk, ...] = field(default=(), init=False)

    def __post_init__(self) -> None:
        if self.virtio not in ("mmio", "pci"):
            raise ValueError(f"virtio: got {self.virtio!r}; expected mmio or pci")
        if self.memory_mib < 64:
            raise ValueError(f"memory_mib: got {self.memory_mib}; expected at least 64")
        if self.vcpus < 1:
            raise ValueError(f"vcpus: got {self.vcpus}; expected at least 1")
        if self.slowness < 1:
            raise ValueError(f"slowness: got {self.slowness}; expected at least 1")

    @property
    def fragments(self) -> tuple[Path, ...]:
        """Paths of the kernel configuration fragments."""
        return tuple(GUESTS / "kconfig" / f"{name}.config" for name in self.kconfig)

    def with_boot_args(self, arguments: tuple[str, ...]) -> GuestDefinition:
        """The same machine with another kernel command line."""
        return self._keeping(replace(self, boot_args=arguments), self.disks)

    def with_disks(self, disks: tuple[Disk, ...]) -> GuestDefinition:
        """The same machine with other disks."""
        return self._keeping(replace(self), disks)

    def _keeping(self, guest: GuestDefinition, disks: tuple[Disk, ...]) -> GuestDefinition:
        object.__setattr__(guest, "name", self.name)
        object.__setattr__(guest, "disks", disks)
        return guest


def load_guest(name: str) -> GuestDefinition:
    """The guest `guests/NAME.yaml`, or of the path `name` where it ends in `.yaml`.

    Raises:
        UsageError: there is no such guest; DefinitionError: its file is wrong.
    """
    path = Path(name) if name.endswith(".yaml") else GUESTS / f"{name}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(file.stem for file in GUESTS.glob("*.yaml")))
        raise UsageError(f"guest {name}: no file {path}; expected one of: {known}")
    guest = yamlfile.load(path, GuestDefinition)
    for fragment in guest.fragments:
        if not fragment.is_file():
            raise UsageError(f"{path}: kconfig {fragment.stem}: no file {fragment}")
    object.__setattr__(guest, "name", path.stem)
    return guest
