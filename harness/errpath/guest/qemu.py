"""QEMU's argv, made from a guest definition. Pure: nothing is run here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from errpath.guest.definition import GuestDefinition

__all__ = ["AGENT_PORT", "QEMU", "Launch", "qemu_argv"]

QEMU = "qemu-system-x86_64"
# Name of the virtio-serial port that the agent looks for (guests/agent/channel.c).
AGENT_PORT = "errpath.agent"


@dataclass(frozen=True)
class Launch:
    """What one start of a guest adds to its definition."""

    kernel: Path
    initramfs: Path
    # "kvm" or "tcg".
    accel: str
    # Descriptors that QEMU inherits: connected sockets of the console and of the agent's channel.
    console_fd: int
    agent_fd: int
    # Kernel command line words after the definition's own.
    append: tuple[str, ...] = ()
    # Open QEMU's gdb stub on this TCP port of the loopback address.
    gdb_port: int | None = None
    # Inherited descriptor of the file that is the guest's RAM; None for RAM of QEMU's own.
    ram_fd: int | None = None
    # Inherited socket of QEMU's monitor.
    monitor_fd: int | None = None
    # Inherited descriptors of the definition's disks, in their order.
    disk_fds: tuple[int, ...] = ()
    # Do not boot: a frozen guest's state will be loaded through the monitor.
    incoming: bool = False


def qemu_argv(guest: GuestDefinition, launch: Launch) -> tuple[str, ...]:
    """The argv that starts `guest`.

    No socket or image file is named: what QEMU needs comes as inherited descriptors, so that
    nothing is left in the file system however the run ends.
    """
    bus = "device" if guest.virtio == "mmio" else "pci"
    argv = [
        QEMU,
        # A machine of ours only: no default devices, no user's configuration, no window.
        *("-nodefaults", "-no-user-config", "-display", "none"),
        # A guest that resets has ended; the host decides what follows.
        "-no-reboot",
        *("-machine", guest.machine + (",memory-backend=ram" if launch.ram_fd is not None else "")),
        *("-accel", launch.accel),
        *("-cpu", "host" if launch.accel == "kvm" else guest.cpu),
        *("-m", f"{guest.memory_mib}M"),
        *("-smp", str(guest.vcpus)),
        *("-kernel", str(launch.kernel)),
        *("-initrd", str(launch.initramfs)),
        *("-append", " ".join((*guest.boot_args, *launch.append))),
        # Console: the first serial port.
        *("-chardev", f"socket,id=console,fd={launch.console_fd}"),
        *("-serial", "chardev:console"),
        # The agent's channel.
        *("-device", f"virtio-serial-{bus},id=agentbus"),
        *("-chardev", f"socket,id=agent,fd={launch.agent_fd}"),
        *("-device", f"virtserialport,bus=agentbus.0,chardev=agent,name={AGENT_PORT}"),
        *guest.devices,
    ]
    for disk, descriptor in zip(guest.disks, launch.disk_fds, strict=True):
        argv += [
            "-drive",
            f"if=none,id={disk.serial},format=raw,file=/proc/self/fd/{descriptor},"
            # Clones of one guest read the same file.
            f"file.locking=off,readonly={'on' if disk.readonly else 'off'}",
            *("-device", f"virtio-blk-{bus},drive={disk.serial},serial={disk.serial}"),
        ]
    if launch.ram_fd is not None:
        argv += [
            "-object",
            f"memory-backend-file,id=ram,size={guest.memory_mib}M,"
            f"mem-path=/proc/self/fd/{launch.ram_fd},share=on",
        ]
    if launch.monitor_fd is not None:
        argv += [
            *("-chardev", f"socket,id=monitor,fd={launch.monitor_fd}"),
            *("-mon", "chardev=monitor,mode=control"),
        ]
    if launch.incoming:
        argv += ["-incoming", "defer"]
    if launch.gdb_port is not None:
        argv += ["-gdb", f"tcp:127.0.0.1:{launch.gdb_port}"]
    return tuple(argv)
