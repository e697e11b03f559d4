"""The cases of suites/killsb: filesystem × event × API × ro or rw.

An event that a filesystem cannot have is still planned, with the reason instead of cases: what was
not run must be said.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cache

from errpath.cases.case import Device, MountCase
from errpath.cases.crafted import crafted_cases, known_issue_cases
from errpath.cases.steps import FsOpen, Mount, Option, Reconfigure, Remount, Step, Umount
from errpath.errors import UsageError
from errpath.faults.plan import FaultPlan
from errpath.filesystems import EVENTS, Filesystem, known_filesystems, load_filesystem
from errpath.filesystems.mkfs import BAD_IMAGES, VALID, image, image_kinds, missing_tool

__all__ = ["Planned", "parse_events", "parse_filesystems", "plan", "plan_crafted"]

APIS = ("mount", "fsopen")
MODES = ("rw", "ro")
# A block major that no driver has in these guests.
_UNUSED_MAJOR = (240, 7)
_UNKNOWN_OPTION = ("errpath_no_such_option", "1")


@dataclass(frozen=True)
class Planned:
    """One case of the matrix, or why there is none."""

    id: str
    filesystem: str
    # Letter of the event, see `errpath.filesystems.EVENTS`.
    event: str
    case: MountCase | None
    # Why it is not run; "" where `case` is.
    reason: str = ""


def parse_filesystems(words: str) -> tuple[str, ...]:
    """The filesystems that `--fs` names, all without it.

    Raises:
        UsageError: one of them is not defined.
    """
    names = tuple(dict.fromkeys(name for name in words.replace(",", " ").split() if name))
    chosen = names or known_filesystems()
    for name in chosen:
        load_filesystem(name)
    return chosen


def parse_events(words: str) -> tuple[str, ...]:
    """The letters that `--event` names, all without it.

    Raises:
        UsageError: there is no such event.
    """
    letters = tuple(dict.fromkeys(words.replace(",", " ").split()))
    for letter in letters:
        if letter not in EVENTS:
            known = ", ".join(f"{key} ({text})" for key, text in EVENTS.items())
            raise UsageError(f"--event {letter}: unknown; expected some of: {known}")
    return letters or tuple(EVENTS)


def plan(filesystems: Iterable[str], events: Iterable[str] = tuple(EVENTS)) -> Iterator[Planned]:
    """Every case of these filesystems and events, in that order."""
    letters = tuple(events)
    for name in filesystems:
        filesystem = load_filesystem(name)
        if filesystem.image is not None:
            for letter in letters:
                yield from _event(filesystem, letter)


def plan_crafted(filesystems: Iterable[str]) -> Iterator[Planned]:
    """The crafted images of suites/hfs as cases of event (c), those of known bugs included."""
    known = (replace(case, batch=f"{case.filesystem}-known") for _, case in known_issue_cases())
    others = (
        replace(case, batch=case.batch or f"{case.filesystem}-crafted") for case in crafted_cases()
    )
    chosen = set(filesystems)
    for case in (*others, *known):
        if case.filesystem in chosen:
            yield Planned(case.id, case.filesystem, "c", case)


def _event(fs: Filesystem, letter: str) -> Iterator[Planned]:
    reason = fs.lacks.get(letter, "")
    missing = missing_tool(fs)
    if not reason and letter in "deg":
        assert fs.image is not None
        if not fs.image.valid:
            reason = "nothing here can make a valid image of it"
        elif missing:
            reason = missing
    if reason:
        yield Planned(f"killsb-{fs.name}-{letter}", fs.name, letter, None, reason)
        return
    for variant, make in _MAKERS[letter](fs):
        name = f"killsb-{fs.name}-{letter}-{variant}"
        short = fs.lacks.get(f"{letter}:{variant.split('-')[0]}", "")
        needs_image = variant.split("-")[0] in ("truncated", "broken")
        if not short and needs_image and missing:
            short = missing
        case = None if short else make(name)
        yield Planned(name, fs.name, letter, case, short)


Maker = Callable[[str], MountCase]
Variants = Iterator[tuple[str, Maker]]


@cache
def _usual(name: str) -> str:
    """The kind of image for events in which it does not matter: valid where there is one."""
    fs = load_filesystem(name)
    return VALID if VALID in image_kinds(fs) and not missing_tool(fs) else "blank"


def _options(options: tuple[tuple[str, ...], ...]) -> tuple[Option, ...]:
    return tuple((option[0], option[1] if len(option) > 1 else None) for option in options)


def _mount(
    fs: Filesystem,
    api: str,
    mode: str,
    *,
    fail: FaultPlan | None = None,
    expect: str | None = None,
    options: tuple[Option, ...] = (),
    until: str = "mount",
    served: bool = True,
) -> Step:
    """One mount by either API; a server goes with it where the filesystem needs one."""
    flags = ("ro",) if mode == "ro" else ()
    every = (*_options(fs.options), *options)
    served = fs.served and served
    if api == "mount":
        return Mount(fs.fstype, options=every, flags=flags, served=served, fail=fail, expect=expect)
    return FsOpen(
        fs.fstype,
        options=every,
        flags=flags,
        served=served,
        until=until,
        fail=fail,
        expect=expect,
    )


def _again(
    fs: Filesystem,
    api: str,
    mode: str,
    *,
    fail: FaultPlan | None = None,
    expect: str | None = None,
    options: tuple[Option, ...] = (),
) -> Step:
    """One reconfigure by either API."""
    flags = ("ro",) if mode == "ro" else ()
    every = (*(_options(fs.options) if fs.reconfigure_options else ()), *options)
    again = Remount if api == "mount" else Reconfigure
    return again(flags=flags, options=every, fail=fail, expect=expect)


def _case(fs: Filesystem, point: str, device: Device, *steps: Step) -> Maker:
    """What makes the case once its id is known."""
    errno = next((step.expected for step in steps if step.expected), "")

    def make(case_id: str) -> MountCase:
        return MountCase(case_id, fs.name, device, steps, point=point, errno=errno, batch=fs.name)

    return make


def _modes(fs: Filesystem) -> tuple[str, ...]:
    """The modes in which a valid image mounts."""
    return ("ro",) if fs.expected("rw") else MODES


def _usual_device(fs: Filesystem, *, readonly: bool = False, held: bool = False) -> Device:
    return Device(image(fs.name, _usual(fs.name)), readonly=readonly, held=held)


def _injected(fs: Filesystem, api: str, function: str) -> Variants:
    """`function` forced to fail, alone and followed by a mount that must work."""
    fault = FaultPlan(function, "EIO")
    for mode in MODES:
        step = _mount(fs, api, mode, fail=fault)
        yield (
            f"injected-EIO-{api}-{mode}",
            _case(fs, function, _usual_device(fs), step),
        )
    if _usual(fs.name) == VALID:
        mode = _modes(fs)[0]
        steps = (
            _mount(fs, api, mode, fail=fault),
            _mount(fs, api, mode),
            Umount(),
        )
        yield (
            f"injected-EIO-then-mount-{api}",
            _case(fs, function, _usual_device(fs), *steps),
        )


def _setup(fs: Filesystem) -> Variants:
    """(a): forced, and the natural ways, which need no injection."""
    for api in APIS:
        yield from _injected(fs, api, "setup_bdev_super")
        expect = fs.expected("readonly_device")
        device = _usual_device(fs, readonly=True)
        steps = (_mount(fs, api, "rw", expect=expect), *((Umount(),) if not expect else ()))
        yield f"readonly_device-{api}-rw", _case(fs, "readonly_device", device, *steps)
        for mode in MODES:
            device = _usual_device(fs, held=True)
            step = _mount(fs, api, mode, expect=fs.expected("held_device"))
            yield f"held_device-{api}-{mode}", _case(fs, "held_device", device, step)
            step = _mount(fs, api, mode, expect=fs.expected("no_driver"))
            device = Device(node=_UNUSED_MAJOR)
            yield f"no_driver-{api}-{mode}", _case(fs, "no_driver", device, step)


def _entry(fs: Filesystem) -> Variants:
    """(b): forced before the function's first line."""
    for api in APIS:
        yield from _injected(fs, api, fs.fill_super)


