"""A report's own kernel configuration → what a kernel for a guest takes of it. Pure.

Its lines are wishes: a kernel may drop them, and that is reported. What errpath needs lies over
them: its guests' devices, kmemleak, error injection, filesystems as modules.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from errpath.errors import UsageError
from errpath.kernel.build.kconfig import Requested, parse_config

__all__ = ["Difference", "differences", "estimate", "report_fragment", "summary"]

_LOST = "the report's configuration"
# What Kconfig finds out by itself of the compiler and the architecture.
_COMPUTED = re.compile(
    r"CONFIG_(?:CC_|GCC|CLANG|LD_|LLD|AS_|PAHOLE|RUSTC?_|BINDGEN|HAVE_|ARCH_|TOOLS_|HAS_|CAN_|"
    r"X86_64$|64BIT$|X86$|INSTRUCTION_DECODER$|GENERIC_|DEFAULT_|VERSION_|BUILD_SALT|LOCALVERSION|"
    r"INITRAMFS_|SYSTEM_TRUSTED|MODULE_SIG_KEY|UNUSED_KSYMS|EFI_SBAT)"
)
# What a guest and its command line are, which are errpath's: a panic ends the report.
_GUESTS = re.compile(
    r"CONFIG_(?:CMDLINE\w*|RANDOMIZE_\w+|RELOCATABLE|PANIC_\w+|BOOTPARAM_\w+PANIC\w*|MODULE_SIG\w*|"
    r"MODULE_COMPRESS\w*|SECURITY_LOCKDOWN\w*|LOCK_DOWN_\w+|SL[AO]B|DEBUG_INFO\w*|KEXEC\w*)"
)
# The lines that matter to a bug of a filesystem: filesystems, memory, checks.
_LEAN = re.compile(
    r"CONFIG_(?:\w+_FS(?:_\w+)?|FS_\w+|JBD2\w*|JFS_\w+|NTFS3?_\w+|NILFS2_\w+|SQUASHFS_\w+|EXT[234]_\w+|"
    r"QUOTA\w*|QFMT_\w+|NLS_\w+|FILE_LOCKING|NETFS_\w+|FSCACHE\w*|UNICODE\w*|BLK_DEV_LOOP\w*|"
    r"BLK_DEV_WRITE_MOUNTED|BUFFER_HEAD|TMPFS\w*|SHMEM|"
    r"SL[AU]B\w*|MEMCG\w*|SWAP|Z(?:SWAP|SMALLOC|RAM)\w*|COMPACTION|MIGRATION|KSM|"
    r"TRANSPARENT_HUGEPAGE\w*|PAGE_(?:OWNER|POISONING|TABLE_CHECK|EXTENSION)\w*|"
    r"INIT_ON_\w+|INIT_STACK_\w+|"
    r"K[ACM]SAN\w*|KFENCE\w*|UBSAN\w*|DEBUG_(?!INFO)\w+|PROVE_\w+|LOCKDEP\w*|LOCK_STAT|"
    r"DETECT_HUNG_TASK|SOFTLOCKUP_DETECTOR|HARDLOCKUP_DETECTOR|WQ_WATCHDOG|"
    r"DEFAULT_HUNG_TASK_TIMEOUT|REF_TRACKER|FORTIFY_SOURCE|HARDENED_USERCOPY|"
    r"LIST_HARDENED|BUG_ON_DATA_CORRUPTION|PREEMPT\w*|HZ\w*|SMP|NR_CPUS)$"
)
# Options that are on, of a guest's own kernel, and what compiling it took of a processor. A kernel
# with KASAN took twice as long.
_OPTIONS, _MINUTES = 660, 13.0
_KASAN = 2.0


@dataclass(frozen=True)
class Difference:
    """An option that is not as the report has it."""

    # With CONFIG_.
    symbol: str
    reported: str
    # "n" where the kernel has no such option as well.
    now: str
    # Why, such as "errpath needs it (base.config:3)".
    why: str

    def __str__(self) -> str:
        name = self.symbol.removeprefix("CONFIG_")
        return f"{name}: {self.reported} in the report, {self.now} here: {self.why}"


def report_fragment(text: str, name: str, *, lean: bool) -> str:
    """A fragment with a report's lines, all of them wishes; with `lean` those on filesystems,
    memory and checks alone. Modules are left out: a guest would not load them.

    Raises:
        UsageError: there is no configuration in it.
    """
    values = parse_config(text)
    if not values:
        raise UsageError(
            f"--config {name}: no line of a configuration; expected a kernel's .config"
        )
    lines = [f"# wish: {_LOST}"]
    lines += [
        f"# {symbol} is not set" if value == "n" else f"{symbol}={value}"
        for symbol, value in values.items()
        if value != "m" and not _left_out(symbol, lean=lean)
    ]
    return "\n".join(lines) + "\n"


def _left_out(symbol: str, *, lean: bool) -> bool:
    return bool(
        _COMPUTED.match(symbol)
        or _GUESTS.fullmatch(symbol)
        or (lean and not _LEAN.fullmatch(symbol))
    )


def differences(
    reported: Mapping[str, str], final: Mapping[str, str], requested: Requested, *, lean: bool
) -> Iterator[Difference]:
    """Where a kernel is configured otherwise than the report's, and why. What `lean` leaves out is
    none, and neither is what Kconfig finds out by itself."""
    for symbol, value in reported.items():
        now = final.get(symbol, "n")
        if now == value or _COMPUTED.match(symbol) or (lean and not _LEAN.fullmatch(symbol)):
            continue
        origin = requested.origins.get(symbol, "")
        if requested.values.get(symbol) == now and requested.wishes.get(symbol) != _LOST:
            why = f"errpath's own ({origin})"
        elif _GUESTS.fullmatch(symbol):
            why = "of the guest, which is errpath's"
        elif value == "m":
            why = "no module of it is loaded in a guest"
        elif symbol not in final:
            why = "what it depends on is not there, or this kernel has no such option"
        else:
            why = "another option asks for it"
        yield Difference(symbol, value, now, why)
    for symbol, now in final.items():
        if symbol in reported or now == "n" or symbol not in requested.values:
            continue
        if requested.values[symbol] == now:
            origin = requested.origins[symbol]
            yield Difference(symbol, "n", now, f"errpath's own ({origin})")


def estimate(fragment: str, processors: int, *, whole: bool) -> float:
    """About how many minutes a kernel with these lines takes to compile; `whole` for a report's
    whole configuration, else beside the guest's own."""
    values = parse_config(fragment)
    on = sum(value == "y" for value in values.values())
    options = on if whole else max(_OPTIONS, on)
    slower = _KASAN if values.get("CONFIG_KASAN") == "y" else 1.0
    return _MINUTES * max(options / _OPTIONS, 1.0) * slower / max(processors, 1)


def summary(found: Sequence[Difference], limit: int) -> list[str]:
    """Differences in lines: errpath's own and dropped ones, and how many more there are."""
    lines = [str(one) for one in found[:limit]]
    more = len(found) - len(lines)
    return [*lines, *([f"and {more} more"] if more > 0 else [])]
