"""pytest: results as lines in a file and as JUnit properties; shards.

Beside `errpath.plugin.cases`, which runs the cases: this only listens, and selects.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import time
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Any

import pytest

from errpath import __version__
from errpath.errors import ErrpathError, InfrastructureError, UsageError
from errpath.kernel import KernelStore
from errpath.oracles.failure import TEST, Failure, infrastructure
from errpath.oracles.steps import orders_of
from errpath.plugin.cases import case_of, issues_of, kernel_of, session_of, unit_of
from errpath.plugin.known_issues import issue_of
from errpath.plugin.selection import keep_items, key_of
from errpath.plugin.sweep import POINT_PROPERTY
from errpath.results.kernel_record import kernel_record
from errpath.results.records import (
    CaseRecord,
    CaseStatus,
    IssueRecord,
    KernelRecord,
    ShardRecord,
    from_json,
    to_json,
)
from errpath.results.reports.jsonl import ResultWriter
from errpath.results.shard import assign, from_environment, load_durations, parse_shard
from errpath.runner.sweep_pace import usual_seconds
from errpath.runner.sweep_units import SweepUnit

__all__: list[str] = []

_PREFIX = "errpath."
# Fields of a record that are no plain values.
_STRUCTURED = ("failures", "issue")
_shard_key = pytest.StashKey[tuple[ShardRecord, str]]()
_header_key = pytest.StashKey[bool]()
# What is kept of each built kernel, by name.
_described_key = pytest.StashKey[dict[str, dict[str, Any]]]()
_collected_key = pytest.StashKey[list[str]]()
_reports_key = pytest.StashKey[dict[str, pytest.TestReport]]()


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    config.stash[_collected_key] = []
    try:
        config.stash[_shard_key] = _shard(config.option)
        if config.option.results is not None and not hasattr(config, "workerinput"):
            config.pluginmanager.register(_Recorder(config), "errpath-recorder")
    except ErrpathError as error:
        raise pytest.UsageError(str(error)) from None


def _shard(options: argparse.Namespace) -> tuple[ShardRecord, str]:
    if options.shard == "none":
        return ShardRecord(), ""
    if options.shard == "auto":
        return from_environment(os.environ) or (ShardRecord(), "")
    return parse_shard(options.shard), "--shard"


def pytest_report_header(config: pytest.Config) -> str | None:
    config.stash[_header_key] = True
    return _shard_line(config)


def pytest_report_collectionfinish(config: pytest.Config) -> str | None:
    # Too late for the header in a run that showed only here that it is errpath's.
    return None if config.stash.get(_header_key, False) else _shard_line(config)


def _shard_line(config: pytest.Config) -> str | None:
    shard, source = config.stash[_shard_key]
    return f"errpath: shard {shard} (from {source})" if shard.total > 1 else None


# -- selection -----------------------------------------------------------------------------------


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """After every other selection, so that all shards divide the same whole."""
    try:
        config.stash[_collected_key] = [item.nodeid for item in items]
        shard, _ = config.stash[_shard_key]
        if shard.total > 1:
            path = config.option.durations_from
            known = load_durations(path) if path is not None else {}
            seconds = {**known, **_sweep_seconds(items, known)}
            parts = assign([_part(item) for item in items], shard.total, seconds)
            here = {id(item) for item in items if parts[_part(item)] == shard.index}
            keep_items(config, items, here)
    except UsageError as error:
        raise pytest.UsageError(str(error)) from None


def _part(item: pytest.Item) -> str:
    """What goes to one shard: a case, a test, or the volume of a sweep, whose tests share a
    recording and guests."""
    unit = unit_of(item)
    return unit.volume_id if unit is not None else key_of(item)


def _sweep_seconds(items: list[pytest.Item], known: Mapping[str, float]) -> dict[str, float]:
    """Seconds of the volumes of sweeps: of their points, where these have run before."""
    groups: dict[str, dict[str, list[SweepUnit]]] = {}
    for item in items:
        if (unit := unit_of(item)) is not None:
            groups.setdefault(unit.volume_id, {}).setdefault(unit.group, []).append(unit)
    seconds = {}
    for volume, own in groups.items():
        usual = sum(map(usual_seconds, own.values()))
        units = [unit for group in own.values() for unit in group]
        points = (s for case, s in known.items() if any(unit.holds(case) for unit in units))
        seconds[volume] = sum(points) or usual
    return seconds


# -- results -------------------------------------------------------------------------------------


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    if call.when == "teardown":
        # What is noted before the last report is made travels in it, from worker to controller and
        # into JUnit's properties.
        earlier = item.stash.get(_reports_key, {})
        record = _record(item, call, earlier)
        case = case_of(item)
        if case is not None:
            issues_of(item.config).note(item, case, kernel_of(item), record.status)
        item.user_properties += _to_properties(record, kernel_of(item))
    report = yield
    item.stash.setdefault(_reports_key, {})[report.when] = report
    return report


def _record(
    item: pytest.Item, call: pytest.CallInfo[None], earlier: dict[str, pytest.TestReport]
) -> CaseRecord:
    status, words = _outcome(call, earlier)
    case = case_of(item)
    seconds = earlier["call"].duration if "call" in earlier else 0.0
    if case is None:
        return CaseRecord(
            item.nodeid,
            status,
            reasons=() if status is CaseStatus.PASS else (words,),
            seconds=seconds,
            nodeid=item.nodeid,
            failures=_failures(status, words),
            issue=IssueRecord(words) if status is CaseStatus.XFAIL else None,
        )
    session = session_of(item.config)
    kernel = kernel_of(item)
    result = session.known(kernel, case.id)
    reasons: tuple[str, ...] = ()
    failures = _failures(status, words)
    confirmed = repeats = 0
    orders: tuple[str, ...] = ()
    if result is not None:
        verdict = result.verdict
        reasons = verdict.reasons
        failures = verdict.failures or failures
        if verdict.outcome is not None:
            orders = orders_of(verdict.case, verdict.outcome)
            seconds = verdict.outcome.seconds or seconds
        if verdict.leak is not None:
            confirmed, repeats = verdict.leak.confirmed, verdict.leak.repeats
    passed = status is CaseStatus.PASS
    folder = session.reporter.folder(kernel, case.id)
    return CaseRecord(
        case.id,
        status,
        reasons=() if passed else reasons or (words,),
        seconds=seconds,
        filesystem=case.filesystem,
        event=case.point,
        errno=case.errno,
        confirmed=confirmed,
        repeats=repeats,
        rerun="" if passed else session.rerun(kernel, case.id),
        artefacts=str(folder) if folder is not None else "",
        nodeid=item.nodeid,
        failures=() if status in (CaseStatus.PASS, CaseStatus.SKIP) else failures,
        issue=(issue_of(item) or IssueRecord(words)) if status is CaseStatus.XFAIL else None,
        orders=orders,
    )


def _failures(status: CaseStatus, words: str) -> tuple[Failure, ...]:
    """Of a test that has no verdict."""
    if status is CaseStatus.ERROR:
        return (infrastructure(words),)
    return (Failure(TEST, words),) if status in (CaseStatus.FAIL, CaseStatus.XFAIL) else ()


def _outcome(
    call: pytest.CallInfo[None], earlier: dict[str, pytest.TestReport]
) -> tuple[CaseStatus, str]:
    """Status and one line of why: a failed set-up or tear-down is an infrastructure error."""
    for when, failed in (("setup", CaseStatus.ERROR), ("call", CaseStatus.FAIL)):
        report = earlier.get(when)
        if report is not None and report.failed:
            return failed, _line(str(report.longrepr))
        if report is not None and report.skipped:
            if hasattr(report, "wasxfail"):
                # pytest puts a word of its own before a reason that is given at the call.
                return CaseStatus.XFAIL, _line(report.wasxfail.removeprefix("reason: "))
            why = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
            return CaseStatus.SKIP, _line(str(why))
    if call.excinfo is not None:
        return CaseStatus.ERROR, _line(str(call.excinfo.value))
    return CaseStatus.PASS, ""


def _line(text: str) -> str:
    """The line of a failure that says most: pytest puts it behind an E."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line[2:].strip() for line in lines if line.startswith("E ")]
    return (errors or lines or ["no reason given"])[0][:500]


