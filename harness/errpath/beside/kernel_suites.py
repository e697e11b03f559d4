"""The suites that come with the kernel under test: kselftest and KUnit."""

from __future__ import annotations

import errno
from collections.abc import Mapping
from dataclasses import dataclass

from errpath.beside.shell import GuestShell
from errpath.beside.suites import Answer, Selection, Suite, ktap_answer, select
from errpath.guest.channel import AgentError
from errpath.kernel import BuiltModule

__all__ = ["KUNIT_MODULES", "Kselftest", "Kunit"]

_LIST_SECONDS = 60.0


@dataclass(frozen=True)
class Kselftest(Suite):
    """kselftest as `make install` leaves it in /suite/kselftest."""

    @property
    def name(self) -> str:
        return "kselftest"

    def prepare(self, shell: GuestShell) -> None:
        """Nothing: its tests make what they need."""

    def tests(self, shell: GuestShell, selection: Selection) -> tuple[str, ...]:
        text = shell.check("cat /suite/kselftest/kselftest-list.txt", seconds=_LIST_SECONDS)
        return select("kselftest", text.split(), selection)

    def run(self, shell: GuestShell, test: str, *, seconds: float) -> Answer:
        script = f"cd /suite/kselftest && exec ./run_kselftest.sh -t '{test}'"
        return ktap_answer(shell.run(script, seconds=seconds).output)

    def rest(self, shell: GuestShell) -> None:
        """Nothing: a test unmounts what it has mounted."""


# The modules of KUnit's tests, by the filesystem.
KUNIT_MODULES: Mapping[str, str] = {
    "ext4": "fs/ext4/ext4-test",
    "fat": "fs/fat/fat_test",
    "hfs": "fs/hfs/string_test",
    "hfsplus": "fs/hfsplus/unicode_test",
    "unicode": "fs/unicode/tests/utf8_kunit",
}
_RESULTS = "cat /sys/kernel/debug/kunit/*/results"


@dataclass(frozen=True)
class Kunit(Suite):
    """KUnit's tests in modules: each is loaded, has its results read, and is unloaded."""

    # By the name of the test: its module, after those that it needs.
    modules: Mapping[str, tuple[BuiltModule, ...]]

    @property
    def name(self) -> str:
        return "kunit"

    def prepare(self, shell: GuestShell) -> None:
        """Nothing."""

    def tests(self, shell: GuestShell, selection: Selection) -> tuple[str, ...]:
        return select("kunit", list(self.modules), selection)

    def run(self, shell: GuestShell, test: str, *, seconds: float) -> Answer:
        loaded = []
        for module in self.modules[test]:
            try:
                shell.guest.load_module(module.name, module.stripped.read_bytes())
            except AgentError as error:
                if error.errno != errno.EEXIST:
                    raise
            else:
                loaded.append(module.name)
        output = shell.check(_RESULTS, seconds=seconds)
        for name in reversed(loaded):
            shell.guest.unload_module(name)
        return ktap_answer(output)

    def rest(self, shell: GuestShell) -> None:
        """Nothing."""
