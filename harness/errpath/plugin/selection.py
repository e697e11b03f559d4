"""pytest: `--touched` and `--cases-from`, which leave out tests after every other selection."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from errpath.analysis.compare.suites import Untouched, find_untouched
from errpath.errors import ErrpathError, UsageError
from errpath.plugin.cases import case_of, kernel_of, session_of, unit_of
from errpath.plugin.sweep import CHOSEN_POINTS
from errpath.results.testbeds import make_testbed
from errpath.util.files import replacing

__all__ = ["FINDER", "UNTOUCHED_LIST", "keep_items", "key_of"]

# What finds out which cases a patch cannot reach, where it is not `find_untouched`.
FINDER = pytest.StashKey[Callable[..., Untouched]]()

# In the run's directory: ids of what was left out, for `--cases-from`.
UNTOUCHED_LIST = "untouched"


def pytest_configure(config: pytest.Config) -> None:
    if not config.option.touched:
        return
    choices = session_of(config).choices
    if not all(choice.testbed.kernel.patches for choice in choices.values()):
        raise pytest.UsageError("--touched: expected --patch, whose functions choose the cases")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    try:
        if config.option.cases_from is not None:
            keep_items(config, items, _chosen(config.option.cases_from, items))
        if config.option.touched and items:
            keep_items(config, items, _touched(config, items))
    except UsageError as error:
        raise pytest.UsageError(str(error)) from None


def keep_items(config: pytest.Config, items: list[pytest.Item], keep: set[int]) -> None:
    """Deselect all items but those of these `id()`s."""
    dropped = [item for item in items if id(item) not in keep]
    if dropped:
        config.hook.pytest_deselected(items=dropped)
        items[:] = [item for item in items if id(item) in keep]


def key_of(item: pytest.Item) -> str:
    """What a test is called in lists: its case's id, else its node id."""
    case = case_of(item)
    return case.id if case is not None else item.nodeid


def _chosen(path: Path, items: list[pytest.Item]) -> set[int]:
    try:
        wanted = set(path.read_text().split("\n")) - {""}
    except OSError as error:
        raise UsageError(f"--cases-from {path}: {error.strerror}; expected a file") from None
    points = {item: _points(item, wanted) for item in items}
    chosen = [item for item in items if points[item] or wanted & {key_of(item), item.nodeid}]
    found = {name for item in chosen for name in (key_of(item), item.nodeid, *points[item])}
    if missing := wanted - found:
        raise UsageError(f"--cases-from {path}: {min(missing)}: no such case or test")
    for item in chosen:
        item.stash[CHOSEN_POINTS] = points[item]
    return {id(item) for item in chosen}


def _points(item: pytest.Item, wanted: set[str]) -> tuple[str, ...]:
    """The points of a sweep's test that are wanted by their ids."""
    unit = unit_of(item)
    return tuple(sorted(filter(unit.holds, wanted))) if unit is not None else ()


def _touched(config: pytest.Config, items: list[pytest.Item]) -> set[int]:
    """What the patch may reach. A test that has no case is no choice of ours, but for a sweep of a
    filesystem whose code is the same."""
    session = session_of(config)
    try:
        untouched = {
            kernel: _untouched(config, [item for item in items if kernel_of(item) == kernel])
            for kernel in session.choices
        }
    except ErrpathError as error:
        pytest.exit(str(error), returncode=error.exit_status)
    left = [item for item in items if _is_left(item, untouched)]
    if left:
        file = session.directory / UNTOUCHED_LIST
        file.parent.mkdir(parents=True, exist_ok=True)
        with replacing(file) as part:
            part.write_text("".join(f"{name}\n" for name in dict.fromkeys(map(key_of, left))))
        session.progress.say(f"touched: {len(left)} of {len(items)} tests are left out: {file}")
    gone = {id(item) for item in left}
    return {id(item) for item in items} - gone


def _untouched(config: pytest.Config, items: list[pytest.Item]) -> Untouched:
    if not items:
        return Untouched()
    session = session_of(config)
    cases = {case.id: case for item in items if (case := case_of(item)) is not None}
    units = {unit.filesystem for item in items if (unit := unit_of(item)) is not None}
    find = config.stash.get(FINDER, find_untouched)
    return find(
        tuple(cases.values()),
        units,
        session.choices[kernel_of(items[0])],
        session.directory / "traces",
        session.progress,
        make=config.hook.pytest_errpath_testbed_factory(config=config) or make_testbed,
    )


def _is_left(item: pytest.Item, untouched: Mapping[str, Untouched]) -> bool:
    here = untouched[kernel_of(item)]
    case, unit = case_of(item), unit_of(item)
    if case is not None:
        return case.id in here.cases
    return unit is not None and unit.filesystem in here.filesystems
