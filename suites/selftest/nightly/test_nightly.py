"""Whole runs of a job with a fake launcher: judged, resumed, cut, blocked, confirmed."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from errpath.errors import UsageError
from errpath.nightly.job import Job, load_job
from errpath.nightly.plan import Limits, plan
from errpath.nightly.run import Nightly, open_run
from errpath.nightly.until import seconds_until
from errpath.results.history import query
from errpath.results.history.store import History
from errpath.results.records import CaseRecord, CaseStatus, KernelRecord
from errpath.results.regression import Kind
from errpath.results.reports.summary import render_summary
from errpath.results.triage import JudgedRun, grouped
from errpath.util.deadline import Deadline
from suites.selftest.nightly.fakes import Deed, FakeLauncher
from suites.selftest.results.data import KERNEL, records

_JOB = """
name: hfs
kernels:
  - {name: stable, kernel: "debian:7.2"}
suites: [suites/hfs]
directory: pages
"""
_GOOD = Deed(records=(CaseRecord("kernel-builds", CaseStatus.PASS, nodeid="b"),), kernel=KERNEL)
_LIMITS = Limits(2, 4000)


def _job(tmp_path: Path, text: str = _JOB) -> Job:
    path = tmp_path / "job.yaml"
    path.write_text(text)
    return load_job(path)


def _kernel(state: str, **values: str) -> KernelRecord:
    return KernelRecord(**{**KERNEL.__dict__, "state": state, **values})


def _built(state: str) -> Deed:
    return Deed(records=_GOOD.records, kernel=_kernel(state))


def _night(
    job: Job,
    now: float,
    deeds: Mapping[str, Deed],
    *,
    deadline: Deadline | None = None,
    fresh: bool = False,
) -> tuple[JudgedRun, FakeLauncher, list[str]]:
    told: list[str] = []
    with History(job.history_path) as history:
        row, directory, _ = open_run(history, job, host="here", now=now, fresh=fresh)
        with directory:
            launcher = FakeLauncher(directory.path, {"kernel": _GOOD, **deeds})
            nightly = Nightly(
                job,
                history,
                row,
                _LIMITS,
                dict.fromkeys(job.guests, 256),
                launcher,
                deadline=deadline,
                say=told.append,
                clock=launcher.clock,
            )
            return nightly.run(), launcher, told


def _kinds(run: JudgedRun, suite: str = "suites/hfs") -> dict[str, Kind]:
    return {c.case[-1]: c.judgement.kind for c in run.cases if c.track.suite == suite}


def _suite(letters: str, *, status: int | None = None) -> Deed:
    code = status if status is not None else int("F" in letters)
    return Deed(status=code, records=tuple(records(letters)))


def test_stock_bug_stock(tmp_path: Path) -> None:
    job = _job(tmp_path)
    first, _, _ = _night(job, 1000.0, {"kernel": _built("a"), "suite": _suite("PPF")})
    assert first.attention, "a first night has new cases, and one of them fails"
    bug = {"kernel": _built("b"), "suite": _suite("FPF"), "confirm": _suite("FPF")}
    second, launcher, _ = _night(job, 2000.0, bug)
    assert _kinds(second) == {
        "0": Kind.NEW_FAILURE,
        "1": Kind.PASSING,
        "2": Kind.STILL_FAILING,
    }
    assert [c.case[-1] for c in second.attention] == ["0"]
    # Confirmed twice, and only what was in doubt.
    assert [id for id in launcher.started if "confirm" in id] == [
        "stable.microvm.suites-hfs.confirm1",
        "stable.microvm.suites-hfs.confirm2",
    ]
    assert len(next(c for c in second.cases if c.case[-1] == "0").attempts) == 3
    assert len(next(c for c in second.cases if c.case[-1] == "2").attempts) == 1
    third, _, _ = _night(job, 3000.0, {"kernel": _built("a"), "suite": _suite("PPF")})
    assert _kinds(third) == {"0": Kind.FIXED, "1": Kind.PASSING, "2": Kind.STILL_FAILING}
    assert not third.attention
    pages = job.root
    assert (pages / "index.html").is_file()
    for name in ("index.html", "results.jsonl", "report.ktap", "kcidb.json", "summary.txt"):
        assert (pages / "runs" / third.run.id / name).is_file()


def test_what_does_not_fail_again_is_flaky(tmp_path: Path) -> None:
    job = _job(tmp_path)
    _night(job, 1000.0, {"suite": _suite("PP")})
    deeds = {
        "kernel": _built("b"),
        "suite": _suite("FP"),
        "stable.microvm.suites-hfs.confirm1": _suite("PP"),
    }
    second, launcher, _ = _night(job, 2000.0, deeds)
    assert _kinds(second)["0"] is Kind.FLAKY
    assert "stable.microvm.suites-hfs.confirm2" not in launcher.started
    assert not second.attention


def test_infrastructure_is_tried_again_and_never_blamed(tmp_path: Path) -> None:
    job = _job(tmp_path)
    _night(job, 1000.0, {"suite": _suite("PP")})
    second, _, _ = _night(job, 2000.0, {"suite": _suite("EP"), "confirm": _suite("PP")})
    assert _kinds(second) == {"0": Kind.PASSING, "1": Kind.PASSING}
    third, _, _ = _night(job, 3000.0, {"suite": _suite("EP"), "confirm": _suite("EP")})
    assert _kinds(third)["0"] is Kind.INFRASTRUCTURE
    assert (len(third.attention), third.incomplete) == (0, True)


def test_a_round_that_the_rig_ate_is_no_confirmation(tmp_path: Path) -> None:
    job = _job(tmp_path)
    _night(job, 1000.0, {"suite": _suite("P")})
    deeds = {
        "kernel": _built("b"),
        "suite": _suite("E"),
        "stable.microvm.suites-hfs.confirm2": _suite("E"),
        "confirm": _suite("F"),
    }
    second, _, _ = _night(job, 2000.0, deeds)
    attempts = second.cases[-1].attempts
    assert [record.status.value for record in attempts] == [
        "error",
        "fail",
        "error",
        "fail",
        "fail",
    ]
    assert _kinds(second)["0"] is Kind.NEW_FAILURE


def test_a_kernel_that_does_not_build_is_a_result_of_its_own(tmp_path: Path) -> None:
    job = _job(tmp_path, _JOB.replace("suites:", "  - {name: next, kernel: x}\nsuites:"))
    _night(job, 1000.0, {"suite": _suite("PP")})
    broken = CaseRecord(
        "kernel-builds", CaseStatus.FAIL, ("error: no such thing",), "e", nodeid="b"
    )
    deeds = {
        "next.microvm.kernel": Deed(status=1, records=(broken,), kernel=KERNEL),
        "suite": _suite("PP"),
    }
    second, launcher, _ = _night(job, 2000.0, deeds)
    assert "next.microvm.suites-hfs.r1" not in launcher.started
    assert "stable.microvm.suites-hfs.r1" in launcher.started
    said = {(c.track.kernel, c.case[-1]): c.judgement.kind for c in second.cases}
    assert said["next", "0"] is Kind.NOT_RUN
    assert said["stable", "0"] is Kind.PASSING
    # One answer more would be needed to call it new; a build is not repeated.
    assert said["next", "s"] in (Kind.UNCONFIRMED, Kind.FLAKY)
    assert second.run.status == "partial"


def test_an_interrupted_run_goes_on_where_it_stopped(tmp_path: Path) -> None:
    job = _job(tmp_path, _JOB + "repeats: 3\n")

    def interrupt() -> None:
        raise KeyboardInterrupt

    stop = Deed(first=interrupt, records=())
    deeds = {"suite": _suite("PP"), "stable.microvm.suites-hfs.r3": stop}
    with pytest.raises(KeyboardInterrupt):
        _night(job, 1000.0, deeds)
    run, launcher, told = _night(job, 2000.0, {"suite": _suite("PP")})
    assert told[0].startswith("going on with 19700101T")
    assert "stable.microvm.kernel" not in launcher.started
    assert "stable.microvm.suites-hfs.r3" in launcher.started
    assert len(launcher.started) < 4
    assert run.run.started == 1000.0
    assert run.run.status == "complete"
    assert all(len(c.attempts) == 3 for c in run.cases if c.track.suite == "suites/hfs")


@pytest.mark.parametrize("how", ["fresh", "old", "changed"])
def test_when_an_interrupted_run_is_not_gone_on_with(tmp_path: Path, how: str) -> None:
    job = _job(tmp_path)

    def interrupt() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        _night(job, 1000.0, {"suite": Deed(first=interrupt)})
    if how == "changed":
        job = _job(tmp_path, _JOB + "repeats: 2\n")
    later = 1000.0 + 86400 if how == "old" else 2000.0
    run, launcher, _ = _night(job, later, {"suite": _suite("PP")}, fresh=how == "fresh")
    assert run.run.started == later
    assert "stable.microvm.kernel" in launcher.started
    with History(job.history_path) as history:
        assert [row.status for row in history.runs()] == ["complete", "partial"]


def test_a_run_that_another_process_runs_is_left_alone(tmp_path: Path) -> None:
    job = _job(tmp_path)
    with History(job.history_path) as history:
        first, directory, _ = open_run(history, job, host="here", now=1000.0)
        with directory:
            second, other, resumed = open_run(history, job, host="here", now=1001.0)
            with other:
                assert not resumed
                assert first.id != second.id
        third, again, resumed = open_run(history, job, host="here", now=1002.0)
        again.__exit__(None, None, None)
        assert resumed
        assert third.status == "running"


def test_the_deadline_ends_with_what_there_is(tmp_path: Path) -> None:
    job = _job(tmp_path, _JOB + "repeats: 2\n")
    _night(job, 1000.0, {"suite": _suite("PPP")})
    deadline = Deadline.after(0.3, "until now")
    part = Deed(status=None, records=tuple(records("PF")), whole=False)
    run, launcher, _ = _night(job, 2000.0, {"suite": part}, deadline=deadline)
    assert not launcher.alive
    assert run.run.status == "partial"
    assert "time was up" in run.run.note
    # What there is, is judged; what is not there is not gone. Nothing was confirmed: time is up.
    assert _kinds(run)["0"] is Kind.PASSING
    assert _kinds(run)["2"] is Kind.NOT_RUN
    assert not run.attention


def test_results_of_another_kernel_are_not_believed(tmp_path: Path) -> None:
    """A tree that moved between the build and the suite."""
    job = _job(tmp_path)
    other = Deed(records=tuple(records("PP")), kernel=_kernel("moved"))
    run, _, told = _night(job, 1000.0, {"suite": other})
    assert run.run.status == "partial"
    assert any("changed while the run was under way" in line for line in told)


@pytest.mark.parametrize(
    ("values", "same"),
    [
        ({"state": "own", "config_hash": "b" * 64}, True),
        ({"state": "own", "config_hash": "b" * 64, "release": "7.2.14"}, False),
        ({"state": "own"}, False),
    ],
)
def test_a_guest_may_configure_the_kernel_for_itself(
    tmp_path: Path, values: dict[str, str], same: bool
) -> None:
    job = _job(tmp_path, _JOB + "guests: [microvm, coverage]\n")
    own = Deed(records=_GOOD.records, kernel=_kernel(**values))
    deeds = {"stable.coverage.kernel": own, "suite": _suite("PP")}
    deeds |= {"stable.coverage.suites-hfs.r1": replace(own, records=tuple(records("PP")))}
    _, _, told = _night(job, 1000.0, deeds)
    assert any("changed while the run was under way" in line for line in told) != same


def test_the_kernel_of_a_guest_that_changes_is_not_believed(tmp_path: Path) -> None:
    job = _job(tmp_path, _JOB + "guests: [microvm, coverage]\n")
    first, second = (_kernel(state, config_hash="b" * 64) for state in ("own", "moved"))
    deeds = {
        "stable.coverage.kernel": Deed(records=_GOOD.records, kernel=first),
        "stable.coverage.suites-hfs.r1": Deed(records=tuple(records("PP")), kernel=second),
        "suite": _suite("PP"),
    }
    _, _, told = _night(job, 1000.0, deeds)
    assert any("changed while the run was under way" in line for line in told)


def test_a_branch_is_built_at_one_commit_all_night(tmp_path: Path) -> None:
    job = _job(tmp_path, _JOB.replace("debian:7.2", "/trees/linux@master"))
    commit = "c" * 40
    kernel = KernelRecord("stable", "/trees/linux@master", state="s", commit=commit)
    with History(job.history_path) as history:
        row, directory, _ = open_run(history, job, host="here", now=1000.0)
        with directory:
            deeds = {"kernel": Deed(records=_GOOD.records, kernel=kernel), "suite": _suite("P")}
            launcher = FakeLauncher(directory.path, deeds)
            memory = {"microvm": 256}
            nightly = Nightly(job, history, row, _LIMITS, memory, launcher, say=lambda _: None)
            unit = plan(job, _LIMITS, memory)[1]
            assert nightly.recorder.spec_of(unit) == "/trees/linux@master"
            nightly.run()
            assert nightly.recorder.spec_of(unit) == f"/trees/linux@{commit}"


def test_a_suite_that_crashes_keeps_what_it_had(tmp_path: Path) -> None:
    job = _job(tmp_path)
    _night(job, 1000.0, {"suite": _suite("PPP")})
    crashed = Deed(status=-9, records=tuple(records("PP")), whole=False)
    run, _, _ = _night(job, 2000.0, {"suite": crashed})
    assert _kinds(run) == {"0": Kind.PASSING, "1": Kind.PASSING, "2": Kind.NOT_RUN}
    with History(job.history_path) as history:
        failed = [unit for unit in query.units(history, run.run) if unit.status == "failed"]
        assert [unit.detail for unit in failed] == ["ended with status -9"]


def test_parts_are_divided_once_and_make_a_whole(tmp_path: Path) -> None:
    """A run that goes on must divide by the durations that it began with."""
    job = _job(tmp_path, _JOB + "parts: 2\nworkers: 2\n")
    whole = tuple(record.nodeid for record in records("PPPP"))
    first = Deed(records=tuple(records("PP")), collected=whole)
    second = Deed(records=tuple(records("PPPP")[2:]), collected=whole)

    def interrupt() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        _night(
            job,
            1000.0,
            {
                "stable.microvm.suites-hfs.r1.p1": first,
                "stable.microvm.suites-hfs.r1.p2": Deed(first=interrupt),
            },
        )
    (path,) = (job.root / "runs").glob("*/durations.json")
    assert path.read_text() == "{}\n"
    run, _, _ = _night(job, 2000.0, {"suite": second})
    assert path.read_text() == "{}\n", "there are durations by now, but they are not for this run"
    assert run.run.status == "complete"
    overlapping = Deed(records=tuple(records("PPP")), collected=whole)
    torn, _, _ = _night(job, 3000.0, {"suite": overlapping})
    assert torn.run.status == "partial"
    assert "do not make a whole" in torn.run.note


def test_keep_prunes(tmp_path: Path) -> None:
    job = _job(tmp_path, _JOB + "keep: 1d\n")
    _night(job, 1000.0, {"suite": _suite("P")})
    _night(job, 1000.0 + 3 * 86400, {"suite": _suite("P")})
    assert len(list((job.root / "runs").iterdir())) == 1


# -- jobs ------------------------------------------------------------------------------------------


def test_the_plan_is_a_product(tmp_path: Path) -> None:
    text = _JOB.replace("suites:", "  - {name: next, kernel: x}\nsuites:")
    job = _job(tmp_path, text + "repeats: 2\nparts: 3\nworkers: 2\n")
    units = plan(job, _LIMITS, {"microvm": 256})
    assert len(units) == 2 * (1 + 2 * 3)
    assert len({unit.id for unit in units}) == len(units)
    parts = [unit for unit in units if unit.kind == "suite"]
    assert {unit.shard for unit in parts} == {"1/3", "2/3", "3/3"}
    assert {(unit.cores, unit.memory_mib) for unit in parts} == {(2, 1112)}
    assert all(unit.needs == (f"{unit.track.kernel}.microvm.kernel",) for unit in parts)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (("name: hfs", "name: a/b"), "letters, digits"),
        (("suites: [suites/hfs]", "suites: []"), "at least one"),
        (("suites/hfs", "suites/none"), "no such suite"),
        (("name: stable", "name: 'a b'"), "letters, digits"),
        (("name: hfs", "name: hfs\nrepeats: 0"), "repeats: got 0"),
        (("name: hfs", "name: hfs\nknown: none.yaml"), "no such file"),
        (("name: hfs", "name: hfs\nkeep: 90x"), "90d"),
        (("name: hfs", "name: hfs\nguests: [none]"), "guest none"),
        (("name: hfs", "name: hfs\nwebhook: ftp://x"), "http"),
        (("name: hfs", "name: hfs\nnight: 1"), "unknown key 'night'"),
        (('"debian:7.2"', "x, patches: [none.patch]"), "no such patch"),
        (("suites:", "  - {name: stable, kernel: x}\nsuites:"), "twice"),
    ],
)
def test_wrong_jobs_are_one_line(tmp_path: Path, change: tuple[str, str], text: str) -> None:
    with pytest.raises(UsageError, match=text) as caught:
        _job(tmp_path, _JOB.replace(*change))
    assert "\n" not in str(caught.value)


def test_until() -> None:
    now = datetime.datetime(2026, 11, 22, 22, 30)
    assert seconds_until("06:00", now) == 7.5 * 3600
    assert seconds_until("23:00", now) == 1800
    assert seconds_until("+90m", now) == 5400
    assert seconds_until("+6h", now) == 6 * 3600
    for wrong in ("6", "24:00", "12:60", "+5", "soon"):
        with pytest.raises(UsageError, match="HH:MM"):
            seconds_until(wrong, now)


_SERIES = """
name: hfs
kernels:
  - {name: lts, kernel: "debian:6.12"}
  - {name: stable, kernel: "debian:7.2"}
  - {name: newest, kernel: "debian:7.3"}
