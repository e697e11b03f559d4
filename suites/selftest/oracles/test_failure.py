"""Failures: declared kinds, stable signatures, and a form that travels."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from errpath.oracles import failure
from errpath.oracles.failure import (
    Failure,
    declare,
    join_signatures,
    kind_named,
    kinds,
    stable_text,
    worst,
)

_TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=20)


@given(
    st.builds(
        Failure,
        kind=st.sampled_from(kinds()),
        title=_TEXT,
        signature=_TEXT,
        functions=st.lists(_TEXT, max_size=3).map(tuple),
        where=st.just("") | _TEXT,
        resource=st.just("") | _TEXT,
        size=st.integers(0, 4096),
        detail=st.just("") | _TEXT,
        follows=st.booleans(),
    )
)
def test_what_is_written_is_read(one: Failure) -> None:
    assert Failure.from_json(one.to_json()) == one


def test_evidence_stays_with_the_verdict() -> None:
    one = Failure(failure.OOPS, "kernel BUG in f", evidence="kernel BUG at f.c:1!")
    assert "evidence" not in one.to_json()


def test_a_kind_of_a_later_version_is_read() -> None:
    read = Failure.from_json({"kind": "quota", "title": "x", "more": 1})
    assert (read.kind.name, read.kind.bug, read.signature) == ("quota", False, "x")
    with pytest.raises(ValueError, match="expected kind and title"):
        Failure.from_json({"kind": "oops"})


def test_a_new_oracle_declares_its_own_kind() -> None:
    with pytest.raises(ValueError, match="kind 'leak': declared twice"):
        declare("leak", severity=1)
    with pytest.raises(ValueError, match="expected one of: hang, "):
        kind_named("leek")
    assert kind_named("leak") is failure.LEAK


def test_signatures_leave_out_what_changes() -> None:
    assert stable_text("at ffff888003f4ec00 after 3 s: foo+0x1/0x2") == "at X after N s: foo"
    one = Failure(failure.ERRNO, "mount: mount: -EIO; expected -EINVAL")
    late = Failure(failure.HANG, "INFO: task hung in f", follows=True)
    assert join_signatures((one, one, late)) == "mount: mount: -EIO; expected -EINVAL"


def test_the_worst_is_the_most_severe() -> None:
    leak, oops = Failure(failure.LEAK, "a"), Failure(failure.OOPS, "b")
    assert worst((leak, oops)) is oops
    assert worst(()) is None
