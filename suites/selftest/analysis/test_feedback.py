"""Mutants that are guided by what they reach."""

from __future__ import annotations

import random

import pytest

from errpath.analysis.feedback import Corpus
from errpath.images import Image, blank
from errpath.images.crafted.mutant import Mutant

_SEED = Image.of("seed", 1 << 16, [(1024, bytes(range(64)) * 8), (40000, b"\xff" * 512)])


def _corpus(*, feedback: bool = True, seed: int = 1) -> Corpus:
    return Corpus((_SEED, blank(4096, "zeros")), random.Random(seed), feedback=feedback)


def test_mutants_are_images_of_the_same_size() -> None:
    corpus = _corpus()
    for number in range(300):
        mutant = corpus.next()
        assert mutant.image().size == mutant.base.size
        assert Mutant.from_blob(mutant.blob, mutant.base).pieces == mutant.pieces
        assert 1 <= len(mutant.pieces) <= 24
        # What each reached is new: all are kept.
        assert corpus.saw(mutant, (number,)) == 1
    assert len(corpus.kept) == 300


def test_the_same_seed_gives_the_same_mutants() -> None:
    first = [one.blob for one in (_corpus().next() for _ in range(5))]
    assert first == [one.blob for one in (_corpus().next() for _ in range(5))]
    assert first[0] != _corpus(seed=2).next().blob


def test_what_reaches_nothing_new_is_not_kept() -> None:
    corpus = _corpus()
    mutant = corpus.next()
    assert corpus.saw(mutant, (1, 2, 2)) == 2
    assert corpus.saw(corpus.next(), (2, 1)) == 0
    assert corpus.kept == (mutant,)
    without = _corpus(feedback=False)
    without.saw(without.next(), (1,))
    assert (without.kept, without.edges) == ((), {1})


def _depth(mutant: Mutant) -> int:
    """A parser of six checks, each behind the one before; how many are passed."""
    data = mutant.image().read(1024, 512)[:: 512 // 6]
    return next((n for n, byte in enumerate(data[:6]) if byte < 128), 6)


@pytest.mark.parametrize("seed", range(3))
def test_feedback_gets_behind_checks_that_follow_one_another(seed: int) -> None:
    deepest = {}
    for feedback in (True, False):
        corpus = Corpus((_SEED,), random.Random(seed), feedback=feedback)
        deepest[feedback] = 0
        for _ in range(3000):
            mutant = corpus.next()
            depth = _depth(mutant)
            corpus.saw(mutant, range(depth + 1))
            deepest[feedback] = max(deepest[feedback], depth)
    assert deepest[True] > deepest[False]
