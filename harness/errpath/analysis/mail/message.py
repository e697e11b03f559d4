"""A patch as a mail: its subject, message, tags and diff. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from email import message_from_string, policy
from pathlib import Path

from errpath.errors import PatchError

__all__ = ["PatchMessage", "parse_patch", "read_patches", "split_mailbox"]

_MAIL = re.compile(r"(?m)^From [0-9a-f]{40} .*\n|^From \S+ \w{3} \w{3} [ \d]\d \d\d:\d\d:\d\d .*\n")
_CUT = re.compile(r"(?m)^---\n|^(?=diff --git |--- [^\n]+\n\+\+\+ )")
_PREFIX = re.compile(r"^\[[^\]]*\]\s*")
_TAG = re.compile(r"^(?:[A-Z][A-Za-z]*-[a-z-]+|Fixes|Closes|Link|Cc): \S")
_SIGNATURE = re.compile(r"(?m)^-- \n(?:.*\n?){1,2}\Z")


@dataclass(frozen=True)
class PatchMessage:
    """One mail that holds a patch."""

    # "Name <mail>", as the mail has it.
    author: str
    # RFC 2822; "" where the mail has none.
    date: str
    message_id: str
    # Whom it went to, but for its author.
    to: str
    cc: str
    # Without `[PATCH …]`.
    subject: str
    # The commit message without its tags.
    body: str
    # `Fixes: …`, `Reported-by: …`, in order.
    tags: tuple[str, ...]
    # Between `---` and the diff: the diffstat, and what is not for the log.
    notes: str
    diff: str

    @property
    def paths(self) -> tuple[str, ...]:
        """The files that the diff changes or adds."""
        names = re.findall(r"(?m)^(?:---|\+\+\+) [ab]/(\S+)", self.diff)
        return tuple(dict.fromkeys(names))


def split_mailbox(text: str) -> tuple[str, ...]:
    """The mails of a mailbox; a mail without a `From ` line is one."""
    starts = [match.start() for match in _MAIL.finditer(text)]
    if not starts:
        return (text,)
    ends = [*starts[1:], len(text)]
    return tuple(text[start:end] for start, end in zip(starts, ends, strict=True))


def parse_patch(text: str, name: str) -> PatchMessage:
    """A mail's parts.

    Raises:
        PatchError: it has no subject, or no diff.
    """
    text = _MAIL.sub("", text, count=1) if _MAIL.match(text) else text
    mail = message_from_string(text, policy=policy.default)
    subject = _PREFIX.sub("", " ".join(str(mail.get("Subject", "")).split()))
    payload = mail.get_payload(decode=True)
    content = payload.decode(errors="replace") if isinstance(payload, bytes) else ""
    if not subject:
        raise PatchError(f"{name}: no subject; expected a mail, as git format-patch makes it")
    message, _, rest = _partition(content)
    start = re.search(r"(?m)^diff --git |^--- [^\n]+\n\+\+\+ ", rest)
    if start is None:
        raise PatchError(f"{name}: holds no diff (expected a mail with a patch)")
    body, tags = _split_tags(message.strip("\n"))
    return PatchMessage(
        author=str(mail.get("From", "")).strip(),
        date=str(mail.get("Date", "")).strip(),
        message_id=str(mail.get("Message-ID", "")).strip(),
        to=str(mail.get("To", "")).strip(),
        cc=str(mail.get("Cc", "")).strip(),
        subject=subject,
        body=body,
        tags=tags,
        notes=rest[: start.start()].strip("\n"),
        diff=_SIGNATURE.sub("", rest[start.start() :]).rstrip("\n") + "\n",
    )


def _partition(content: str) -> tuple[str, str, str]:
    match = _CUT.search(content)
    if match is None:
        return content, "", ""
    return content[: match.start()], match[0], content[match.end() :]


def _split_tags(message: str) -> tuple[str, tuple[str, ...]]:
    """A message's text, and its last paragraph where that is nothing but tags."""
    text, _, last = message.rpartition("\n\n")
    lines = last.split("\n")
    if last and all(_TAG.match(line) for line in lines):
        return text, tuple(lines)
    return message, ()


def read_patches(paths: tuple[Path, ...]) -> tuple[PatchMessage, ...]:
    """Every mail of some files, in order.

    Raises:
        PatchError: one cannot be read, or holds no patch.
    """
    found = []
    for path in paths:
        try:
            text = path.read_text(errors="replace").replace("\r\n", "\n")
        except OSError as error:
            raise PatchError(f"{path}: cannot be read: {error.strerror}") from error
        # A cover letter has no diff, and changes nothing.
        mails = [one for one in split_mailbox(text) if re.search(r"(?m)^\+\+\+ ", one)]
        found += [parse_patch(mail, path.name) for mail in mails or [text]]
    return tuple(found)
