"""A session whose testbeds hand out simulated guests: what pytest's users see, without a kernel."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from errpath.errors import AbsentError, BuildError, ErrpathError, SourceError
from errpath.results import session
from errpath.runner.batch_runner import PreparedGuest
from errpath.runner.testbed import TestbedOptions
from suites.selftest.runner.simguest import World

__all__ = ["CONFTEST", "SimDecoder", "SimFrame", "install"]

# Text of a conftest.py for runs in processes of their own.
CONFTEST = """
import pytest
from suites.selftest.runner import simsession
simsession.install(pytest.MonkeyPatch())
"""


@dataclass(frozen=True)
class SimFrame:
    """One source position."""

    function: str
    file: str
    line: int
    inlined: bool = False


class SimDecoder:
    """Knows one function, with the helper that was inlined into it."""

    def resolve(self, function: str, offset: int, module: str | None = None) -> Sequence[SimFrame]:
        if function != "hfs_init_fs_context":
            return ()
        return (
            SimFrame("kzalloc_noprof", "include/linux/slab.h", 1309, True),
            SimFrame(function, "fs/hfs/super.c", 414),
        )


class SimTestbed:
    """The part of a test bed that a session uses. A kernel spec `broken` cannot be had."""

    accel = "tcg"
    definition = None

    def __init__(
        self, options: TestbedOptions, *, store: object, artefacts: Path, progress: object
    ) -> None:
        self.options = options
        self.world = World(artefacts)

    @property
    def kernel(self) -> str:
        spec = self.options.kernel.spec
        if spec == "broken":
            print("asked for the kernel")
            raise SourceError("broken: no such kernel")
        if spec == "bug":
            raise ErrpathError("bug")
        return spec

    def check(self) -> None:
        """As a test bed's: what is missing is said before any guest is asked for."""
        assert self.kernel

    def modules(self, filesystem: str) -> tuple[()]:
        return ()

    def build_each(self, filesystems: Sequence[str]) -> dict[str, ErrpathError]:
        """Why filesystems cannot be had: `absent:NAME` and `broken:NAME` kernels lack one."""
        kind, _, name = self.options.kernel.spec.partition(":")
        lost: dict[str, ErrpathError] = {}
        if kind == "absent" and name in filesystems:
            lost[name] = AbsentError(f"filesystem {name}: not in sim: CONFIG_X is absent")
        elif kind == "broken" and name in filesystems:
            lost[name] = BuildError(f"fs/{name}/super.c:1: error: expected expression")
        return lost

    def symbolizer(self, filesystems: Sequence[str]) -> SimDecoder:
        return SimDecoder()

    def close(self) -> None:
        """Nothing is kept."""


def _boot(testbed: SimTestbed, *_: object, **__: object) -> Callable[[], PreparedGuest]:
    return testbed.world.boot


def install(patch: pytest.MonkeyPatch) -> None:
    """Make sessions use simulated testbeds; `patch` undoes it."""
    patch.setattr(session, "Testbed", SimTestbed)
    patch.setattr(session, "guest_factory", _boot)
    patch.setattr(session, "KernelStore", lambda **_: None)
    # What a host without QEMU has as well.
    patch.setattr(session, "QEMU", "sh", raising=False)
