"""What a suite's tests run in: a kernel, its disks, and the root with the suite built in it."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from errpath.beside.blktests import Blktests
from errpath.beside.kernel_suites import KUNIT_MODULES, Kselftest, Kunit
from errpath.beside.ltp import Ltp
from errpath.beside.root import load_root, make_root, pack_tree
from errpath.beside.shell import (
    ROOT_DISK,
    SCRATCH_DISK,
    TEST_DISK,
    GuestShell,
    enter_initramfs,
    enter_root,
)
from errpath.beside.suites import Suite
from errpath.beside.xfstests import Xfstests
from errpath.errors import AbsentError, SourceError, UsageError
from errpath.guest.definition import load_guest
from errpath.guest.disk import Disk
from errpath.kernel import KernelStore
from errpath.kernel.source.tree import EXECUTABLE, LINK
from errpath.runner.guests import PreparedGuest
from errpath.runner.options import Choice
from errpath.runner.testbed import Testbed
from errpath.util.progress import Progress

__all__ = ["SUITES", "SuiteGuests"]

SUITES = ("xfstests", "ltp", "blktests", "kselftest", "kunit")
# Those that come with the kernel under test.
_IN_KERNEL = ("kselftest", "kunit")
_MIB = 1 << 20
# What kselftest's own Makefiles read.
_SELFTESTS = (
    *("Makefile", "Kbuild", "Kconfig", "scripts", "include", "usr", "tools/arch", "tools/build"),
    *("arch/x86/Makefile", "arch/x86/include", "arch/x86/entry/syscalls", "tools/include"),
    *("tools/scripts", "tools/testing/selftests"),
)
# Where there is no Debian to make a filesystem.
_BUSYBOX_MKFS = {"ext2": "busybox mke2fs -F"}
_UNPACK_SECONDS = 60.0


class SuiteGuests:
    """Makes the guests of one suite on one kernel. Everything is made on first use."""

    def __init__(
        self,
        name: str,
        choice: Choice,
        filesystems: Sequence[str],
        *,
        tree: Path | None,
        disk_mib: int,
        artefacts: Path,
        progress: Progress,
    ) -> None:
        """`tree` has the sources of a suite that does not come with the kernel."""
        self._name = name
        self._filesystems = tuple(filesystems)
        self._store = KernelStore(progress=progress)
        self._plain = not load_guest(choice.testbed.guest).root
        if (tree is None) == (name not in _IN_KERNEL):
            wanted = "expected --tree" if tree is None else "it comes with the kernel under test"
            raise UsageError(f"suite {name}: {wanted}")
        self._archive = artefacts / f"{name}.tar"
        artefacts.mkdir(parents=True, exist_ok=True)
        if tree is not None:
            pack_tree(tree, self._archive)
        self.kernel = self._store.build(choice.testbed.kernel)
        if name == "kselftest":
            self._pack_selftests()
        disks = tuple(Disk(serial, size=disk_mib * _MIB) for serial in (TEST_DISK, SCRATCH_DISK))
        if not self._plain and name != "kunit":
            root = make_root(load_root(name), self._archive, progress)
            disks = (Disk(ROOT_DISK, path=root), *disks)
        options = replace(choice.testbed, disks=disks if name != "kunit" else ())
        self.testbed = Testbed(
            options, store=self._store, artefacts=artefacts / "guests", progress=progress
        )

    def close(self) -> None:
        """Let go of the frozen guests."""
        self.testbed.close()

    def suite(self) -> Suite:
        """The suite, as it is run in these guests.

        Raises:
            UsageError: xfstests without one filesystem, LTP with more.
            AbsentError: the kernel has no KUnit test of these filesystems.
        """
        if self._name == "kunit":
            return self._kunit()
        if self._name == "kselftest":
            return Kselftest()
        if self._name == "blktests":
            return Blktests()
        if self._name == "ltp" and len(self._filesystems) <= 1:
            return Ltp("".join(self._filesystems))
        if len(self._filesystems) != 1:
            raise UsageError(f"suite {self._name}: expected one --fs")
        filesystem = self._filesystems[0]
        if not self._plain:
            return Xfstests(filesystem)
        if filesystem not in _BUSYBOX_MKFS:
            raise UsageError(
                f"suite xfstests: --fs {filesystem}: a guest without a root makes only "
                f"{', '.join(_BUSYBOX_MKFS)}"
            )
        return Xfstests(filesystem, shell="sh", mkfs=_BUSYBOX_MKFS[filesystem])

    def guest(self, fast: bool) -> PreparedGuest:
        """A fresh guest with the filesystems' modules."""
        wanted = () if self._name == "kunit" else self._filesystems
        return self.testbed.guests.prepare(wanted, (), fast=fast)

    def enter(self, prepared: PreparedGuest) -> GuestShell:
        """A shell where the suite is."""
        if self._name == "kunit":
            return enter_initramfs(prepared.guest)
        if not self._plain:
            return enter_root(prepared.guest)
        shell = enter_initramfs(prepared.guest)
        shell.write("/suite.tar", self._archive.read_bytes())
        script = "mkdir -p /suite /tmp && cd /suite && busybox tar -xf /suite.tar && rm /suite.tar"
        shell.check(script, seconds=_UNPACK_SECONDS)
        return shell

    def _kunit(self) -> Kunit:
        modules = {}
        absent = ""
        for name, path in KUNIT_MODULES.items():
            if self._filesystems and name not in self._filesystems:
                continue
            try:
                modules[name] = self._store.modules(self.kernel, [path])
            except SourceError as error:
                absent = str(error)
        if not modules:
            known = ", ".join(KUNIT_MODULES)
            raise AbsentError(absent or f"suite kunit: expected --fs of {known}")
        return Kunit(modules)

    def _pack_selftests(self) -> None:
        """The part of the kernel's sources that makes its selftests."""
        with tarfile.open(self._archive, "w") as archive:
            for path, file in sorted(self._store.sources.files(self.kernel, _SELFTESTS)):
                member = tarfile.TarInfo(path)
                if file.mode == LINK:
                    member.type, member.linkname = tarfile.SYMTYPE, file.content.decode()
                    archive.addfile(member)
                    continue
                member.mode = 0o755 if file.mode == EXECUTABLE else 0o644
                member.size = len(file.content)
                archive.addfile(member, io.BytesIO(file.content))
