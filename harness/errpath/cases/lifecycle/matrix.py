"""The matrix and its ids. A table of ids also says which cells a matrix has."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from errpath.cases.case import Alternative, MountCase
from errpath.cases.lifecycle.cell import Cell
from errpath.cases.lifecycle.mounting import bad_images, fill_super, plain_mounts, setup_bdev
from errpath.cases.lifecycle.reconfiguring import contexts, reconfigures, second_mounts
from errpath.cases.lifecycle.two_tasks import two_tasks
from errpath.filesystems import EVENTS, PLACES, Before, Filesystem, load_filesystem
from errpath.filesystems.mkfs import VALID, failed_tool, has_valid, unmade
from errpath.kernel.features.change import Change

__all__ = ["BY_EVENT", "BY_POINT", "Matrix", "Planned"]

# Ids by event: each cell once, for every filesystem. {fs}, {event}, {api}, {mode}, {other} (the
# other mode), {image}, {errno} and {point} are the cell's.
BY_EVENT: Mapping[str, str] = {
    kind: f"killsb-{{fs}}-{{event}}-{rest}"
    for kind, rest in {
        "injected": "injected-{errno}-{api}-{mode}{on_image}",
        "injected/then-mount": "injected-{errno}-then-mount-{api}",
        "readonly_device": "readonly_device-{api}-{mode}{on_image}",
        "held_device": "held_device-{api}-{mode}",
        "no_driver": "no_driver-{api}-{mode}",
        "image": "{image}-{api}-{mode}",
        "plain": "plain-{api}-{mode}",
        "options": "options-{api}-{mode}",
        "twice": "twice-{api}-{mode}",
        "written": "written-{api}",
        "refused": "refused-{api}-{mode}",
        "bad_option/again": "bad_option-{api}-{mode}",
        "unknown_option/again": "unknown_option-{api}-{mode}",
        "injected/again": "injected-{errno}-{api}-{mode}-to-{other}",
        "closed_after_options": "closed_after_options-{mode}",
        "closed_after_options_twice": "closed_after_options_twice-{mode}",
        "closed_after_create": "closed_after_create-{mode}",
        "bad_option": "bad_option-{api}-{mode}",
        "unknown_option": "unknown_option-{api}-{mode}",
        "rw_then_ro": "rw_then_ro-{api}",
        "ro_then_rw": "ro_then_rw-{api}",
        **{pair: f"{pair}-at-{{point}}" for pair in PLACES},
    }.items()
}

# Ids by point of failure, for matrices over errnos and images. {on_image} is empty for a valid one.
BY_POINT: Mapping[str, str] = {
    kind: f"{{fs}}-{rest}"
    for kind, rest in {
        "injected": "{point}-{errno}-{api}-{mode}{on_image}",
        "injected/then-mount": "{point}-{errno}-then-mount-{api}",
        "readonly_device": "readonly_device-{errno}-{api}-{mode}{on_image}",
        "held_device": "held_device-{errno}-{api}-{mode}",
        "no_driver": "no_driver-{errno}-{api}-{mode}",
        "image": "none-{errno}-{api}-{mode}{on_image}",
        "plain": "none-{api}-{mode}",
        "options": "good_options-{api}",
        "written": "written-{api}",
        "mounted_twice": "mounted-twice-{api}",
        "remount/to-ro": "remount-{mode}-to-ro-{api}",
        "remount/to-rw": "remount-{mode}-to-rw-{api}",
        "injected/again-bare": "{point}-{errno}{from_ro}-{api}",
        "closed_after_options": "context-closed-after-options-{mode}",
        "closed_after_create": "context-closed-after-create-{mode}",
        "bad_option": "good_then_bad_option-{errno}-{api}",
        "bad_option/only": "bad_option-{errno}-{api}",
        "bad_option/twice": "option_twice-{errno}-{api}",
        "unknown_option/only": "unknown_option-{errno}-{api}",
        "rw_then_ro": "mounted-rw-then-ro-{errno}-{api}",
        "ro_then_rw": "mounted-ro-then-rw-{errno}-{api}",
    }.items()
}

_Maker = Callable[[Filesystem, Sequence[str], Sequence[str]], Iterator[Cell]]
_MAKERS: Mapping[str, _Maker] = {
    "a": setup_bdev,
    "b": fill_super,
    "c": bad_images,
    "d": plain_mounts,
    "e": reconfigures,
    "f": contexts,
    "g": second_mounts,
    "h": two_tasks,
}
# Events that need a valid image.
_VALID_ONLY = "degh"
_IMAGES_OF_MKFS = ("truncated", "broken")


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
    # The reason is a failure of ours, such as a mkfs that fails: no skip, but an error.
    failed: bool = False


@dataclass(frozen=True, kw_only=True)
class Matrix:
    """How densely the life cycle of a filesystem is covered."""

    # Errnos that setup_bdev_super and fill_super are made to give.
    errnos: tuple[str, ...] = ("EIO",)
    # Kinds of image on which they fail; none: the usual one, valid where it can be made.
    images: tuple[str, ...] = ()
    # Templates of ids by kind of cell; what has none is left out.
    ids: Mapping[str, str] = field(default_factory=lambda: BY_EVENT)
    # What ids call an image otherwise than by its kind.
    image_names: Mapping[str, str] = field(default_factory=dict)
    # Whether the cases of each filesystem share guests with no others.
    batches: bool = True

    def plan(
        self, filesystems: Iterable[str], events: Iterable[str] = tuple(EVENTS)
    ) -> Iterator[Planned]:
        """Every case of these filesystems and events, in that order."""
        letters = tuple(events)
        for name in filesystems:
            filesystem = load_filesystem(name)
            if filesystem.image is not None:
                for letter in letters:
                    yield from self._event(filesystem, letter)

    def cases(
        self, filesystems: Iterable[str], events: Iterable[str] = tuple(EVENTS)
    ) -> tuple[MountCase, ...]:
        """The cases that can be run."""
        return tuple(one.case for one in self.plan(filesystems, events) if one.case is not None)

    def _event(self, fs: Filesystem, letter: str) -> Iterator[Planned]:
        reason = fs.lacks.get(letter, "")
        missing, failed = unmade(fs), bool(failed_tool(fs))
        if not reason and letter in _VALID_ONLY:
            assert fs.image is not None
            reason = missing if has_valid(fs) else "nothing here can make a valid image of it"
        if reason:
            failed = failed and reason == missing
            yield Planned(f"killsb-{fs.name}-{letter}", fs.name, letter, None, reason, failed)
            return
        cells = tuple(_MAKERS[letter](fs, self.errnos, self.images))
        older = [self._older(fs, letter, before, cells) for before in fs.before]
        for number, cell in enumerate(cells):
            if cell.kind not in self.ids:
                continue
            name = self._id(fs, letter, cell)
            short = fs.lacks.get(f"{letter}:{cell.variant}", "")
            if not short and cell.kind == "image" and cell.image in _IMAGES_OF_MKFS:
                short = missing
            batch = fs.name if self.batches else ""
            case = None
            if not short:
                others = (one[number] for one in older)
                alternatives = tuple(other for other in others if other is not None)
                case = replace(cell.case(name, fs.name, batch), alternatives=alternatives)
            yield Planned(name, fs.name, letter, case, short, failed and short == missing)

    def _older(
        self, fs: Filesystem, letter: str, before: Before, cells: Sequence[Cell]
    ) -> tuple[Alternative | None, ...]:
        """What each of an event's cells is on kernels that lack a change; None where it is the
        same."""
        change = Change(before.commit, before.function, before.file, before.pattern)
        others = tuple(_MAKERS[letter](fs.as_before(before), self.errnos, self.images))
        if [_place(cell) for cell in cells] != [_place(cell) for cell in others]:
            raise ValueError(f"before: {before.commit}: changes which cases there are")
        return tuple(
            Alternative(change, other.steps, errno=other.errno, without=True)
            if other.steps != cell.steps
            else None
            for cell, other in zip(cells, others, strict=True)
        )

    def _id(self, fs: Filesystem, letter: str, cell: Cell) -> str:
        image = self.image_names.get(cell.image, cell.image)
        return self.ids[cell.kind].format(
            fs=fs.name,
            event=letter,
            point=cell.point,
            errno=cell.errno,
            api=cell.api,
            mode=cell.mode,
            other="ro" if cell.mode == "rw" else "rw",
            image=image,
            on_image=f"-{image}" if image not in ("", VALID) else "",
            from_ro="-ro-to-rw" if cell.mode == "ro" else "",
        )


def _place(cell: Cell) -> tuple[str, ...]:
    return (cell.kind, cell.point, cell.api, cell.mode, cell.image)
