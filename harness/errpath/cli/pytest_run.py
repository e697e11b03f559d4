"""pytest over the shipped suites, for the commands."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from errpath.errors import UsageError
from errpath.filesystems import known_filesystems
from errpath.runner.options import SelectionOptions
from errpath.util.resources import PYTEST_WORDS, SUITES, shipped_suites, suite_path

__all__ = ["run_cases", "run_pytest", "suites_of"]


def run_cases(
    cases: Sequence[str],
    words: Sequence[str],
    *,
    suites: Sequence[Path] = (),
    plugins: Sequence[object] = (),
) -> int:
    """Cases by their ids, with pytest's words and plugins of ours; its own status. `suites` are
    searched in place of those that come with errpath.

    Raises:
        UsageError: errpath is installed without its suites, or one of `suites` is not there.
    """
    selection = SelectionOptions(case=tuple(cases)).to_argv()
    for path in suites:
        if not path.exists():
            raise UsageError(f"--suite {path}: no such file; expected a file or directory of tests")
    if suites:
        sys.stdout.flush()
        own = [*map(str, suites), *selection, *words, "-q"]
        return int(pytest.main(own, plugins=list(plugins)))
    if not SUITES.is_dir():
        raise UsageError(f"{SUITES}: no suites; expected them where errpath is installed")
    chosen = [suite_path(name) for name in suites_of(cases)]
    return run_pytest([*chosen, *selection, *words, "-q"], *plugins)


def run_pytest(words: Sequence[str], *plugins: object) -> int:
    """pytest over shipped suites, with its own status."""
    sys.stdout.flush()
    # Where errpath is installed nothing can be written, perhaps.
    cache = f"cache_dir={Path.cwd() / '.pytest_cache'}"
    return int(pytest.main([*PYTEST_WORDS, "-o", cache, *words], plugins=plugins))


def suites_of(cases: Sequence[str]) -> list[str]:
    """The suites that may hold the cases. An id that begins with a suite's name is of that suite: a
    suite may have images to make before it knows its cases."""
    suites = shipped_suites()
    named = set(suites) - set(known_filesystems())
    chosen = {case.split("-")[0] for case in cases} & named
    if any(case.split("-")[0] not in named for case in cases):
        chosen |= set(suites) - named
    return sorted(chosen)
