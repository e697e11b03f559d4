"""`errpath mail`: a patch with its evidence, or a report of a bug, as `git send-email` takes it."""

from __future__ import annotations

import argparse
import os
import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from email.utils import formatdate, parseaddr
from pathlib import Path

from errpath.analysis.compare.mail import git_user, short_patch_id
from errpath.analysis.mail.advice import Earlier, complaints, fixes_tag, subject_habit
from errpath.analysis.mail.compose import Letter, bug_mail, patch_mail
from errpath.analysis.mail.evidence import (
    CaseReport,
    Evidence,
    Record,
    read_finding,
    read_record,
    read_report,
    reported_by,
)
from errpath.analysis.mail.message import PatchMessage, read_patches
from errpath.analysis.mail.program import standalone_program
from errpath.cli.chosen_case import find_case
from errpath.cli.parser import add_groups
from errpath.cli.reported_cases import report_cases
from errpath.errors import InfrastructureError, UsageError
from errpath.kernel.layout import Layout
from errpath.kernel.source.gittree import GitRevision
from errpath.kernel.source.posting import recipients
from errpath.kernel.source.spec import open_spec
from errpath.kernel.source.tree import Tree
from errpath.runner.options import (
    DEFAULT_KERNEL,
    RUN_GROUPS,
    LogOptions,
    RunOptions,
)
from errpath.util.cache import cache_root
from errpath.util.progress import Progress
from errpath.util.resources import ROOT

__all__ = ["add_parser"]

