"""What a mail says of how its bug shows: a report of errpath's or of others, a comparison."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from email import message_from_string, policy
from pathlib import Path
from typing import Any

from errpath.errors import UsageError

__all__ = [
    "CaseReport",
    "Evidence",
    "Record",
    "read_finding",
    "read_record",
    "read_report",
    "reported_by",
]

# What a report has for whoever ran it: of no use to others.
_OWN = re.compile(r"^  (?:artefacts|rerun) ")
_DUMP = re.compile(r"^ +hex dump |^ +(?:[0-9a-f]{2} ){4,}|^  Code: |^  (?:Redzone|Object|Padding) ")
_REGISTERS = re.compile(r"^  (?:R[0-9A-Z]{1,2}|[EC]?[A-Z]{2,3}|CR\d|FS): ?[0-9a-f(]")
_SOURCE = re.compile(r"\b((?:[a-z0-9_-]+/)+[\w.-]+\.[ch]):\d+")
_REPORTER = re.compile(r"(?m)^(?:> ?)*Reported-by: *(\S.*\S)\s*$")
_LINK = re.compile(
    r"https://(?:syzkaller\.appspot\.com/bug\?(?:ext)?id=|lore\.kernel\.org/)[^\s>]+"
)


@dataclass(frozen=True)
class CaseReport:
    """The report of one case that failed."""

    case: str
    text: str

    @property
    def failed(self) -> bool:
        """Whether it is a verdict on the kernel, and not ERROR."""
        return self.text.partition("\n")[0].endswith(": FAIL")

    @property
    def title(self) -> str:
        """The first thing that went wrong, without its numbers."""
        lines = self.text.splitlines()[1:]
        return lines[0].strip().partition(" (")[0] if lines else self.case

    @property
    def excerpt(self) -> str:
        """The part for other people: no dumps of memory and registers, no paths of ours."""
        lines = []
        for line in self.text.splitlines()[1:]:
            if line.strip() == "trace":
                # Every call on the way: the lines before it say what came of them.
                break
            if not (_OWN.match(line) or _DUMP.match(line) or _REGISTERS.match(line)):
                lines.append(line.rstrip())
        text = re.sub(r"\n{3,}", "\n\n", "\n".join(lines))
        return text.strip("\n")

    @property
    def files(self) -> tuple[str, ...]:
        """Source files that the report names, the innermost first; core code apart where others
        are named."""
        found = dict.fromkeys(match[1] for match in _SOURCE.finditer(self.text))
        own = [path for path in found if re.match(r"fs/\w+/", path)]
        return tuple(own or found)


@dataclass(frozen=True)
class Evidence:
    """How a bug shows."""

    # One line, such as "memory leak in hfs_init_fs_context".
    title: str = ""
    # Ids of cases in which it does, each perhaps with options behind it.
    cases: tuple[str, ...] = ()
    # The report of one of them, for other people.
    excerpt: str = ""
    # Source files that the report names.
    files: tuple[str, ...] = ()

    @classmethod
    def of(cls, reports: Sequence[CaseReport], cases: Iterable[str] = ()) -> Evidence:
        """The evidence of some reports, of which the first is shown; and of other cases."""
        names = (*(report.case for report in reports), *cases)
        if not reports:
            return cls(cases=names)
        first = reports[0]
        return cls(first.title, names, first.excerpt, first.files)


@dataclass(frozen=True)
class Record:
    """What `errpath compare --json` wrote."""

    values: Mapping[str, Any]

    @property
    def fixed(self) -> tuple[Mapping[str, Any], ...]:
        """The cases that the change fixes."""
        return tuple(case for case in self.values["cases"] if case["state"] == "FIXED")

    @property
    def reports(self) -> tuple[CaseReport, ...]:
        """Reports of the kernel before, of cases that are fixed after."""
        return tuple(
            CaseReport(case["case"], case["report"]) for case in self.fixed if case.get("report")
        )

    def earned(self, patch_ids: tuple[str, ...]) -> str:
        """ "" if a Tested-by is earned for these patches; else why it is not."""
        tested = tuple(str(one["patch_id"]) for one in self.values["patches"])
        if tested != patch_ids:
            return f"it was of other patches ({', '.join(tested) or 'none'})"
        if not self.values.get("tag_earned"):
            return "not red in every run before and green in every run after, or something broke"
        return ""


def read_record(path: Path) -> Record:
    """A comparison.

    Raises:
        UsageError: it cannot be read, or is no such file.
    """
    try:
        values = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "not JSON"
        raise UsageError(f"{path}: {why}; expected what errpath compare --json wrote") from None
    wanted = {"cases", "patches", "before", "after"}
    if not isinstance(values, dict) or not wanted <= set(values):
        raise UsageError(f"{path}: not a comparison; expected what errpath compare --json wrote")
    return Record(values)


def read_report(folder: Path) -> CaseReport:
    """The report in a folder of artefacts.

    Raises:
        UsageError: there is none.
    """
    try:
        text = (folder / "report.txt").read_text(errors="replace")
    except OSError:
        raise UsageError(f"{folder}: no report.txt; expected a folder of artefacts") from None
    return CaseReport(text.partition(":")[0], text)


def read_finding(page: Path) -> tuple[Evidence, tuple[Path, ...]]:
    """What the page of a finding holds: its evidence, and its patches in order.

    Raises:
        UsageError: it cannot be read.
    """
    try:
        text = page.read_text()
    except OSError as error:
        raise UsageError(f"{page}: {error.strerror}; expected the page of a finding") from None
    title = text.partition("\n")[0].lstrip("# ")
    cases = tuple(dict.fromkeys(re.findall(r"(?m)^ +errpath run ([^\n#]*[^\n# ])", text)))
    quoted = re.search(r"(?m)^```\n((?:.*\n)*?)```", text)
    report = CaseReport(cases[0] if cases else "", f"\n{quoted[1] if quoted else ''}")
    names = dict.fromkeys(re.findall(r"\]\(([\w-]+\.patch)\)", text))
    evidence = Evidence(title.partition(": ")[2] or title, cases, report.excerpt, report.files)
    return evidence, tuple(page.parent / name for name in names)


def reported_by(text: str) -> tuple[str, ...]:
    """The tags that a report asks for: who reported it, and where.

    Raises:
        UsageError: it names nobody.
    """
    mail = message_from_string(text, policy=policy.default)
    named = _REPORTER.search(text)
    sender = str(mail.get("From", "")).strip()
    who = named[1] if named else sender
    if not who:
        raise UsageError("--report: no reporter; expected a mail, or a text with Reported-by:")
    link = _LINK.search(text)
    message_id = str(mail.get("Message-ID", "")).strip().strip("<>")
    where = link[0] if link else f"https://lore.kernel.org/r/{message_id}" if message_id else ""
    return (f"Reported-by: {who}", *([f"Closes: {where}"] if where else ()))
