"""The answer to a patch: what was run on it, ready to be pasted or sent. Pure."""

from __future__ import annotations

from errpath.analysis.mail.message import PatchMessage

__all__ = ["reply_text"]

# Lines of the patch's message that are quoted.
_QUOTED = 8


def reply_text(patch: PatchMessage, text: str) -> str:
    """A mail that answers a patch: its headers, the beginning of the message quoted, and `text`."""
    people = ", ".join(part for part in (patch.to, patch.cc) if part)
    headers = [
        *([f"To: {patch.author}"] if patch.author else []),
        *([f"Cc: {people}"] if people else []),
        *([f"In-Reply-To: {patch.message_id}"] if patch.message_id else []),
        f"Subject: Re: [PATCH] {patch.subject}",
    ]
    when = f"On {patch.date}, " if patch.date else ""
    lines = patch.body.splitlines()
    quoted = [f"> {line}".rstrip() for line in lines[:_QUOTED]]
    if len(lines) > _QUOTED:
        quoted.append("> [...]")
    return "\n".join(
        [*headers, "", f"{when}{patch.author or 'somebody'} wrote:", *quoted, "", text, ""]
    )
