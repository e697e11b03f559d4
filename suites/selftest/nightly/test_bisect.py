"""Bisection over lists and over a real git history with merges."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from errpath.errors import UsageError
from errpath.nightly.bisect import Answer, bisect_list, bisect_revisions


@given(st.integers(2, 200), st.data())
def test_the_first_bad_one_is_found(count: int, data: st.DataObject) -> None:
    first_bad = data.draw(st.integers(1, count - 1))
    names = [str(number) for number in range(count)]
    found = bisect_list(names, lambda n: Answer.BAD if int(n) >= first_bad else Answer.GOOD)
    assert found.first_bad == (str(first_bad),)
    assert len(found.asked) <= 2 + count.bit_length()


@given(st.integers(3, 40), st.data())
def test_kernels_without_an_answer_stay_in_doubt(count: int, data: st.DataObject) -> None:
    first_bad = data.draw(st.integers(1, count - 1))
    silent = data.draw(st.sets(st.integers(1, count - 2)))

    def ask(name: str) -> Answer:
        if int(name) in silent:
            return Answer.SKIP
        return Answer.BAD if int(name) >= first_bad else Answer.GOOD

    found = bisect_list([str(number) for number in range(count)], ask)
    doubt = [int(name) for name in found.first_bad]
    assert first_bad in doubt
    # All but the last are silent: nothing that could have been asked is left in doubt.
    assert all(number in silent for number in doubt[:-1])
    assert doubt[-1] not in silent


def test_ends_that_say_otherwise() -> None:
    with pytest.raises(UsageError, match="a is bad; expected good"):
        bisect_list(["a", "b"], lambda _: Answer.BAD)
    with pytest.raises(UsageError, match="b is good; expected bad"):
        bisect_list(["a", "b"], lambda _: Answer.GOOD)
    with pytest.raises(UsageError, match="two"):
        bisect_list(["a"], lambda _: Answer.BAD)


@pytest.fixture
def git(tmp_path: Path) -> Callable[..., str]:
    env = {
        "PATH": "/usr/bin:/bin",
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_CONFIG_SYSTEM": "/dev/null",
        **{
            f"GIT_{who}_{what}": "x"
            for who in ("AUTHOR", "COMMITTER")
            for what in ("NAME", "EMAIL")
        },
    }

    def run(*words: str) -> str:
        argv = ["git", "-C", str(tmp_path), *words]
        return subprocess.run(argv, env=env, check=True, capture_output=True, text=True).stdout

    run("init", "-q", "-b", "main")
    return run


def test_git_history_with_a_merge(tmp_path: Path, git: Callable[..., str]) -> None:
    """The bad commit came in from a side branch; a walk along first parents would blame the
    merge."""

    def commit(name: str) -> str:
        (tmp_path / name).write_text(name)
        git("add", name)
        git("commit", "-qm", name)
        return git("rev-parse", "HEAD").strip()

    commit("m0")
    git("tag", "good")
    git("checkout", "-qb", "side")
    for number in range(4):
        commit(f"s{number}")
    culprit = commit("culprit")
    commit("s5")
    git("checkout", "-q", "main")
    for number in range(1, 4):
        commit(f"m{number}")
    git("merge", "-q", "--no-ff", "-m", "merge", "side")
    for number in range(4, 8):
        commit(f"m{number}")
    (tmp_path / "m0").write_text("the user's own change")
    before = git("status", "--porcelain") + git("rev-parse", "HEAD")
    asked: list[str] = []

    def ask(revision: str) -> Answer:
        asked.append(revision)
        argv = ["git", "-C", str(tmp_path), "cat-file", "-e", f"{revision}:culprit"]
        there = subprocess.run(argv, capture_output=True, check=False).returncode == 0
        return Answer.BAD if there else Answer.GOOD

    found = bisect_revisions(tmp_path, "good", "main", ask)
    assert found.first_bad == (culprit,)
    assert len(asked) == len(set(asked)) <= 7
    assert git("status", "--porcelain") + git("rev-parse", "HEAD") == before
    with pytest.raises(UsageError, match="nothing that"):
        bisect_revisions(tmp_path, "main", "good", ask)
    with pytest.raises(UsageError, match="no such revision"):
        bisect_revisions(tmp_path, "none", "main", ask)
