"""What a directory keeps, as parameters of its tests (`errpath keep`)."""

from __future__ import annotations

from pathlib import Path

import pytest

from errpath.errors import ErrpathError
from errpath.intake.attempts import ATTEMPTS, ROUNDS, SECONDS, loadable, run_attempts
from errpath.intake.kept import Kept, load_kept
from errpath.intake.reproducer import load_reproducer
from errpath.intake.reproduction import Outcome, outcome_of
from errpath.runner.testbed import Testbed

__all__ = ["expect_not_reproduced", "kept_cases", "kept_reproducers"]


def kept_cases(test_file: str) -> list[object]:
    """The cases beside a test file, as pytest's parameters.

    Raises:
        pytest.UsageError: a file is wrong.
    """
    return [
        pytest.param(one.case, id=one.name, marks=_marks(one))
        for one in _kept(test_file)
        if one.case is not None
    ]


def kept_reproducers(test_file: str) -> list[object]:
    """The reproducers beside a test file, as pytest's parameters."""
    return [
        pytest.param(one, id=one.name, marks=_marks(one))
        for one in _kept(test_file)
        if one.reproducer is not None
    ]


def _kept(test_file: str) -> tuple[Kept, ...]:
    try:
        return load_kept(Path(test_file).parent)
    except ErrpathError as error:
        raise pytest.UsageError(str(error)) from None


def _marks(kept: Kept) -> tuple[pytest.MarkDecorator, ...]:
    if not kept.known:
        return ()
    reason = " ".join(word for word in (kept.title or "a known bug", kept.link) if word)
    return (pytest.mark.xfail(reason=reason, strict=True),)


def expect_not_reproduced(testbed: Testbed, kept: Kept) -> None:
    """Fail the test if a reproducer shows anything.

    Raises:
        AssertionError: there is no verdict.
    """
    assert kept.reproducer is not None
    try:
        reproducer = load_reproducer(kept.reproducer, rounds=ROUNDS, title=kept.title)
        filesystems, _ = loadable(testbed, reproducer.filesystems)
        attempts = run_attempts(
            testbed, reproducer, filesystems, attempts=ATTEMPTS, seconds=SECONDS
        )
    except ErrpathError as error:
        raise AssertionError(f"{kept.name}: no answer: {error}") from None
    found = outcome_of(attempts, reproducer.title, reproducer.expected)
    if found.outcome is not Outcome.NOT_REPRODUCED:
        pytest.fail(f"{kept.name}: {found.line()}", pytrace=False)
