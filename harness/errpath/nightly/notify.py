"""Notify people of a run: mail through sendmail or msmtp, a webhook. Both only if the job says so.

A message that cannot be sent is reported and changes nothing: the run is recorded, its page is
there.
"""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from email.message import EmailMessage

from errpath.errors import ErrpathError, ToolMissingError
from errpath.results.reports.summary import render_summary, subject
from errpath.results.triage import JudgedRun
from errpath.util.deadline import Deadline
from errpath.util.process import program_path
from errpath.util.process import run as run_program

__all__ = ["find_mailer", "mail", "message_of", "notify", "post", "webhook_body"]

_SECONDS = 60.0

# Takes the name of a program and further directories to look in, gives its path.
Find = Callable[..., str | None]


def notify(
    run: JudgedRun, *, mail_to: Sequence[str], webhook: str, find: Find = program_path
) -> tuple[str, ...]:
    """Notify whom the job names; what could not be sent, one line each."""
    problems = []
    if mail_to:
        try:
            mail(message_of(run, mail_to), find_mailer(find))
        except ErrpathError as error:
            problems.append(f"mail: {error}")
    if webhook:
        try:
            post(webhook, webhook_body(run))
        except OSError as error:
            problems.append(f"webhook {webhook}: {error}")
    return tuple(problems)


def message_of(run: JudgedRun, mail_to: Sequence[str]) -> EmailMessage:
    """The run as a mail."""
    message = EmailMessage()
    message["Subject"] = subject(run)
    message["To"] = ", ".join(mail_to)
    # A mail of a machine: no holiday notes, please (RFC 3834).
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(render_summary(run))
    return message


def find_mailer(find: Find = program_path) -> list[str]:
    """The command that takes a mail on standard input.

    Raises:
        ToolMissingError: neither is installed.
    """
    found = find("sendmail", "/usr/lib") or find("msmtp")
    if found is None:
        raise ToolMissingError("neither sendmail nor msmtp is installed (Debian package msmtp-mta)")
    # -t: recipients from the head; -i: a line with one dot does not end it.
    return [found, "-t", "-i"] if "sendmail" in found else [found, "-t"]


def mail(message: EmailMessage, mailer: Sequence[str]) -> None:
    """Hand a mail over to a command.

    Raises:
        InfrastructureError: it refused.
    """
    run_program(mailer, stdin=bytes(message), deadline=Deadline.after(_SECONDS, "the mailer"))


def webhook_body(run: JudgedRun) -> dict[str, object]:
    """What a webhook gets: `text` is what most chats show, the rest is for programs."""
    return {
        "text": subject(run),
        "job": run.run.job,
        "run": run.run.id,
        "status": run.run.status,
        "counts": {kind.value: count for kind, count in sorted(run.counts.items())},
        "attention": [
            {
                "case": case.case,
                "kernel": case.track.kernel,
                "guest": case.track.guest,
                "suite": case.track.suite,
                "judgement": case.judgement.kind.value,
                "reason": case.worst.reasons[0] if case.worst and case.worst.reasons else "",
                "rerun": case.worst.rerun if case.worst else "",
            }
            for case in run.attention[:50]
        ],
        "page": f"{run.run.directory}/index.html",
    }


def post(url: str, body: dict[str, object]) -> None:
    """POST `body` as JSON.

    Raises:
        OSError: it could not be delivered, or was refused.
    """
    request = urllib.request.Request(
        url,
        data=json.dumps(body).encode(),
        headers={"Content-Type": "application/json", "User-Agent": "errpath"},
        method="POST",
    )
    with urllib.request.urlopen(request, timeout=_SECONDS) as response:
        response.read()
