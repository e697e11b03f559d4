"""What errpath knows of a failure: known issues, and with them the findings that they link to."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from pathlib import Path

from errpath.oracles.failure import Failure
from errpath.runner.known_issue_files import KNOWN_ISSUES, load_known_issues
from errpath.runner.known_issues import KnownIssue
from errpath.util.resources import SUITES

__all__ = ["issues_of", "shipped_issues"]


@functools.cache
def shipped_issues() -> tuple[KnownIssue, ...]:
    """The entries of all shipped suites.

    Raises:
        DefinitionError: a file is wrong.
    """
    files = [SUITES / KNOWN_ISSUES, *sorted(SUITES.glob(f"*/{KNOWN_ISSUES}"))]
    return tuple(
        issue for file in files if file.is_file() for issue in load_known_issues(file).issues
    )


def issues_of(failure: Failure, more: Iterable[Path] = ()) -> tuple[KnownIssue, ...]:
    """The entries that explain a failure, of whatever case; `more` are files of the user's.

    Raises:
        DefinitionError: a file is wrong.
    """
    own = (issue for file in more for issue in load_known_issues(file).issues)
    return tuple(issue for issue in (*own, *shipped_issues()) if issue.explains(failure))
