"""Cells of events (e) to (g): a reconfigure, a context without a mount, a second mount."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from errpath.cases.lifecycle.cell import (
    UNKNOWN_OPTION,
    Cell,
    again_step,
    option_pairs,
    step,
    usual_device,
    usual_kind,
    valid_modes,
)
from errpath.cases.mounting import APIS, MODES
from errpath.cases.steps import Umount
from errpath.faults.plan import FaultPlan
from errpath.filesystems import Filesystem
from errpath.filesystems.mkfs import VALID

__all__ = ["contexts", "reconfigures", "second_mounts"]


def reconfigures(fs: Filesystem, errnos: Sequence[str], images: Sequence[str]) -> Iterator[Cell]:
    """(e): an option that is refused, an unknown one, a forced failure, and none."""
    device = usual_device(fs)
    good = option_pairs(fs.good_options)
    for api in APIS:
        again = "remount" if api == "mount" else "reconfigure"
        for mode in valid_modes(fs):
            first = step(fs, api, mode)
            other = "ro" if mode == "rw" else "rw"
            writable = fs.expected("reconfigure_rw") if mode == "rw" else ""
            if fs.bad_option:
                options = (*good, *option_pairs((fs.bad_option,)))
                expect = writable or fs.expected(f"bad_{again}")
                second = again_step(fs, api, mode, options=options, expect=expect)
                steps = (first, second, Umount())
                yield Cell("bad_option/again", "remount", device, steps, api, mode)
            options = (*good, UNKNOWN_OPTION)
            expect = writable or fs.expected(f"unknown_{again}")
            second = again_step(fs, api, mode, options=options, expect=expect)
            steps = (first, second, Umount())
            yield Cell("unknown_option/again", "remount", device, steps, api, mode)
            if fs.reconfigure:
                fault = FaultPlan(fs.reconfigure, "EIO")
                options = good if fs.reconfigure_options else ()
                for kind, given in (("injected/again", options), ("injected/again-bare", ())):
                    second = again_step(fs, api, other, options=given, fail=fault)
                    steps = (first, second, Umount())
                    yield Cell(kind, fs.reconfigure, device, steps, api, mode)
        for mode, other in (("rw", "ro"), ("ro", "rw"), ("rw", "rw")):
            if not {mode, other} <= {*valid_modes(fs)}:
                continue
            steps = (step(fs, api, mode), again_step(fs, api, other), Umount())
            yield Cell(f"remount/to-{other}", "remount", device, steps, api, mode)


def contexts(fs: Filesystem, errnos: Sequence[str], images: Sequence[str]) -> Iterator[Cell]:
    """(f): a context that owns something is closed, or its parser refuses an option."""
    device = usual_device(fs)
    good = option_pairs(fs.good_options)
    bad = option_pairs((fs.bad_option,)) if fs.bad_option else ()
    for mode in MODES:
        closed = step(fs, "fsopen", mode, options=good, until="options")
        yield Cell("closed_after_options", "context", device, (closed,), mode=mode)
        if good:
            expect = fs.expected("option_twice")
            twice = (*good, *good)
            closed = step(fs, "fsopen", mode, options=twice, until="options", expect=expect)
            yield Cell("closed_after_options_twice", "context", device, (closed,), mode=mode)
        if usual_kind(fs.name) == VALID and mode in valid_modes(fs):
            closed = step(fs, "fsopen", mode, until="create")
            yield Cell("closed_after_create", "context", device, (closed,), mode=mode)
    lists = {
        "bad_option": (*good, *bad),
        "bad_option/only": bad,
        "bad_option/twice": (*good, *good, *bad),
        "unknown_option": (*good, UNKNOWN_OPTION),
        "unknown_option/only": (UNKNOWN_OPTION,),
    }
    for kind, options in lists.items():
        what = kind.partition("/")[0]
        if what == "unknown_option" or bad:
            for api in APIS:
                expect = fs.expected(what)
                refused = step(fs, api, "rw", options=options, expect=expect)
                steps = (refused,) if expect else (refused, Umount())
                yield Cell(kind, "options", device, steps, api, "rw")


def second_mounts(fs: Filesystem, errnos: Sequence[str], images: Sequence[str]) -> Iterator[Cell]:
    """(g): the superblock exists already, and the new context does not fit it."""
    device = usual_device(fs)
    for first, second in (("rw", "ro"), ("ro", "rw")):
        if first not in valid_modes(fs):
            continue
        kind = f"{first}_then_{second}"
        expect = fs.expected(kind)
        for api in APIS:
            # mount(2) refuses the same superblock on its own mount point with the same errno.
            how = api if expect else "fsopen"
            steps = (
                step(fs, api, first),
                step(fs, how, second, expect=expect),
                Umount(),
                *(() if expect else (Umount(),)),
            )
            yield Cell(kind, "repeat", device, steps, api, first)
