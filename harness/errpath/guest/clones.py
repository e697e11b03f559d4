"""Clones of one machine: frozen when first asked for, on two levels.

The lower level is a guest that has only booted. What is frozen for cases is made from a clone of
it, so that a changed module costs no boot.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from errpath.guest.agent import build_initramfs
from errpath.guest.definition import GuestDefinition
from errpath.guest.machine import Machine
from errpath.guest.qmp import CloneError
from errpath.guest.ram import GuestRam
from errpath.guest.snapshot import Frozen, SnapshotStore, qemu_identity, snapshot_key
from errpath.guest.start import resume

__all__ = ["Added", "Clones", "MachineSpec"]


# Words for the command line of one clone's QEMU, from the clone's RAM.
Added = Callable[[GuestRam], Sequence[str]]


@dataclass(frozen=True)
class MachineSpec:
    """Everything that a boot depends on."""

    definition: GuestDefinition
    kernel: Path
    # Same key, same kernel image.
    kernel_key: str
    # "kvm" or "tcg".
    accel: str
    append: tuple[str, ...] = ()

    @property
    def identity(self) -> tuple[object, ...]:
        """The parts of a snapshot's key that belong to the machine."""
        return (
            self.kernel_key,
            self.definition,
            self.append,
            build_initramfs().name,
            qemu_identity(),
            self.accel,
            _host_processor() if self.accel == "kvm" else "",
        )


class Clones:
    """Frozen guests of one machine, and clones of them. `close` lets go of the former."""

    def __init__(
        self,
        spec: MachineSpec,
        snapshots: SnapshotStore,
        *,
        boot: Callable[[], Machine],
        artefacts: Callable[[], Path],
        resume: Callable[..., Machine] = resume,
        identity: tuple[object, ...] | None = None,
    ) -> None:
        """`boot` gives a guest that has only booted, `artefacts` a new guest's directory, `resume`
        a clone. `identity` is everything that a boot depends on, as `spec` has it unless given."""
        self._spec = spec
        self._identity = spec.identity if identity is None else identity
        self._snapshots = snapshots
        self._boot = boot
        self._resume_machine = resume
        self._artefacts = artefacts
        self._frozen: dict[str, Frozen] = {}
        # Two threads must not freeze the same guest.
        self._lock = threading.RLock()

    def booted(self) -> tuple[Machine, Path]:
        """A clone of a guest with an agent and nothing more, and its artefacts' directory.

        Raises:
            CloneError: this machine cannot be frozen or cloned.
        """
        machine, artefacts, _ = self._clone(
            snapshot_key("base", *self._identity), "base", self._plain
        )
        return machine, artefacts

    def _plain(self) -> tuple[Machine, Mapping[str, Any]]:
        return self._boot(), {}

    def prepared(
        self,
        contents: tuple[object, ...],
        make: Callable[[], tuple[Machine, Mapping[str, Any]]],
        *,
        added: Added | None = None,
    ) -> tuple[Machine, Path, Mapping[str, Any]]:
        """A clone of the guest with `contents`, its artefacts' directory, and its maker's notes;
        `make` prepares that guest when it is needed for the first time. `added` is for this clone's
        QEMU alone.

        Raises:
            CloneError: this machine cannot be frozen or cloned.
        """
        return self._clone(snapshot_key(*self._identity, *contents), "cases", make, added)

    def _clone(
        self,
        key: str,
        kind: str,
        make: Callable[[], tuple[Machine, Mapping[str, Any]]],
        added: Added | None = None,
    ) -> tuple[Machine, Path, Mapping[str, Any]]:
        frozen = self._get(key, kind, make)
        try:
            return (*self._resume(frozen, added), frozen.notes)
        except CloneError:
            # Whole, but of no use to this QEMU: a new one gets one chance.
            with self._lock:
                if self._frozen.get(key) is frozen:
                    self._frozen.pop(key).close()
                    self._snapshots.forget(key)
        frozen = self._get(key, kind, make)
        return (*self._resume(frozen, added), frozen.notes)

    def _get(
        self, key: str, kind: str, make: Callable[[], tuple[Machine, Mapping[str, Any]]]
    ) -> Frozen:
        with self._lock:
            if key not in self._frozen:
                self._frozen[key] = self._snapshots.get(key, kind, make)
            return self._frozen[key]

    def _resume(self, frozen: Frozen, added: Added | None) -> tuple[Machine, Path]:
        artefacts = self._artefacts()
        machine = self._resume_machine(
            self._spec.definition,
            self._spec.kernel,
            artefacts=artefacts,
            ram=GuestRam(frozen.ram_size),
            fill=frozen.fill,
            state_fd=frozen.state_fd,
            release=frozen.release,
            images=frozen.images,
            accel=self._spec.accel,
            append=self._spec.append,
            added=added or _nothing,
        )
        return machine, artefacts

    def close(self) -> None:
        """Let go of the frozen guests; their clones live on."""
        while self._frozen:
            self._frozen.popitem()[1].close()


def _nothing(ram: GuestRam) -> Sequence[str]:
    return ()


def _host_processor() -> str:
    """What KVM's guests see of this machine's processor."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return "\n".join(sorted({line for line in lines if line.startswith(("model name", "flags"))}))
