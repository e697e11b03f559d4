"""A failing case → the smallest that fails the same way. Pure: who runs cases is an argument.

Fewest steps, no fault where none is needed, and of the image the fewest bytes that differ from a
valid base. What is the same failure is its signature.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from errpath.cases.case import Device, MountCase
from errpath.images import Image, blank
from errpath.runner.subset import smallest_subset

__all__ = ["Minimized", "changes", "minimize"]

# Whether a case fails the same way.
Shows = Callable[[MountCase], bool]
# Runs for the steps, and for the image.
_STEP_TRIES, _IMAGE_TRIES = 24, 96
# Runs of bytes are first tried whole; what is left of them is tried byte by byte up to this many.
_BYTES_MAX = 256


@dataclass(frozen=True)
class Minimized:
    """The smallest case, and how large it was."""

    case: MountCase
    base: Image | None
    steps_before: int
    # Bytes that differ from the base.
    bytes_before: int
    bytes_after: int
    # The fault was not needed.
    fault_dropped: bool = False


def minimize(
    case: MountCase,
    base: Image | None,
    shows: Shows,
    say: Callable[[str], None] = lambda text: None,
) -> Minimized:
    """The smallest case of which `shows` still holds; it must hold of `case`."""
    before = case
    say(f"{len(case.steps)} steps")
    case = _fewest_steps(case, shows)
    dropped = False
    if case.fault is not None:
        bare = replace(case, steps=tuple(replace(step, fail=None) for step in case.steps))
        dropped = shows(bare)
        case = bare if dropped else case
    image = case.device.content
    if image is None:
        return Minimized(case, None, len(before.steps), 0, 0, dropped)
    base = base if base is not None and base.size == image.size else blank(image.size, "zeros")
    items = changes(image, base)
    count = sum(len(data) for _, data in items)
    say(f"{len(case.steps)} steps, {count} bytes in {len(items)} places")
    kept = _fewest_bytes(case, base, items, shows)
    case = _with(case, base, kept)
    after = sum(len(data) for _, data in kept)
    say(f"{len(case.steps)} steps, {after} bytes in {len(kept)} places")
    return Minimized(case, base, len(before.steps), count, after, dropped)


def _fewest_steps(case: MountCase, shows: Shows) -> MountCase:
    numbers = tuple(range(len(case.steps)))

    def chosen(some: Sequence[int]) -> MountCase:
        return replace(case, steps=tuple(case.steps[number] for number in some))

    kept = smallest_subset(numbers, lambda some: shows(chosen(some)), tries=_STEP_TRIES)
    return chosen(kept)


def changes(image: Image, base: Image) -> list[tuple[int, bytes]]:
    """The runs of bytes in which an image differs from a base of its size."""
    found: list[tuple[int, bytes]] = []
    for offset, data in image.delta(base):
        found += _runs(offset, data, base.read(offset, len(data)))
    return found


def _runs(offset: int, new: bytes, old: bytes) -> Iterator[tuple[int, bytes]]:
    start = None
    for at in range(len(new) + 1):
        differs = at < len(new) and new[at] != old[at]
        if differs and start is None:
            start = at
        elif not differs and start is not None:
            yield offset + start, new[start:at]
            start = None


def _with(case: MountCase, base: Image, pieces: Sequence[tuple[int, bytes]]) -> MountCase:
    """The case on the base with these bytes changed: as pieces, so that the base travels once."""
    device: Device = replace(case.device, image=base, pieces=tuple(pieces), size=None)
    return replace(case, device=device)


def _fewest_bytes(
    case: MountCase, base: Image, items: Sequence[tuple[int, bytes]], shows: Shows
) -> Sequence[tuple[int, bytes]]:
    def fails(some: Sequence[tuple[int, bytes]]) -> bool:
        return shows(_with(case, base, some))

    if fails(()):
        return ()
    kept = smallest_subset(items, fails, tries=_IMAGE_TRIES)
    single = [(offset + at, data[at : at + 1]) for offset, data in kept for at in range(len(data))]
    if len(kept) < len(single) <= _BYTES_MAX:
        kept = smallest_subset(single, fails, tries=_IMAGE_TRIES)
    return kept
