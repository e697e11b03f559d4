"""Attempts → outcome, outcomes → what a patch does."""

from __future__ import annotations

from itertools import product

import pytest

from errpath.intake.attempts import confirm_leaks
from errpath.intake.contained import Attempt
from errpath.intake.reproduction import (
    Answer,
    Outcome,
    Reproduction,
    attempts_after,
    judge_patch,
    outcome_of,
)
from errpath.oracles.failure import LEAK, WARNING, Failure

_LEAK = Failure(
    LEAK,
    "memory leak in gfs2_init_fs_context",
    signature="memory leak in gfs2_init_fs_context < alloc_fs_context",
    functions=("__kmalloc", "gfs2_init_fs_context", "alloc_fs_context"),
)
_WARNING = Failure(WARNING, "WARNING in f", functions=("f",))
_CLEAN, _BAD, _ODD = Attempt(), Attempt((_LEAK,)), Attempt((_WARNING,))
_LOST = Attempt(error="the guest did not survive it")


@pytest.mark.parametrize(
    ("attempts", "outcome", "shown", "of"),
    [
        ([_BAD, _BAD], Outcome.SAME, 2, 2),
        ([_CLEAN, _BAD, _ODD], Outcome.SAME, 1, 3),
        ([_CLEAN, _ODD], Outcome.OTHER, 1, 2),
        ([_CLEAN, _CLEAN], Outcome.NOT_REPRODUCED, 0, 2),
        # What says nothing does not count.
        ([_CLEAN, _LOST], Outcome.NOT_REPRODUCED, 0, 1),
        ([_LOST, _BAD], Outcome.SAME, 1, 1),
        ([_LOST, _LOST], Outcome.ERROR, 0, 0),
        ([], Outcome.ERROR, 0, 0),
    ],
)
def test_outcomes(attempts: list[Attempt], outcome: Outcome, shown: int, of: int) -> None:
    found = outcome_of(attempts, _LEAK.title, None)
    assert (found.outcome, found.shown, found.of) == (outcome, shown, of)
    assert found.line().startswith(outcome.value)


def test_without_a_title_every_failure_is_another() -> None:
    assert outcome_of([_BAD], "", None).outcome is Outcome.OTHER
    assert outcome_of([_CLEAN], "", None).outcome is Outcome.NOT_REPRODUCED


def test_what_else_was_seen_is_reported() -> None:
    assert outcome_of([_BAD, _ODD], _LEAK.title, None).others == ("WARNING in f",)
    assert outcome_of([_ODD, Attempt((_WARNING, _LEAK))], "other", None).others == (_LEAK.title,)


def _of(outcome: Outcome) -> Reproduction:
    return Reproduction(outcome, 1, 1)


@pytest.mark.parametrize(
    ("before", "after", "answer"),
    [
        (Outcome.SAME, Outcome.NOT_REPRODUCED, Answer.FIXED),
        (Outcome.OTHER, Outcome.NOT_REPRODUCED, Answer.FIXED),
        (Outcome.SAME, Outcome.SAME, Answer.STILL),
        (Outcome.SAME, Outcome.OTHER, Answer.REGRESSED),
        (Outcome.NOT_REPRODUCED, Outcome.SAME, Answer.REGRESSED),
        (Outcome.NOT_REPRODUCED, Outcome.OTHER, Answer.REGRESSED),
        (Outcome.NOT_REPRODUCED, Outcome.NOT_REPRODUCED, Answer.NOT_REPRODUCED),
    ],
)
def test_patches(before: Outcome, after: Outcome, answer: Answer) -> None:
    assert judge_patch(_of(before), _of(after)) is answer


def test_an_error_on_either_side_is_an_error() -> None:
    for one, other in product(Outcome, repeat=2):
        if Outcome.ERROR in (one, other):
            assert judge_patch(_of(one), _of(other)) is Answer.ERROR


@pytest.mark.parametrize(
    ("shown", "of", "wanted"), [(3, 3, 3), (1, 2, 5), (1, 5, 14), (1, 100, 30)]
)
def test_a_flaky_failure_takes_more_clean_attempts(shown: int, of: int, wanted: int) -> None:
    assert attempts_after(Reproduction(Outcome.SAME, shown, of), 3) == wanted
    assert attempts_after(Reproduction(Outcome.NOT_REPRODUCED, 0, of), 3) == 3


def test_only_leaks_that_a_slow_check_shows_are_leaks() -> None:
    other = Failure(LEAK, "memory leak in g")
    asked = iter([_CLEAN, Attempt((_LEAK,))])
    found = confirm_leaks([Attempt((_LEAK, other, _WARNING)), _BAD, _CLEAN], lambda: next(asked))
    assert [attempt.failures for attempt in found] == [(_LEAK, _WARNING), (_LEAK,), ()]
    # Nothing suspected, nothing run again.
    assert confirm_leaks([_ODD], lambda: next(asked)) == [_ODD]
