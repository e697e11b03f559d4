"""What `--fs` and `--event` choose of the matrix, and the crafted images as cases of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from errpath.cases.crafted import crafted_cases, known_issue_cases
from errpath.cases.lifecycle.matrix import Matrix, Planned
from errpath.errors import UsageError
from errpath.filesystems import EVENT_NAMES, EVENTS, known_filesystems, load_filesystem
from errpath.filesystems.mkfs import own_filesystems

__all__ = ["parse_events", "parse_filesystems", "plan", "plan_crafted"]


def parse_filesystems(words: str) -> tuple[str, ...]:
    """The filesystems that `--fs` names; without it that of `--image`, or all.

    Raises:
        UsageError: one of them is not defined.
    """
    names = tuple(dict.fromkeys(name for name in words.replace(",", " ").split() if name))
    chosen = names or own_filesystems() or known_filesystems()
    for name in chosen:
        load_filesystem(name)
    return chosen


def parse_events(words: str) -> tuple[str, ...]:
    """The letters of the events that `--event` names, by name or by letter; all without it.

    Raises:
        UsageError: there is no such event.
    """
    letters: dict[str, None] = {}
    by_name = {name: letter for letter, name in EVENT_NAMES.items()}
    for word in words.replace(",", " ").split():
        letter = by_name.get(word, word)
        if letter not in EVENTS:
            known = ", ".join(
                f"{name} or {key} ({EVENTS[key]})" for key, name in EVENT_NAMES.items()
            )
            raise UsageError(f"--event {word}: unknown; expected some of: {known}")
        letters[letter] = None
    return tuple(letters) or tuple(EVENTS)


def plan(filesystems: Iterable[str], events: Iterable[str] = tuple(EVENTS)) -> Iterator[Planned]:
    """Every case of these filesystems and events, in that order, as suites/killsb has them."""
    return Matrix().plan(filesystems, events)


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
