"""What a directory keeps, as parameters of its tests (`errpath keep`)."""

from __future__ import annotations

from pathlib import Path

import pytest

from errpath.errors import ErrpathError
from errpath.intake.kept import Kept, load_kept

__all__ = ["kept_cases"]


def kept_cases(test_file: str) -> list[object]:
    """The cases beside a test file, as pytest's parameters.

    Raises:
        pytest.UsageError: a file is wrong.
    """
    return [pytest.param(one.case, id=one.name, marks=_marks(one)) for one in _kept(test_file)]


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
