"""Judgement: every rule by an example, and what must hold whatever the past was."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from errpath.results.records import CaseStatus
from errpath.results.regression import WINDOW_NIGHTS, Judgement, Kind, Night, judge_case

_LETTERS = {
    "P": CaseStatus.PASS,
    "F": CaseStatus.FAIL,
    "E": CaseStatus.ERROR,
    "S": CaseStatus.SKIP,
}


def _night(letters: str, number: int = 0, *, kernel: str | None = None, how: str = "leak") -> Night:
    attempts = tuple(_LETTERS[letter] for letter in letters)
    signatures = frozenset([how]) if "F" in letters else frozenset[str]()
    return Night(f"run{number}", f"k{number}" if kernel is None else kernel, attempts, signatures)


def _judge(tonight: str | None, *past: str, same_kernel: bool = False, link: str = "") -> Judgement:
    """`past` is newest first; every night has a kernel of its own unless `same_kernel`."""
    kernel = "k" if same_kernel else None
    nights = [_night(letters, n, kernel=kernel) for n, letters in enumerate(past, 1)]
    now = None if tonight is None else _night(tonight, 0, kernel=kernel)
    return judge_case(now, nights, link=link)


@pytest.mark.parametrize(
    ("tonight", "past", "kind"),
    [
        ("FFF", ("P",), Kind.NEW_FAILURE),
        ("FFF", ("P", "P", "F"), Kind.NEW_FAILURE),
        ("F", ("P",), Kind.UNCONFIRMED),
        ("FF", ("P",), Kind.UNCONFIRMED),
        ("FEE", ("P",), Kind.UNCONFIRMED),
        ("FPF", ("P",), Kind.FLAKY),
        ("F", ("F", "P"), Kind.STILL_FAILING),
        ("F", ("E", "F", "P"), Kind.STILL_FAILING),
        ("P", ("F", "P"), Kind.FIXED),
        ("P", ("E", "F"), Kind.FIXED),
        ("P", ("P", "F"), Kind.PASSING),
        ("P", ("P", "F", "P"), Kind.PASSING),
        ("P", ("F", "P", "F"), Kind.FLAKY),
        ("FFF", ("P", "F", "P"), Kind.FLAKY),
        ("F", ("F", "F", "P", "F", "P"), Kind.STILL_FAILING),
        ("P", (), Kind.NEW_CASE),
        ("FFF", (), Kind.NEW_CASE),
        (None, ("P",), Kind.GONE),
        (None, (), Kind.NOT_RUN),
        ("E", ("P",), Kind.INFRASTRUCTURE),
        ("EEE", ("F",), Kind.INFRASTRUCTURE),
        ("S", ("P",), Kind.SKIPPED),
        ("PE", ("P",), Kind.PASSING),
    ],
)
def test_rules(tonight: str | None, past: tuple[str, ...], kind: Kind) -> None:
    assert _judge(tonight, *past).kind is kind


def test_one_kernel_with_two_answers_is_flaky() -> None:
    assert _judge("P", "F", same_kernel=True).kind is Kind.FLAKY
    flaky = _judge("FFF", "P", same_kernel=True)
    assert flaky.kind is Kind.FLAKY
    assert str(flaky) == "flaky, 3 of 4 over 2 nights"


def test_known_beats_everything_but_a_pass() -> None:
    assert _judge("FFF", "P", link="https://x").kind is Kind.KNOWN
    assert _judge("F", "F", link="https://x").kind is Kind.KNOWN
    assert str(_judge("F", "F", link="https://x")) == "known (https://x)"
    assert _judge("P", "F", link="https://x").kind is Kind.FIXED


def test_a_suite_that_did_not_end_has_no_gone_cases() -> None:
    past = [_night("P", 1)]
    assert judge_case(None, past, complete=False).kind is Kind.NOT_RUN


def test_another_failure_behind_a_failure_is_reported() -> None:
    past = [_night("F", 1), _night("P", 2)]
    changed = judge_case(_night("FFF", how="oops"), past)
    assert (changed.kind, changed.changed, changed.attention) == (Kind.STILL_FAILING, True, True)
    same = judge_case(_night("FFF"), past)
    assert (same.changed, same.attention) == (False, False)
    # Not before it is confirmed.
    assert not judge_case(_night("F", how="oops"), past).changed


def test_since_names_the_first_night_of_the_row() -> None:
    assert _judge("F", "F", "E", "F", "P").since == "run3"
    assert _judge("P", "F", "F").since == "run2"


_attempts = st.text("PFES", min_size=1, max_size=5)
_pasts = st.lists(_attempts, max_size=WINDOW_NIGHTS + 3)


@given(_attempts, _pasts)
def test_attention_needs_a_failure_tonight(tonight: str, past: list[str]) -> None:
    judged = _judge(tonight, *past)
    assert judged.failing == ("F" in tonight)
    assert not judged.attention or "F" in tonight


@given(_attempts, _pasts)
def test_a_new_failure_was_confirmed_and_passed_before(tonight: str, past: list[str]) -> None:
    if _judge(tonight, *past).kind is Kind.NEW_FAILURE:
        assert tonight.count("F") > 2
        assert "P" not in tonight
        last = next(night for night in past if "P" in night or "F" in night)
        assert "P" in last


@given(_attempts, _pasts, st.randoms())
def test_infrastructure_trouble_never_changes_what_is_said(
    tonight: str, past: list[str], random: object
) -> None:
    """Errors beside a conclusive attempt, and nights of nothing but errors, say nothing."""
    if "P" not in tonight and "F" not in tonight:
        kind = _judge(tonight, *past).kind
        assert kind in (Kind.INFRASTRUCTURE, Kind.SKIPPED)
        return
    plain = [night for night in past if "P" in night or "F" in night][: WINDOW_NIGHTS // 2]
    if not plain:
        return
    noisy = [piece for night in plain for piece in ("E" + night + "E", "EE")]
    kernels = [f"k{n}" for n in range(1, len(plain) + 1)]
    quiet = [_night(letters, kernel=k) for letters, k in zip(plain, kernels, strict=True)]
    loud = [
        _night(letters, kernel=kernels[n // 2] if n % 2 == 0 else "rig")
        for n, letters in enumerate(noisy)
    ]
    a = judge_case(_night(tonight, kernel="now"), quiet)
    b = judge_case(_night("E" + tonight, kernel="now"), loud)
    assert a == b


@given(st.sampled_from("PF"), st.integers(1, WINDOW_NIGHTS), st.integers(1, 4), st.booleans())
def test_a_case_that_never_changes_is_never_news(
    letter: str, nights: int, attempts: int, same: bool
) -> None:
    judged = _judge(letter * attempts, *[letter] * nights, same_kernel=same)
    assert judged.kind is (Kind.PASSING if letter == "P" else Kind.STILL_FAILING)
    assert not judged.attention


@given(_attempts, _pasts)
def test_order_of_tonights_attempts_does_not_matter(tonight: str, past: list[str]) -> None:
    assert _judge(tonight, *past) == _judge("".join(sorted(tonight)), *past)


@given(_attempts, _pasts, st.lists(_attempts, max_size=5))
def test_nothing_beyond_the_window_counts(
    tonight: str, past: list[str], older: Sequence[str]
) -> None:
    full = (past + ["P"] * WINDOW_NIGHTS)[:WINDOW_NIGHTS]
    assert _judge(tonight, *full) == _judge(tonight, *full, *older)