_FINDINGS = ROOT / "docs" / "findings"
# Characters of a file's name, as git format-patch cuts it.
_NAME_MAX = 52


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the `mail` command."""
    parser = commands.add_parser(
        "mail",
        help="write a patch or a bug report as a mail to the maintainers",
        description="Recipients are those of the kernel under test (--kernel). Where that is a git "
        "tree, Fixes: is the commit that brought the lines that the patch takes away. Nothing is "
        "sent, and nothing is ever signed off: `git send-email --annotate FILES`.",
    )
    parser.add_argument(
        "what",
        metavar="CASE|PATCH|FINDING",
        help="a case (it is run), a folder of its artefacts, a patch or a mailbox, or a page of "
        "docs/findings by its name",
    )
    parser.add_argument("--bug", action="store_true", help="a report without a patch")
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="FILE|DIRECTORY",
        help="instead of printing it; in a directory that is there, a file for each mail",
    )
    parser.add_argument(
        "--case",
        action="append",
        default=[],
        metavar="CASE-ID",
        help="run this case for the patch's report; may be repeated",
    )
    parser.add_argument(
        "--program",
        type=Path,
        metavar="FILE",
        help="write a C program that shows the case without errpath, and put it into a report",
    )
    parser.add_argument(
        "--record",
        type=Path,
        metavar="FILE",
        help="what errpath compare --json wrote: cases, report, table, and the right to a tag",
    )
    parser.add_argument(
        "--report", type=Path, metavar="FILE", help="a mail that reported it: Reported-by, Closes"
    )
    parser.add_argument(
        "--closes", action="append", default=[], metavar="URL", help="report that this closes"
    )
    parser.add_argument(
        "--tested-by",
        default="",
        metavar="NAME",
        help="Name <mail>; refused unless --record shows that it is earned",
    )
    parser.add_argument(
        "--from", dest="sender", default="", metavar="NAME", help="Name <mail> (default: git's)"
    )
    parser.add_argument(
        "--confirm-fixes",
        action="store_true",
        help="run the cases on the parent of the commit that Fixes: names: a kernel is built, and "
        "the tag is left out where they fail there as well",
    )
    add_groups(parser, *RUN_GROUPS, LogOptions)
    parser.set_defaults(handler=_mail)


@dataclass(frozen=True)
class _Material:
    """What there is to write about."""

    patches: tuple[PatchMessage, ...]
    files: tuple[Path, ...]
    evidence: Evidence
    record: Record | None
    # A program that shows it without errpath; "" for none.
    program: str = ""


def _mail(arguments: argparse.Namespace) -> int:
    options = RunOptions.from_namespace(arguments)
    if len(options.kernel.kernel) > 1:
        raise UsageError("mail: expected one --kernel")
    spec = next(iter(options.kernel.kernel), DEFAULT_KERNEL).rpartition("=")[2]
    material = _material(arguments, options)
    tree = open_spec(Layout(cache_root()), spec, Progress())
    if arguments.confirm_fixes and not isinstance(tree.base, GitRevision):
        raise UsageError(f"--confirm-fixes: --kernel {spec} is no git tree; expected one")
    mails = _letters(arguments, material, tree)
    if arguments.output is None:
        print("\n".join(mails), end="")
        return 0
    try:
        for path, text in _files(arguments.output, mails, material.patches):
            path.write_text(text)
    except OSError as error:
        raise UsageError(f"-o {arguments.output}: {error.strerror}") from None
    return 0


def _files(
    output: Path, mails: Sequence[str], patches: Sequence[PatchMessage]
) -> Iterator[tuple[Path, str]]:
    """What is written where: in a directory a file for each mail, as git send-email takes them and
    git format-patch names them; else one mailbox."""
    if not output.is_dir():
        if len(mails) > 1:
            _say(
                f"{output}: {len(mails)} mails; git send-email takes -o DIRECTORY, a file for each"
            )
        yield output, "\n".join(mails)
        return
    subjects = [patch.subject for patch in patches] or ["report"]
    for number, (mail, subject) in enumerate(zip(mails, subjects, strict=True), 1):
        name = re.sub(r"[^A-Za-z0-9_.]+", "-", subject).strip("-.")[:_NAME_MAX]
        yield output / f"{number:04d}-{name}.patch", mail


def _material(arguments: argparse.Namespace, options: RunOptions) -> _Material:
    what, path = arguments.what, Path(arguments.what)
    page = _FINDINGS / f"{what}.md"
    record = read_record(arguments.record) if arguments.record is not None else None
    files: tuple[Path, ...] = ()
    evidence = Evidence()
    reports: list[CaseReport] = []
    cases = list(arguments.case)
    if path.is_dir():
        reports.append(read_report(path))
    elif path.is_file():
        files = (path,)
    elif page.is_file():
        evidence, files = read_finding(page)
    elif "/" in what or what.endswith((".patch", ".mbox", ".md")):
        raise UsageError(f"mail: {what}: no such file")
    else:
        cases.insert(0, what)
    if record is not None:
        reports += record.reports
    if cases:
        reports += _run(cases, options)
    if reports:
        also = [one["case"] for one in record.fixed] if record is not None else []
        evidence = Evidence.of(reports, also)
    patches = () if arguments.bug else read_patches(files)
    if not patches and not evidence.excerpt:
        raise UsageError(f"mail: {what}: no report; expected --case or --record beside --bug")
    program = _program(arguments, evidence) if arguments.program is not None else ""
    return _Material(patches, files, evidence, record, program)


def _program(arguments: argparse.Namespace, evidence: Evidence) -> str:
    """The program of the first case of the mail, which is written to its file as well."""
    ids = _ids(evidence)
    if not ids:
        raise UsageError("--program: of which case? expected one, or --case")
    case = find_case(ids[0])
    text = standalone_program(case, evidence.title)
    try:
        arguments.program.write_text(text)
    except OSError as error:
        raise UsageError(f"--program {arguments.program}: {error.strerror}") from None
    return text


def _ids(evidence: Evidence) -> list[str]:
    """The cases by their ids, without the options that may stand behind them."""
    return [words.split()[0].strip("'") for words in evidence.cases]


def _run(cases: Sequence[str], options: RunOptions) -> list[CaseReport]:
    """Run cases, and read the reports of those that failed.

    Raises:
        UsageError: none of them failed.
        InfrastructureError: they could not be run.
    """
    ran = report_cases(cases, options.to_argv())
    if ran.reports:
        return list(ran.reports)
    if ran.status == 0:
        raise UsageError(f"mail: {', '.join(cases)}: nothing fails; expected a case that does")
    raise InfrastructureError(
        f"{', '.join(cases)}: not run, or no report (pytest status {ran.status})"
    )


def _letters(arguments: argparse.Namespace, material: _Material, tree: Tree) -> list[str]:
    """The mails, in order."""
    tags = _tags(arguments, material)
    count = len(material.patches)
    moment = time.time()
    if not count:
        files = _present(tree, material.evidence.files)
        letter = _letter(arguments, material, tree, files, moment)
        prefix = subject_habit(tree, files) or (files[0].split("/")[-2] if files else "fs")
        return [bug_mail(letter, prefix, material.evidence, tags, material.program)]
    run_at = _earlier(arguments, material.evidence) if arguments.confirm_fixes else None
    mails = []
    for number, patch in enumerate(material.patches, 1):
        files = _present(tree, patch.paths)
        letter = _letter(arguments, material, tree, files, moment)
        own = [*fixes_tag(tree, patch, _say, run_at), *tags]
        # Each bug is described once: with the first patch of a series.
        evidence = material.evidence if number == 1 else Evidence()
        mail = patch_mail(letter, patch, own, evidence, number=number, of=count)
        for line in complaints(tree, patch, mail, files):
            _say(f"{patch.subject}: {line}")
        mails.append(mail)
    return mails


def _earlier(arguments: argparse.Namespace, evidence: Evidence) -> Callable[[str], Earlier]:
    """Runs the cases of a bug on another kernel.

    Raises:
        UsageError: there are none.
    """
    cases = _ids(evidence)
    if not cases:
        raise UsageError("--confirm-fixes: of which case? expected --case or --record")
    options = RunOptions.from_namespace(arguments)

    def run_at(spec: str) -> Earlier:
        kernel = replace(options.kernel, kernel=(spec,))
        ran = report_cases(cases, replace(options, kernel=kernel).to_argv())
        if ran.failed:
            return Earlier(True, ran.failed[0].case)
        if ran.status or ran.passed < len(cases):
            return Earlier(None, f"{ran.passed} of {len(cases)} cases have a verdict on {spec}")
        return Earlier(False, ", ".join(cases))

    return run_at


def _present(tree: Tree, paths: Sequence[str]) -> tuple[str, ...]:
    present = {path for path, _ in tree.fetch(paths)}
    return tuple(path for path in paths if path in present)


def _letter(
    arguments: argparse.Namespace,
    material: _Material,
    tree: Tree,
    files: Sequence[str],
    moment: float,
) -> Letter:
    """What the mails of a posting at one moment (seconds since 1970) share, for some files."""
    author = material.patches[0].author if material.patches else ""
    sender = arguments.sender or git_user() or author or "errpath <errpath@localhost>"
    if sender.endswith("@localhost>"):
        print("errpath: From: is not set; expected --from or git's user.email", file=sys.stderr)
    address = parseaddr(sender)[1] or "errpath@localhost"
    people = recipients(tree, files) if files else None
    record = material.record.values if material.record is not None else {}
    return Letter(
        sender=sender,
        date=formatdate(moment, localtime=True),
        to=people.to if people else (),
        cc=people.cc if people else (),
        kernel=record.get("before") or f"Linux, {tree.base.description}",
        table=record.get("table", ""),
        # As git format-patch --thread makes it.
        thread=(f"{time.strftime('%Y%m%d%H%M%S', time.gmtime(moment))}.{os.getpid()}", address),
    )


def _tags(arguments: argparse.Namespace, material: _Material) -> list[str]:
    tags: list[str] = []
    if arguments.report is not None:
        try:
            tags += reported_by(arguments.report.read_text(errors="replace"))
        except OSError as error:
            raise UsageError(f"--report {arguments.report}: {error.strerror}") from None
    tags += [f"Closes: {url}" for url in arguments.closes]
    if arguments.tested_by:
        why = "there is no --record"
        if material.record is not None:
            why = material.record.earned(tuple(map(short_patch_id, material.files)))
        if why:
            raise UsageError(f"--tested-by: not earned: {why}")
        tags.append(f"Tested-by: {arguments.tested_by}")
    return tags


def _say(line: str) -> None:
    print(f"errpath: {line}", file=sys.stderr)