def _bad_images(fs: Filesystem) -> Variants:
    """(c): no fault anywhere, an image that the filesystem refuses."""
    for kind in BAD_IMAGES:
        if kind not in image_kinds(fs):
            continue
        expect = fs.expected(kind)
        for api in APIS:
            for mode in _modes(fs):
                steps = (_mount(fs, api, mode, expect=expect, served=False),)
                after = () if expect else (Umount(),)
                device = (
                    Device()
                    if kind != "blank" and missing_tool(fs)
                    else Device(image(fs.name, kind))
                )
                yield f"{kind}-{api}-{mode}", _case(fs, "image", device, *steps, *after)


def _plain(fs: Filesystem) -> Variants:
    """(d): a mount that works, with and without options, and twice in a row."""
    device = _usual_device(fs)
    for api in APIS:
        for mode in _modes(fs):
            steps = (_mount(fs, api, mode), Umount())
            yield f"plain-{api}-{mode}", _case(fs, "none", device, *steps)
        mode = _modes(fs)[0]
        steps = (_mount(fs, api, mode, options=_options(fs.good_options)), Umount())
        if fs.good_options:
            yield f"options-{api}-{mode}", _case(fs, "options", device, *steps)
        yield f"twice-{api}-{mode}", _case(fs, "repeat", device, *steps, *steps)
        refusal = fs.expected("rw")
        if refusal:
            step = _mount(fs, api, "rw", expect=refusal)
            yield f"refused-{api}-rw", _case(fs, "none", device, step)