suites: [suites/hfs]
directory: pages
minutes: 1
"""


def _series(
    tmp_path: Path,
    now: float,
    *,
    built: tuple[str, ...] = (),
    seconds: float = 40.0,
    **letters: str,
) -> tuple[list[str], JudgedRun]:
    """The suites that a night of a minute began, by kernel. The kernels `built` are others."""
    job = _job(tmp_path, _SERIES)
    deeds = {}
    for name in ("lts", "stable", "newest"):
        state = f"{name}-new" if name in built else name
        kernel = KernelRecord(**{**KERNEL.__dict__, "name": name, "state": state})
        deeds[f"{name}.microvm.kernel"] = Deed(records=_GOOD.records, kernel=kernel, seconds=1.0)
        deed = _suite(letters.get(name, "PP"))
        for part in ("r1", "confirm1", "confirm2"):
            deeds[f"{name}.microvm.suites-hfs.{part}"] = replace(deed, seconds=seconds)
    with History(job.history_path) as history:
        row, directory, _ = open_run(history, job, host="here", now=now)
        with directory:
            launcher = FakeLauncher(directory.path, deeds)
            nightly = Nightly(
                job,
                history,
                row,
                Limits(1, 4000),
                {"microvm": 256},
                launcher,
                deadline=Deadline.after(60.0, "a minute", clock=launcher.clock),
                say=lambda _: None,
                clock=launcher.clock,
            )
            run = nightly.run()
    return [id.partition(".")[0] for id in launcher.started if id.endswith(".r1")], run


def test_a_budget_rotates_over_the_series_and_says_what_it_did_not_reach(tmp_path: Path) -> None:
    first, run = _series(tmp_path, 1000.0)
    second, _ = _series(tmp_path, 2000.0)
    third, last = _series(tmp_path, 3000.0)
    assert sorted(first + second + third) == ["lts", "newest", "stable"]
    missed = {unit.id: unit.detail for unit in run.units if unit.status == "cut"}
    assert len(missed) == 2
    assert all(detail.endswith("; never run") for detail in missed.values())
    missed = {unit.track.kernel: unit.detail for unit in last.units if unit.status == "cut"}
    assert missed[first[0]].endswith("; last run 33 min 20 s ago")
    assert missed[second[0]].endswith("; last run 16 min 40 s ago")
    # Each is judged by its own past, and what did not run is not gone.
    kinds = {c.track.kernel: c.judgement.kind for c in last.cases if c.track.suite != "kernel"}
    assert kinds[first[0]] is Kind.NOT_RUN


def test_a_budget_goes_to_what_changed_and_then_to_what_failed(tmp_path: Path) -> None:
    for now in (1000.0, 2000.0, 3000.0):
        _series(tmp_path, now, seconds=15.0, stable="FF")
    # All of them ran before; one failed.
    began, _ = _series(tmp_path, 4000.0, stable="FF")
    assert began[0] == "stable"
    began, _ = _series(tmp_path, 5000.0, built=("lts",), stable="FF")
    assert began[0] == "lts"


def test_one_signature_on_several_series_is_one_finding(tmp_path: Path) -> None:
    _series(tmp_path, 1000.0, seconds=1.0)
    built = ("lts", "stable", "newest")
    failed = dict.fromkeys(built, "FP")
    _, run = _series(tmp_path, 2000.0, built=built, seconds=1.0, **failed)
    failing = [case for case in run.cases if case.judgement.kind is Kind.NEW_FAILURE]
    assert len(failing) == 3
    assert run.ways == 1
    (group,) = grouped(failing)
    assert group.where.startswith("hfs · lts, newest, stable · ")
    text = render_summary(run)
    assert text.count(group.what) == 1
    for kernel in ("lts", "newest", "stable"):
        assert f" on {kernel}: new failure" in text


def test_a_case_that_is_new_on_one_series_is_no_new_failure(tmp_path: Path) -> None:
    _series(tmp_path, 1000.0, seconds=1.0)
    _, run = _series(tmp_path, 2000.0, seconds=1.0, newest="PPF")
    (new,) = [case for case in run.cases if case.case[-1] == "2"]
    assert (new.track.kernel, new.judgement.kind) == ("newest", Kind.NEW_CASE)
