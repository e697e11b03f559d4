"""Guests of one kernel: booted, cloned, and prepared for cases."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from errpath.faults import injection_list
from errpath.guest.clones import Added, Clones, MachineSpec
from errpath.guest.machine import Guest, Machine
from errpath.guest.qmp import CloneError
from errpath.guest.snapshot import SnapshotStore
from errpath.guest.start import boot, resume
from errpath.oracles import kmemleak
from errpath.oracles.canary import Check
from errpath.oracles.kmemleak_min_age import MinAge, set_min_age
from errpath.oracles.modules import FAULTS, WAIT
from errpath.runner.guest_booter import GuestBooter
from errpath.runner.guests import PreparedGuest
from errpath.runner.preparation import KernelUnderTest, load_all, load_points, load_targets
from errpath.runner.report_proof import ReportProof
from errpath.util.progress import Progress

__all__ = ["GuestFactory"]


# Changes with what is done to a frozen guest and noted of it: one of another form is not cloned.
_NOTES = "notes-4"


class GuestFactory:
    """Makes guests: clones of one that was frozen when first asked for, where clones work."""

    def __init__(
        self,
        source: KernelUnderTest,
        *,
        artefacts: Path,
        snapshots: SnapshotStore,
        progress: Progress,
        boot: Callable[..., Machine] = boot,
        resume: Callable[..., Machine] = resume,
    ) -> None:
        """Each guest's artefacts get a directory below `artefacts`; `boot` boots a
        machine, `resume` clones one."""
        self._source = source
        self._snapshots = snapshots
        self._progress = progress
        self._booter = GuestBooter(source, artefacts, boot)
        self._reports = ReportProof(source, progress)
        self._lock = threading.Lock()
        self._resume = resume
        self._clones: Clones | None = None
        # Why guests are booted and not cloned, once that is known.
        self._no_clones: str | None = None
        self._reported_slow = False

    def get_ready(self) -> Clones:
        """Know what frozen guests go by; after that, guests may be made in several threads."""
        with self._lock:
            if self._clones is None:
                source = self._source
                kernel = source.kernel
                spec = MachineSpec(
                    source.machine, kernel.bzimage, kernel.key, source.accel, source.append
                )
                self._clones = Clones(
                    spec,
                    self._snapshots,
                    boot=lambda: self._booter.boot()[0],
                    artefacts=self._booter.directory,
                    resume=self._resume,
                )
            return self._clones

    def close(self) -> None:
        """Let go of the frozen guests."""
        if self._clones is not None:
            self._clones.close()

    def boot(self, *, append: Sequence[str] = (), gdb_port: int | None = None) -> Guest:
        """A guest with an agent and nothing more."""
        return self._booter.boot(append, gdb_port)[0]

    def prepare(
        self,
        filesystems: Sequence[str],
        functions: Sequence[str],
        *,
        points: Sequence[str] | None = None,
        fast: bool = False,
    ) -> PreparedGuest:
        """A guest with the filesystems' modules, the canary and the injection targets loaded, in
        which a leak check has found its canary: a clone where clones work, else freshly booted.

        With `fast`, kmemleak's minimum age is lowered in it, unless that cannot be done. With
        `points`, single calls can be failed in it (`errpath.faults.model`): of the functions that
        `points` names, or where it is empty of all that the filesystems' modules have; allocations
        and block requests.
        """
        if self._source.may_clone and self._no_clones is None:
            try:
                return self._clone(_Contents.of(filesystems, functions, points), fast)
            except CloneError as error:
                self._no_clones = str(error)
                self._progress.say(f"guests are booted for every use, not cloned: {error}")
        return self.prepare_by_boot(filesystems, functions, points=points, fast=fast)

    def prepare_clone(
        self,
        filesystems: Sequence[str],
        functions: Sequence[str],
        *,
        points: Sequence[str] | None = None,
        added: Added | None = None,
    ) -> PreparedGuest:
        """A clone as `prepare` makes them, with `added` on its QEMU's command line.

        Raises:
            CloneError: guests cannot be cloned here.
        """
        if not self._source.may_clone or self._no_clones is not None:
            raise CloneError(self._no_clones or "guests are booted for every use (--isolation)")
        return self._clone(_Contents.of(filesystems, functions, points), True, added)

    def prepare_by_boot(
        self,
        filesystems: Sequence[str],
        functions: Sequence[str],
        *,
        points: Sequence[str] | None = None,
        fast: bool = False,
    ) -> PreparedGuest:
        """The same, booted for this use alone."""
        self._reports.see(lambda: self._booter.boot()[0])
        contents = _Contents.of(filesystems, functions, points)
        guest, notes, artefacts = self._make(contents, clone=False)
        return self._prepared(guest, notes, artefacts, fast)

    def add_targets(self, prepared: PreparedGuest, functions: Sequence[str]) -> PreparedGuest:
        """The same guest with `functions` on its injection list in place of those that it had."""
        guest = prepared.guest
        guest.call("fault.clear")
        if injection_list.is_loaded(guest):
            guest.unload_module(injection_list.MODULE)
        unknown, absent = load_targets(self._source, guest, functions, tuple(prepared.modules))
        return replace(prepared, unknown=unknown, absent=absent)

    def add_points(self, prepared: PreparedGuest, names: Sequence[str]) -> PreparedGuest:
        """The same guest, in which single calls of `names`, allocations and block requests can be
        failed, and no others."""
        # A kprobe on a function that is to be hooked keeps the hook out.
        prepared.guest.call("fault.clear")
        modules = {name: self._source.modules(name) for name in prepared.modules}
        unknown = load_points(self._source, prepared.guest, names, modules)
        return replace(prepared, unknown={**prepared.unknown, **unknown})

    # -- preparation -----------------------------------------------------------------------------

    def _clone(self, contents: _Contents, fast: bool, added: Added | None = None) -> PreparedGuest:
        source = self._source
        clones = self.get_ready()
        self._reports.see(lambda: clones.booted()[0])
        modules = [source.modules(name) for name in contents.filesystems]
        keys = [[module.key for module in built] for built in modules]
        keys.append([*(built.key for _, built in source.oracle_modules), source.targets.key])
        if contents.points is not None:
            keys.append([source.own_module(FAULTS).key])

        def make() -> tuple[Machine, Mapping[str, Any]]:
            return self._make(contents, clone=True)[:2]

        guest, artefacts, notes = clones.prepared((_NOTES, contents, keys), make, added=added)
        return self._prepared(guest, notes, artefacts, fast)

    def _prepared(
        self, guest: Machine, notes: Mapping[str, Any], artefacts: Path, fast: bool
    ) -> PreparedGuest:
        check: Check = kmemleak.slow_check
        try:
            if fast and notes["min_age"] is not None:
                set_min_age(guest, MinAge(*notes["min_age"]), lowered=True)
                check = kmemleak.fast_check
            elif fast and not self._reported_slow:
                self._reported_slow = True
                self._progress.say(f"leak checks are slow: {notes['why_slow']}")
        except BaseException:
            guest.close()
            raise
        modules = {name: tuple(names) for name, names in notes["modules"].items()}
        return PreparedGuest(
            guest,
            artefacts,
            dict(notes["unknown"]),
            modules=modules,
            check=check,
            proven=True,
            absent=dict(notes["absent"]),
            broken=dict(notes["broken"]),
            waitless=_waitless(self._source),
        )

    def _make(self, contents: _Contents, *, clone: bool) -> tuple[Machine, Mapping[str, Any], Path]:
        """A guest that is ready for cases, with what there is to know of it."""
        guest, artefacts = self.get_ready().booted() if clone else self._booter.boot()
        try:
            notes = load_all(
                self._source,
                guest,
                contents.filesystems,
                contents.functions,
                points=contents.points,
            )
        except BaseException:
            guest.close()
            raise
        return guest, notes, artefacts


def _waitless(source: KernelUnderTest) -> str:
    """Why no task can wait for a second one in this kernel."""
    found = next(one for one in source.features if one.name == WAIT.name)
    reason = f"no task can wait in a function of {source.kernel.description}: {found.why}"
    return "" if found.present else reason


@dataclass(frozen=True)
class _Contents:
    """What a guest is prepared for."""

    filesystems: tuple[str, ...]
    functions: tuple[str, ...]
    # Functions of which single calls can be failed; None where none can.
    points: tuple[str, ...] | None

    @classmethod
    def of(
        cls, filesystems: Sequence[str], functions: Sequence[str], points: Sequence[str] | None
    ) -> _Contents:
        return cls(tuple(filesystems), tuple(functions), None if points is None else tuple(points))