def _reconfigure(fs: Filesystem) -> Variants:
    """(e): an option that is refused, one that nobody knows, and a forced failure."""
    device = _usual_device(fs)
    for api in APIS:
        again = "remount" if api == "mount" else "reconfigure"
        for mode in _modes(fs):
            first, last = _mount(fs, api, mode), Umount()
            other = "ro" if mode == "rw" else "rw"
            if fs.bad_option:
                bad = (*fs.good_options, fs.bad_option)
                step = _again(
                    fs, api, mode, options=_options(bad), expect=fs.expected(f"bad_{again}")
                )
                yield f"bad_option-{api}-{mode}", _case(fs, "remount", device, first, step, last)
            step = _again(
                fs,
                api,
                mode,
                options=(*_options(fs.good_options), _UNKNOWN_OPTION),
                expect=fs.expected(f"unknown_{again}"),
            )
            yield f"unknown_option-{api}-{mode}", _case(fs, "remount", device, first, step, last)
            if fs.reconfigure:
                fault = FaultPlan(fs.reconfigure, "EIO")
                step = _again(
                    fs,
                    api,
                    other,
                    options=_options(fs.good_options) if fs.reconfigure_options else (),
                    fail=fault,
                )
                yield (
                    f"injected-EIO-{api}-{mode}-to-{other}",
                    _case(fs, fs.reconfigure, device, first, step, last),
                )


def _context(fs: Filesystem) -> Variants:
    """(f): a context that owns something is closed, or its parser refuses an option."""
    device = _usual_device(fs)
    good = _options(fs.good_options)
    for mode in MODES:
        step = _mount(fs, "fsopen", mode, options=good, until="options")
        yield f"closed_after_options-{mode}", _case(fs, "context", device, step)
        if good:
            expect = fs.expected("option_twice")
            step = _mount(
                fs, "fsopen", mode, options=(*good, *good), until="options", expect=expect
            )
            yield f"closed_after_options_twice-{mode}", _case(fs, "context", device, step)
        if _usual(fs.name) == VALID and mode in _modes(fs):
            step = _mount(fs, "fsopen", mode, until="create")
            yield f"closed_after_create-{mode}", _case(fs, "context", device, step)
    for api in APIS:
        if fs.bad_option:
            options = (*good, *_options((fs.bad_option,)))
            step = _mount(fs, api, "rw", options=options, expect=fs.expected("bad_option"))
            yield f"bad_option-{api}-rw", _case(fs, "options", device, step)
        options = (*good, _UNKNOWN_OPTION)
        step = _mount(fs, api, "rw", options=options, expect=fs.expected("unknown_option"))
        yield f"unknown_option-{api}-rw", _case(fs, "options", device, step)


def _second(fs: Filesystem) -> Variants:
    """(g): the superblock exists already, and the new context does not fit it."""
    device = _usual_device(fs)
    for first, second in (("rw", "ro"), ("ro", "rw")):
        if first not in _modes(fs):
            continue
        expect = fs.expected(f"{first}_then_{second}")
        for api in APIS:
            # mount(2) refuses the same superblock on its own mount point with the same errno.
            how = api if expect else "fsopen"
            steps = (
                _mount(fs, api, first),
                _mount(fs, how, second, expect=expect),
                Umount(),
                *(() if expect else (Umount(),)),
            )
            yield f"{first}_then_{second}-{api}", _case(fs, "repeat", device, *steps)


_MAKERS: dict[str, Callable[[Filesystem], Variants]] = {
    "a": _setup,
    "b": _entry,
    "c": _bad_images,
    "d": _plain,
    "e": _reconfigure,
    "f": _context,
    "g": _second,
}
