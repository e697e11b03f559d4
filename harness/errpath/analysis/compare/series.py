"""A series, patch by patch: every kernel on the way builds and breaks nothing."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from errpath.analysis.compare.compare import Request, Summary, compare
from errpath.analysis.compare.judge import Require, State, exit_status
from errpath.analysis.mail.message import parse_patch, split_mailbox
from errpath.errors import NO_ANSWER, BuildError, PatchError
from errpath.runner.options import Choice
from errpath.util.cache import cache_root, store_bytes
from errpath.util.progress import Progress

__all__ = ["Step", "split_series", "walk_series"]


@dataclass(frozen=True)
class Step:
    """What the kernel with the first patches of a series came to."""

    number: int
    of: int
    subject: str
    # 0: it builds and nothing regressed; 1; or NO_ANSWER.
    status: int
    # Why not 0.
    note: str = ""

    @property
    def line(self) -> str:
        """For reports, such as `2/5 hfs: free the bitmap: builds, nothing regressed`."""
        return f"{self.number}/{self.of} {self.subject}: {self.note or 'builds, nothing regressed'}"


def split_series(paths: Sequence[Path]) -> tuple[Path, ...]:
    """Each mail with a patch as a file of its own, in order; kept by its content.

    Raises:
        PatchError: one cannot be read.
    """
    found = []
    for path in paths:
        try:
            text = path.read_text(errors="surrogateescape")
        except OSError as error:
            raise PatchError(f"{path}: cannot be read: {error.strerror}") from error
        mails = [mail for mail in split_mailbox(text) if "\n+++ " in mail]
        if len(mails) < 2:
            found.append(path)
            continue
        for mail in mails:
            content = mail.encode(errors="surrogateescape")
            name = hashlib.sha256(content).hexdigest()[:32]
            found.append(store_bytes(cache_root() / "patches" / f"{name}.patch", content))
    return tuple(found)


def walk_series(
    request: Request,
    patches: Sequence[Path],
    progress: Progress,
    run: Callable[[Request, Progress], Summary] = compare,
) -> Iterator[Step]:
    """Compare the kernel before with the kernel after each patch but the last.

    Raises:
        ErrpathError: no answer is possible for another reason than one of the patches.
    """
    for number in range(1, len(patches)):
        name = patches[number - 1].name
        text = patches[number - 1].read_text(errors="replace")
        subject = parse_patch(text, name).subject
        after = _with_patches(request.after, tuple(patches[:number]))
        directory = request.directory / f"patch-{number}"
        step = replace(request, after=after, directory=directory)
        try:
            comparisons = run(step, progress).comparisons
        except (BuildError, PatchError) as error:
            yield Step(number, len(patches), subject, 1, f"does not build: {error}")
            continue
        status = exit_status(comparisons, Require.NO_REGRESSION)
        broken = [one for one in comparisons if one.state is State.REGRESSED]
        note = f"REGRESSED {broken[0].planned.id}: {broken[0].note}" if broken else ""
        if status == NO_ANSWER:
            note = "no answer: not every case ran"
        yield Step(number, len(patches), subject, status, note)


def _with_patches(choice: Choice, patches: tuple[Path, ...]) -> Choice:
    kernel = replace(choice.testbed.kernel, patches=patches)
    return replace(choice, testbed=replace(choice.testbed, kernel=kernel))