def _to_properties(record: CaseRecord, kernel: str) -> list[tuple[str, object]]:
    pairs: list[tuple[str, object]] = [(f"{_PREFIX}kernel", kernel)]
    for name, value in to_json(record).items():
        if name in _STRUCTURED:
            # JUnit's properties hold text.
            pairs.append((_PREFIX + name, json.dumps(value)))
            continue
        for one in value if isinstance(value, list) else [value]:
            pairs.append((_PREFIX + name, one))
    return pairs


def _from_properties(pairs: list[tuple[str, object]]) -> tuple[str, CaseRecord] | None:
    values: dict[str, Any] = {"reasons": []}
    for name, value in pairs:
        if name == f"{_PREFIX}reasons":
            values["reasons"].append(value)
        elif name.removeprefix(_PREFIX) in _STRUCTURED and name.startswith(_PREFIX):
            values[name.removeprefix(_PREFIX)] = json.loads(str(value))
        elif name.startswith(_PREFIX):
            values[name.removeprefix(_PREFIX)] = value
    if "case" not in values:
        return None
    return values.pop("kernel"), from_json(CaseRecord, values)


class _RunWriter(ResultWriter):
    """Results of a run that ends, with one line, where they cannot be written."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._failed = False

    def write(self, type: str, **values: Any) -> None:
        if self._failed:
            return
        try:
            super().write(type, **values)
        except InfrastructureError as error:
            self._failed = True
            pytest.exit(str(error), returncode=error.exit_status)

    def close(self) -> None:
        # What could not be written would be tried again.
        with contextlib.suppress(OSError):
            super().close()


class _Recorder:
    """Writes the file; only in the process that the user started."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._writer = _RunWriter(config.option.results.absolute())
        self._planned = False
        self._kernels: set[str] = set()
        self._reason = ""
        shard, _ = config.stash[_shard_key]
        self._writer.run(version=__version__, shard=shard, started=time.time())

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        if session.items:
            self._plan(self._config.stash[_collected_key], [item.nodeid for item in session.items])

    def _plan(self, collected: list[str], planned: list[str]) -> None:
        if not self._planned:
            self._planned = True
            self._writer.plan(collected, planned)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        found = _from_properties(report.user_properties) if report.when == "teardown" else None
        if found is not None:
            self._note_kernels(_kernels(self._config))
            points = [str(text) for name, text in report.user_properties if name == POINT_PROPERTY]
            for text in points:
                values = json.loads(text)
                self._writer.case(values.pop("kernel"), from_json(CaseRecord, values))
            # What became of a test of a sweep is what became of its points.
            if not points:
                self._writer.case(*found)

    def _note_kernels(self, kernels: list[dict[str, Any]]) -> None:
        for values in kernels:
            if values["name"] not in self._kernels:
                self._kernels.add(values["name"])
                self._writer.kernel(from_json(KernelRecord, values))

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any, error: object) -> None:
        output = getattr(node, "workeroutput", {})
        self._note_kernels(output.get("errpath_kernels", []))
        if "errpath_collected" in output:
            self._plan(output["errpath_collected"], output["errpath_planned"])

    def pytest_keyboard_interrupt(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        self._reason = str(excinfo.value) or "interrupted"

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        # Nothing to run in this shard is not an error here.
        if exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED and self._config.stash[_collected_key]:
            self._plan(self._config.stash[_collected_key], [])
            session.exitstatus = exitstatus = pytest.ExitCode.OK
        self._writer.end(status=int(session.exitstatus), reason=self._reason, ended=time.time())


def pytest_sessionfinish(session: pytest.Session) -> None:
    """A worker hands the controller what only a worker knows."""
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["errpath_collected"] = session.config.stash[_collected_key]
        output["errpath_planned"] = [item.nodeid for item in session.items]
        output["errpath_kernels"] = _kernels(session.config)


def _kernels(config: pytest.Config) -> list[dict[str, Any]]:
    """The kernels that have been built so far, each described once."""
    session = session_of(config)
    described = config.stash.setdefault(_described_key, {})
    store = KernelStore(progress=session.progress)
    found = []
    for name, testbed in session.testbeds.built():
        if name not in described:
            record = kernel_record(testbed.options.kernel, store, testbed.kernel, name=name)
            described[name] = to_json(record)
        found.append(described[name])
    return found
