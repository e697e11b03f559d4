"""KCIDB's submission format, schema 5 (kcidb-io): checkouts, builds, tests, issues, incidents.

Ids must stay the same when a run is sent again, and be unique within an origin: they are made from
what they name.
"""

from __future__ import annotations

import hashlib
import re
from datetime import UTC, datetime
from typing import Any

from errpath.errors import UsageError
from errpath.results.records import CaseStatus, IssueRecord, KernelRecord
from errpath.results.regression import Kind
from errpath.results.triage import JudgedCase, JudgedRun, summary_status

__all__ = ["SCHEMA", "to_kcidb"]

SCHEMA = {"major": 5, "minor": 0}
_STATUS = {
    CaseStatus.PASS.value: "PASS",
    CaseStatus.FAIL.value: "FAIL",
    # Its incident ties it to the known issue.
    CaseStatus.XFAIL.value: "FAIL",
    # The infrastructure failed: neither test nor kernel is known to be at fault.
    CaseStatus.ERROR.value: "MISS",
    CaseStatus.SKIP.value: "SKIP",
    "none": "MISS",
}
# kcidb-io's pattern of an origin, and of one part of a test's path.
_ORIGIN = re.compile(r"[a-z0-9_]+")
_UNFIT = re.compile(r"[^a-zA-Z0-9_-]+")
_ADDRESS = re.compile(r"https?://|mailto:")


def to_kcidb(run: JudgedRun, *, origin: str = "errpath") -> dict[str, Any]:
    """A whole submission.

    Raises:
        UsageError: `origin` is not one that KCIDB takes.
    """
    if not _ORIGIN.fullmatch(origin):
        raise UsageError(f"origin {origin!r}: expected lower-case letters, digits and _")
    known = {
        _issue_id(case.known, origin): case.known for case in run.cases if case.known is not None
    }
    tests = [case for case in run.cases if case.judgement.kind is not Kind.GONE]
    return {
        "version": SCHEMA,
        "checkouts": [_checkout(run, kernel, origin) for kernel in run.kernels],
        "builds": [_build(run, kernel, origin) for kernel in run.kernels],
        "tests": [_test(run, case, origin) for case in tests],
        "issues": [_issue(issue, origin) for issue in known.values()],
        "incidents": [
            _incident(run, case, case.known, origin) for case in tests if case.known is not None
        ],
    }


def _id(origin: str, *parts: str) -> str:
    text = "\0".join(parts)
    return f"{origin}:{hashlib.sha256(text.encode()).hexdigest()[:32]}"


def _when(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()


def _checkout(run: JudgedRun, kernel: KernelRecord, origin: str) -> dict[str, Any]:
    value = {
        "id": _id(origin, "checkout", run.run.id, kernel.name),
        "origin": origin,
        "comment": kernel.description or kernel.spec,
        "start_time": _when(run.run.started),
        "valid": True,
        "patchset_hash": _patchset_hash(kernel),
        "misc": {
            "errpath": {
                "run": run.run.id,
                "name": kernel.name,
                "spec": kernel.spec,
                "patches": [patch.name for patch in kernel.patches],
            }
        },
    }
    if re.fullmatch(r"[0-9a-f]{40}", kernel.commit):
        value["git_commit_hash"] = kernel.commit
    return value


def _patchset_hash(kernel: KernelRecord) -> str:
    """As the schema says: sha256 over the lines of the patches' own sha256."""
    if not kernel.patches:
        return ""
    lines = "".join(f"{patch.sha256}\n" for patch in kernel.patches)
    return hashlib.sha256(lines.encode()).hexdigest()


def _build(run: JudgedRun, kernel: KernelRecord, origin: str) -> dict[str, Any]:
    return {
        "id": _id(origin, "build", run.run.id, kernel.name),
        "origin": origin,
        "checkout_id": _id(origin, "checkout", run.run.id, kernel.name),
        "architecture": "x86_64",
        "start_time": _when(run.run.started),
        "comment": kernel.release or kernel.spec,
        "misc": {"errpath": {"state": kernel.state, "config_sha256": kernel.config_hash}},
    }


def _test(run: JudgedRun, case: JudgedCase, origin: str) -> dict[str, Any]:
    attempts = [record.status for record in case.attempts]
    worst = case.worst
    value: dict[str, Any] = {
        "id": _test_id(run, case, origin),
        "origin": origin,
        "build_id": _id(origin, "build", run.run.id, case.track.kernel),
        "path": _path(case),
        "status": _STATUS[summary_status(attempts)],
        "start_time": _when(run.run.started),
        "duration": round(sum(record.seconds for record in case.attempts), 3),
        "comment": case.case,
        "environment": {"comment": f"guest {case.track.guest}"},
        "misc": {
            "errpath": {
                "judgement": case.judgement.kind.value,
                "attempts": [status.value for status in attempts],
                "suite": case.track.suite,
                "rerun": worst.rerun if worst else "",
            }
        },
    }
    if worst is not None and worst.reasons:
        value["log_excerpt"] = "\n".join(worst.reasons).replace("\0", "")[:16384]
    return value


def _test_id(run: JudgedRun, case: JudgedCase, origin: str) -> str:
    track = case.track
    return _id(origin, "test", run.run.id, track.kernel, track.guest, track.suite, case.case)


def _path(case: JudgedCase) -> str:
    """Dots part a path, from the general to the particular."""
    worst = case.worst
    parts = ("errpath", worst.filesystem if worst else "", case.case)
    return ".".join(_UNFIT.sub("_", part) for part in parts if part)


def _issue(issue: IssueRecord, origin: str) -> dict[str, Any]:
    value: dict[str, Any] = {
        "id": _issue_id(issue, origin),
        "version": 1,
        "origin": origin,
        "report_subject": issue.title or issue.id,
        "culprit": {"code": True},
        "misc": {"errpath": {"id": issue.id, "link": issue.link}},
    }
    # A file of the repository is no address.
    if _ADDRESS.match(issue.link):
        value["report_url"] = issue.link
    return value


def _issue_id(issue: IssueRecord, origin: str) -> str:
    return _id(origin, "issue", issue.id, issue.link)


def _incident(run: JudgedRun, case: JudgedCase, issue: IssueRecord, origin: str) -> dict[str, Any]:
    test = _test_id(run, case, origin)
    return {
        "id": _id(origin, "incident", _issue_id(issue, origin), test),
        "origin": origin,
        "issue_id": _issue_id(issue, origin),
        "issue_version": 1,
        "test_id": test,
        "present": bool(case.judgement.failing),
    }
