"""The mails themselves. Pure."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from errpath.analysis.mail.evidence import Evidence
from errpath.analysis.mail.message import PatchMessage

__all__ = ["Letter", "bug_mail", "patch_mail"]

# Columns of text (the kernel's limit of a message is 75).
_WIDTH = 72
# Reproducers that a message names; more of them say nothing new.
_CASES_MAX = 3
# In the order in which the kernel's documentation wants them.
_TAG_ORDER = ("Fixes:", "Reported-by:", "Closes:", "Tested-by:")
_SEPARATOR = "From " + "0" * 40 + " Mon Sep 17 00:00:00 2001"


@dataclass(frozen=True)
class Letter:
    """What mails of one posting share."""

    # "Name <mail>"
    sender: str
    # RFC 2822
    date: str
    to: tuple[str, ...]
    cc: tuple[str, ...]
    # What the kernel is called, and how it was configured.
    kernel: str
    # Words behind `errpath run CASE`.
    options: str = ""
    # Table of the comparison; not for the log.
    table: str = ""
    # What stands before the mail's number in a Message-ID, and behind it; None for mails without.
    thread: tuple[str, str] | None = None

    def message_id(self, number: int) -> str:
        """The Message-ID of a mail of this posting; "" where they have none."""
        return f"<{self.thread[0]}-{number}-{self.thread[1]}>" if self.thread is not None else ""


def patch_mail(
    letter: Letter,
    patch: PatchMessage,
    tags: Sequence[str],
    evidence: Evidence,
    *,
    number: int = 1,
    of: int = 1,
) -> str:
    """A patch with the evidence for it. The sender signs it."""
    count = f" {number}/{of}" if of > 1 else ""
    parts = [patch.body] if patch.body else []
    if evidence.cases:
        parts.append(_reproduction(letter, evidence.cases))
    if evidence.excerpt:
        parts.append(_indent(evidence.excerpt))
    every = _merged(patch.tags, tags)
    if every:
        parts.append("\n".join(every))
    notes = [part for part in (_notes(letter), patch.notes) if part]
    lines = [*_header(letter, f"[PATCH{count}] {patch.subject}", number), "\n\n".join(parts), "---"]
    return "\n".join([*lines, *("\n\n".join(notes).split("\n") if notes else ()), "", patch.diff])


def bug_mail(
    letter: Letter, prefix: str, evidence: Evidence, tags: Sequence[str], program: str = ""
) -> str:
    """A report of a bug, without a patch; `program` shows it without errpath."""
    parts = [
        _fill(f"errpath sees this on {letter.kernel}:"),
        _indent(evidence.excerpt),
        _reproduction(letter, evidence.cases) if evidence.cases else "",
        "\n".join(tags),
        f"This program shows it without errpath:\n\n{program.rstrip()}" if program else "",
    ]
    text = "\n\n".join(part for part in parts if part)
    return "\n".join([*_header(letter, f"[BUG] {prefix}: {evidence.title}"), text, ""])


def _header(letter: Letter, subject: str, number: int = 1) -> list[str]:
    lines = [_SEPARATOR, f"From: {letter.sender}", f"Date: {letter.date}"]
    if own := letter.message_id(number):
        lines.append(f"Message-ID: {own}")
    if number > 1 and (first := letter.message_id(1)):
        lines += [f"In-Reply-To: {first}", f"References: {first}"]
    # A line that begins with a blank belongs to the header before it.
    lines += textwrap.wrap(f"Subject: {subject}", 76, subsequent_indent=" ", break_on_hyphens=False)
    for name, people in (("To", letter.to), ("Cc", letter.cc)):
        if people:
            lines.append(f"{name}: " + ",\n    ".join(people))
    return [
        *lines,
        "MIME-Version: 1.0",
        "Content-Type: text/plain; charset=UTF-8",
        "Content-Transfer-Encoding: 8bit",
        "",
    ]


def _reproduction(letter: Letter, cases: Sequence[str]) -> str:
    options = f" {letter.options}" if letter.options else ""
    names = list(dict.fromkeys(cases))
    lines = [f"    errpath run {name}{options}" for name in names[:_CASES_MAX]]
    more = len(names) - _CASES_MAX
    also = f" (and {more} cases more)" if more > 0 else ""
    return f"Reproduced with errpath{also}:\n\n" + "\n".join(lines)


def _notes(letter: Letter) -> str:
    if not letter.table:
        return ""
    return f"Tested with errpath, {letter.kernel}:\n\n{_indent(letter.table)}"


def _merged(old: Sequence[str], new: Sequence[str]) -> list[str]:
    """The tags in the kernel's order; what was there stays, and is not said twice. A Closes: stands
    behind the Reported-by: that it came with."""
    tags = list(dict.fromkeys((*old, *new)))
    if any(tag.startswith("Fixes:") for tag in old):
        # Who wrote the patch knows better than a vote of lines.
        tags = [tag for tag in tags if tag in old or not tag.startswith("Fixes:")]

    def order(tag: str) -> int:
        for rank, name in enumerate(_TAG_ORDER):
            if tag.startswith(name):
                return 1 if name == "Closes:" else rank
        return len(_TAG_ORDER)

    return sorted(tags, key=order)


def _fill(text: str) -> str:
    return textwrap.fill(text, _WIDTH, break_long_words=False, break_on_hyphens=False)


def _indent(text: str) -> str:
    return "\n".join(f"  {line}".rstrip() for line in text.splitlines())
