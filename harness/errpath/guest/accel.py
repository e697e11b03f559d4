"""Which accelerator works here: KVM is proven by running something tiny, once per machine.

A `/dev/kvm` that opens proves nothing: a virtual machine may assert or hang at its first exit, or
run with every exit emulated, many times slower than TCG. The proof is a boot sector of seven bytes
that leaves through isa-debug-exit, under a deadline, no slower than a few times what TCG takes.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import platform
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from errpath.errors import UsageError
from errpath.guest.qemu import QEMU
from errpath.util import process
from errpath.util.cache import cache_root, store_bytes
from errpath.util.deadline import Deadline

__all__ = ["ACCELS", "KvmVerdict", "choose", "kvm_verdict", "probe_argv", "probe_sector"]

ACCELS = ("auto", "kvm", "tcg")
# Seconds in which the probe must have ended; a working KVM needs less than one.
PROBE_SECONDS = 8.0
# KVM is slower than TCG if the probe takes this many times TCG's time, and more than this many
# seconds. A KVM without hardware support (a guest of a guest) took 18 times as long.
_SLOWER = 3.0
_SLOW_SECONDS = 0.5
KVM = Path("/dev/kvm")
# isa-debug-exit ends QEMU with (value << 1) | 1.
_VALUE = 0x10
_STATUS = (_VALUE << 1) | 1


@dataclass(frozen=True)
class KvmVerdict:
    """What the probe found."""

    works: bool
    # One line: why not, or how it was proven.
    reason: str


def probe_sector() -> bytes:
    """A boot sector: `mov al, 0x10; out 0xf4, al; hlt`, then the BIOS signature."""
    code = bytes([0xB0, _VALUE, 0xE6, 0xF4, 0xF4, 0xEB, 0xFD])
    return code + bytes(510 - len(code)) + b"\x55\xaa"


def probe_argv(accel: str, image: Path) -> tuple[str, ...]:
    """QEMU's argv that boots the sector in `image`."""
    return (
        QEMU,
        *("-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"),
        *("-machine", "pc", "-accel", accel, "-m", "16M"),
        *("-cpu", "host" if accel == "kvm" else "max"),
        *("-drive", f"file={image},format=raw,if=ide,snapshot=on"),
        *("-device", "isa-debug-exit,iobase=0xf4,iosize=1"),
    )


def probe(accel: str, seconds: float = PROBE_SECONDS) -> KvmVerdict:
    """Boot the sector under `accel`."""
    image = store_bytes(cache_root() / "kvm" / "boot-sector.img", probe_sector())
    deadline = Deadline.after(seconds, f"a boot sector under {accel}")
    try:
        done = process.run(probe_argv(accel, image), check=False, deadline=deadline)
    except process.ProgramError as error:
        return KvmVerdict(False, str(error))
    if done.returncode == _STATUS:
        return KvmVerdict(True, "a boot sector ran")
    printed = (done.stderr or done.stdout).decode(errors="replace").strip().splitlines()
    return KvmVerdict(False, f"status {done.returncode}: {printed[0] if printed else 'no output'}")


def kvm_verdict(
    *, again: bool = False, device: Path = KVM, seconds: float = PROBE_SECONDS
) -> KvmVerdict:
    """Whether KVM works on this machine, from memory unless `again`.

    Remembered per machine, host kernel and QEMU: any of them may mend or break it. A probe that
    takes more than `seconds` hangs.
    """
    if not device.exists():
        return KvmVerdict(False, f"no {device}")
    if not os.access(device, os.R_OK | os.W_OK):
        return KvmVerdict(False, f"{device}: no permission (group kvm)")
    memory = cache_root() / "kvm" / f"{_machine(device)}.json"
    if not again:
        try:
            return KvmVerdict(**json.loads(memory.read_text()))
        except (OSError, ValueError, TypeError):
            pass
    verdict = _compared(functools.partial(probe, seconds=seconds))
    memory.parent.mkdir(parents=True, exist_ok=True)
    memory.write_text(json.dumps(asdict(verdict)))
    return verdict


def _compared(run: Callable[[str], KvmVerdict]) -> KvmVerdict:
    """The verdict on KVM, whose probe must not take much longer than TCG's beside it."""
    began = time.monotonic()
    verdict = run("kvm")
    seconds = time.monotonic() - began
    if not verdict.works or seconds <= _SLOW_SECONDS:
        return verdict
    began = time.monotonic()
    # Without TCG there is no choice, nor anything to compare with.
    if not run("tcg").works:
        return verdict
    tcg = time.monotonic() - began
    if seconds > _SLOWER * tcg:
        reason = f"slower than TCG: {seconds:.2f} s for a boot sector, TCG {tcg:.2f} s"
        return KvmVerdict(False, reason)
    return verdict


def choose(accel: str, *, device: Path = KVM) -> str:
    """ "kvm" or "tcg" for what the user asked.

    Raises:
        UsageError: `accel` is unknown, or "kvm" was asked for and does not work.
    """
    if accel not in ACCELS:
        raise UsageError(f"accel: got {accel!r}; expected one of {', '.join(ACCELS)}")
    if accel == "tcg":
        return "tcg"
    verdict = kvm_verdict(device=device)
    if verdict.works:
        return "kvm"
    if accel == "kvm":
        raise UsageError(f"accel: kvm does not work here ({verdict.reason}); expected tcg or auto")
    return "tcg"


def _machine(device: Path) -> str:
    words = [platform.node(), platform.release(), str(device.stat().st_rdev)]
    for path in (Path("/etc/machine-id"), Path("/proc/sys/kernel/random/boot_id")):
        words.append(path.read_text().strip() if path.exists() else "")
    qemu = process.find_program(QEMU)
    words += [qemu, str(Path(qemu).stat().st_mtime_ns)]
    return hashlib.sha256("\n".join(words).encode()).hexdigest()[:32]
