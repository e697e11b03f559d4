"""A pytest plugin that gives runs simulated guests: what pytest's users see, without a kernel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from errpath.cases.case import MountCase
from errpath.errors import AbsentError, BuildError, ErrpathError, SourceError
from errpath.kernel import KernelStore
from errpath.kernel.features import Finding, Presence
from errpath.results.testbeds import TestbedFactory
from errpath.runner.guests import Boot
from errpath.runner.lifetime import Lifetime, LifetimeWatch
from errpath.runner.testbed import Testbed, TestbedOptions
from errpath.util.progress import Progress
from suites.selftest.runner.simguest import World

__all__ = [
    "CONFTEST",
    "SimCode",
    "SimDecoder",
    "SimFrame",
    "SimTestbed",
    "pytest_errpath_testbed_factory",
]


# Text of a conftest.py for suites whose guests are simulated.
CONFTEST = """
from suites.selftest.runner.simsession import pytest_errpath_testbed_factory
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


class SimCode:
    """Code of one function at most, and no source."""

    def __init__(self, function: str) -> None:
        self._function = function

    def source(self, path: str) -> str | None:
        return None

    def has_function(self, name: str) -> bool | None:
        return name == self._function


class SimTestbed(Testbed):
    """A test bed of simulated guests. A kernel spec `broken` cannot be had; in guests of
    `unloadable:NAME` the module of one filesystem does not load."""

    def __init__(self, options: TestbedOptions, artefacts: Path, progress: Progress) -> None:
        store = KernelStore(progress=progress)
        super().__init__(options, store=store, artefacts=artefacts, progress=progress)
        self.world = World(artefacts)
        kind, _, name = options.kernel.spec.partition(":")
        if kind == "unloadable":
            self.world.broken[name] = f"filesystem {name}: {name} does not load: Exec format error"

    def check(self) -> None:
        """As a test bed's: what is missing is reported before any guest is asked for."""
        spec = self.options.kernel.spec
        if spec == "broken":
            print("asked for the kernel")
            raise SourceError("broken: no such kernel")
        if spec == "bug":
            raise ErrpathError("bug")

    @property
    def features(self) -> tuple[Finding, ...]:
        """A kernel `without:NAME` lacks one feature, and every other has all of them."""
        kind, _, name = self.options.kernel.spec.partition(":")
        return (Finding(name, Presence.ABSENT, f"no {name}"),) if kind == "without" else ()

    def modules(self, filesystem: str) -> tuple[()]:  # type: ignore[override]
        return ()

    def build(self, filesystems: Sequence[str], *, points: bool = False) -> dict[str, ErrpathError]:
        """Why filesystems cannot be had: `absent:NAME` and `broken:NAME` kernels lack one."""
        kind, _, name = self.options.kernel.spec.partition(":")
        lost: dict[str, ErrpathError] = {}
        if kind == "absent" and name in filesystems:
            lost[name] = AbsentError(f"filesystem {name}: not in sim: CONFIG_X is absent")
        elif kind == "broken" and name in filesystems:
            lost[name] = BuildError(f"fs/{name}/super.c:1: error: expected expression")
        return lost

    def code(self, filesystem: str) -> SimCode:
        """A kernel `has:NAME` has one function."""
        kind, _, name = self.options.kernel.spec.partition(":")
        return SimCode(name if kind == "has" else "")

    def symbolizer(self, filesystems: Sequence[str]) -> SimDecoder:  # type: ignore[override]
        return SimDecoder()

    def watch(
        self,
        filesystems: Sequence[str],
        functions: Sequence[str],
        *,
        points: Sequence[str] | None = None,
    ) -> LifetimeWatch:
        return lambda case: Lifetime(None)

    def references(
        self,
        filesystems: Sequence[str],
        functions: Sequence[str],
        points: Sequence[str] | None,
        case: MountCase,
        module: str,
    ) -> Lifetime:
        return Lifetime(None)

    def blocked(
        self,
        filesystems: Sequence[str],
        functions: Sequence[str],
        points: Sequence[str] | None,
        case: MountCase,
    ) -> str:
        return ""

    def guest_source(
        self,
        filesystems: Sequence[str],
        functions: Sequence[str],
        *,
        points: Sequence[str] | None = None,
        confirm: bool = False,
    ) -> Boot:
        return self.world.boot


def pytest_errpath_testbed_factory(config: pytest.Config) -> TestbedFactory:
    """Test beds of simulated guests for this run."""
    return SimTestbed
