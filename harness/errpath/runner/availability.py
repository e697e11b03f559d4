"""What a kernel lacks of what a case needs.

A case of a filesystem or of a point that the kernel does not have is left out (SKIP); where the
kernel has it and it cannot be used, the case has no verdict (ERROR). Either way the reason is
given, and no other case is concerned.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from errpath.cases.case import MountCase
from errpath.errors import AbsentError, BuildError, ErrpathError
from errpath.filesystems import PLACES, Filesystem, load_filesystem
from errpath.kernel import BuiltKernel, BuiltModule
from errpath.kernel.build.kconfig import parse_config
from errpath.kernel.build.modules import missing_symbols
from errpath.kernel.features.table import load_table
from errpath.runner.verdict import Verdict, infrastructure_error, left_out

__all__ = ["check_configured", "check_symbols", "known_points", "lacking", "without_filesystem"]


def check_configured(kernel: BuiltKernel, filesystem: Filesystem) -> None:
    """See that a kernel's final configuration has what a filesystem asks for.

    Raises:
        AbsentError: a line of its definition is missing there; the text names it.
    """
    final = kernel.options()
    for line in filesystem.kconfig:
        for symbol, value in parse_config(line).items():
            got = final.get(symbol, "absent")
            # Somebody else's build may have built it in.
            if got != value and not (value == "m" and got == "y"):
                now = "not set" if got == "n" else got
                raise AbsentError(
                    f"filesystem {filesystem.name}: not in {kernel.description}: {symbol} is {now}"
                )


def check_symbols(
    kernel: BuiltKernel, filesystem: Filesystem, modules: Sequence[BuiltModule]
) -> None:
    """See that a filesystem's modules, loaded in this order, find every symbol.

    Raises:
        BuildError: one does not; the text names the symbol and the module that lacks it.
    """
    missing = missing_symbols(modules, kernel.symvers)
    if missing:
        wants = ", ".join(f"{module} lacks {symbol}" for symbol, module in missing.items())
        raise BuildError(
            f"filesystem {filesystem.name}: {wants}: exported by nothing that it loads"
        )


def known_points(filesystems: Iterable[str]) -> frozenset[str]:
    """Functions that some kernels have and others have not: those of the table of features and of
    the filesystems' definitions. Any other name that a kernel does not know may be mistyped."""
    faults = [feature for feature in load_table() if feature.kind == "fault"]
    names = {name for feature in faults for name in (feature.symbol, feature.instead)}
    for name in filesystems:
        filesystem = load_filesystem(name)
        names |= {filesystem.fill_super, filesystem.reconfigure}
        names |= {filesystem.place(pair) for pair in PLACES}
    return frozenset(names - {""})


def lacking(
    case: MountCase,
    *,
    unknown: Mapping[str, str],
    absent: Mapping[str, str],
    broken: Mapping[str, str],
    waitless: str = "",
) -> Verdict | None:
    """The verdict on a case that cannot be run in a guest; None where it can be.

    `unknown` holds functions that cannot be failed, `absent` those that the kernel does not have,
    `broken` filesystems whose modules do not load: each with the reason. `waitless` is the reason
    why no task can wait for a second one.
    """
    if case.filesystem in broken:
        return infrastructure_error(case, broken[case.filesystem])
    if case.places and waitless:
        return left_out(case, waitless)
    functions = [*(fault.function for fault in case.faults), *case.places]
    for function in functions:
        if function in absent:
            return left_out(case, absent[function])
    for function in functions:
        if function in unknown:
            return infrastructure_error(case, unknown[function])
    return None


def without_filesystem(case: MountCase, error: ErrpathError) -> Verdict:
    """The verdict on a case whose filesystem's modules cannot be had."""
    if isinstance(error, AbsentError):
        return left_out(case, str(error))
    return infrastructure_error(case, str(error))
