"""pytest: the options and markers of suites/killsb."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from errpath.cases.files import file_cases
from errpath.cases.lifecycle import Planned, parse_events, parse_filesystems, plan
from errpath.errors import ErrpathError
from errpath.filesystems import (
    EVENT_NAMES,
    EVENTS,
    EXPECTATIONS,
    known_filesystems,
    load_filesystem,
)

__all__ = ["killsb_parameters"]


def pytest_configure(config: pytest.Config) -> None:
    markers = {f"event_{letter}": f"suites/killsb: {text}" for letter, text in EVENTS.items()}
    markers |= {EVENT_NAMES[key]: f"suites/killsb: {text}" for key, text in EVENTS.items()}
    markers["unmade(reason)"] = "a case of which the image could not be made: an error"
    markers["image"] = "cases of an image that the filesystem refuses by itself"
    for name in known_filesystems():
        filesystem = load_filesystem(name)
        for what in EXPECTATIONS:
            errno = filesystem.expected(what)
            if errno:
                markers[errno] = f"cases that end in -{errno}"
    for name, text in markers.items():
        config.addinivalue_line("markers", f"{name}: {text}")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """A case that could not be made is an error of its own set-up."""
    for mark in item.iter_markers("unmade"):
        pytest.fail(mark.args[0], pytrace=False)


def killsb_parameters(config: pytest.Config) -> list[object]:
    """The chosen cases of the matrix as pytest parameters; what is not run is a skip, or an error
    where an image could not be made. Of the whole matrix, with those of ordinary files.

    Raises:
        pytest.UsageError: an option names what does not exist, or an image cannot be made.
    """
    try:
        filesystems = parse_filesystems(config.getoption("fs"))
        events = parse_events(config.getoption("event"))
        parameters = _parameters(plan(filesystems, events))
        # They are of no event, and made for our own volumes.
        if not config.getoption("event") and not config.getoption("image"):
            parameters += [pytest.param(one, id=one.id) for one in file_cases(filesystems)]
        return parameters
    except ErrpathError as error:
        raise pytest.UsageError(str(error)) from None


def _parameters(planned: Iterable[Planned]) -> list[object]:
    parameters: list[object] = []
    for one in planned:
        names = (f"event_{one.event}", EVENT_NAMES[one.event])
        marks = [getattr(pytest.mark, name) for name in names]
        if one.reason:
            reason = f"{one.filesystem} ({one.event}): {one.reason}"
            why = pytest.mark.unmade(reason) if one.failed else pytest.mark.skip(reason=reason)
            marks += [why, getattr(pytest.mark, one.filesystem)]
        parameters.append(pytest.param(one.case, id=one.id, marks=marks))
    return parameters
