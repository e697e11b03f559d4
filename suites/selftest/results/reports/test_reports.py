"""Reports of a judged run: each form is read by what people read it with."""

from __future__ import annotations

import datetime
import json
import re
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from errpath.errors import UsageError
from errpath.nightly.publish import FORMATS, gather, publish, render
from errpath.results.history.store import History
from errpath.results.history.verdicts import judge_run
from errpath.results.records import CaseRecord, KernelRecord, TrackRecord
from errpath.results.regression import Kind
from errpath.results.reports import kcidb, ktap
from errpath.results.reports.html import render_run
from errpath.results.reports.html_index import render_index
from errpath.results.reports.jsonl import read_results
from errpath.results.reports.summary import render_summary, subject
from errpath.results.triage import JudgedRun, RunSummary
from errpath.runner.known_issues import FailurePattern, KnownIssue
from errpath.util.cache import cache_root
from suites.selftest.results.data import KERNEL, TRACK, add_run, records

_KNOWN = KnownIssue(
    "hfs leaks <s_fs_info>",
    "https://lore.example/r/1",
    ("*-0003",),
    FailurePattern("leak", function="hfs_init_fs_context"),
    until="2100-01-01",
)


@pytest.fixture
def run(tmp_path: Path) -> JudgedRun:
    """A night with some of everything: new, known, still, fixed, rig, skipped, new case, gone."""
    other = KernelRecord(**{**KERNEL.__dict__, "state": "beef", "commit": "e" * 40})
    with History(tmp_path / "history.sqlite") as history:
        first = "PFFPPPPPP"
        add_run(history, "n1", first, started=100.0, directory=tmp_path)
        row = add_run(
            history,
            "n2",
            ["FFPFESP", "F", "F"],
            started=200.0,
            kernel=other,
            directory=tmp_path / "runs" / "n2",
            status="complete",
        )
        hostile = CaseRecord(**{**vars(records("F")[0]), "case": "<script>#{x}", "nodeid": "x"})
        track = TrackRecord("hfs", "stable", "microvm", "suites/<other>")
        history.add_unit(row, "other", track, [hostile])
        cases = judge_run(history, row, known=(_KNOWN,), today=datetime.date(2026, 11, 22))
        history.add_judgements(row, {(c.track, c.case): c.judgement for c in cases})
        return gather(history, row, cases)


def test_the_night_has_some_of_everything(run: JudgedRun) -> None:
    kinds = {c.case[-1]: c.judgement.kind for c in run.cases if c.track == TRACK}
    assert kinds == {
        "0": Kind.NEW_FAILURE,
        "1": Kind.STILL_FAILING,
        "2": Kind.FIXED,
        "3": Kind.KNOWN,
        "4": Kind.INFRASTRUCTURE,
        "5": Kind.SKIPPED,
        "6": Kind.PASSING,
        "7": Kind.GONE,
        "8": Kind.GONE,
    }
    assert len(run.attention) == 2


# -- KTAP ------------------------------------------------------------------------------------------


def _kunit() -> Path:
    """The kernel's own parser, from the sources that kernels were built from."""
    pattern = "*/tools/testing/kunit/kunit.py"
    found = sorted((cache_root() / "sources").glob(pattern))
    if not found:
        pytest.skip("no unpacked kernel source in the cache: `errpath kernel build` unpacks one")
    return found[-1]


def test_kunit_parses_ktap(run: JudgedRun, tmp_path: Path) -> None:
    path = tmp_path / "report.ktap"
    path.write_text(ktap.render(run))
    done = subprocess.run(
        [sys.executable, str(_kunit()), "parse", "--json", str(path)],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": "/usr/bin:/bin", "NO_COLOR": "1"},
    )
    text = done.stdout + done.stderr
    assert "[ERROR]" not in text, text
    count = re.search(r"Ran (\d+) tests: (.*)", text)
    assert count is not None, text
    assert count[1] == "8"
    assert count[2] == "passed: 2, failed: 5, skipped: 1"
    assert "hfs-setup_bdev_super-EIO-0000" in text


def test_ktap_lines(run: JudgedRun) -> None:
    lines = ktap.render(run).splitlines()
    assert lines[0] == "KTAP version 1"
    assert "1..2" in lines
    assert "  not ok 1 hfs-setup_bdev_super-EIO-0000" in lines
    assert "  # hfs-setup_bdev_super-EIO-0000: new failure, 3 of 3" in lines
    assert any("0004 # ERROR memory leak" in line and line.startswith("  not ok") for line in lines)
    assert any("0005 # SKIP " in line for line in lines)
    # A hash would end the description.
    assert "  not ok 1 <script> {x}" in lines
    assert lines[-1].startswith("not ok 2 ")


@pytest.fixture
def expected(tmp_path: Path) -> JudgedRun:
    """A night with a pass, and a failure that the suite's own known issue explains."""
    with History(tmp_path / "expected.sqlite") as history:
        add_run(history, "n1", "PX", started=100.0, directory=tmp_path)
        row = add_run(history, "n2", "PX", started=200.0, directory=tmp_path)
        return gather(history, row, judge_run(history, row))


def test_an_expected_failure_is_known_in_every_form(expected: JudgedRun) -> None:
    assert [case.judgement.kind for case in expected.cases] == [Kind.PASSING, Kind.KNOWN]
    assert not expected.attention
    assert not expected.failing
    name = "hfs-setup_bdev_super-EIO-0001"
    assert f"  ok 2 {name} # XFAIL s_fs_info is lost" in ktap.render(expected).splitlines()
    assert ktap.render(expected).splitlines()[-1].startswith("ok 1 ")
    data = json.loads(render(expected, "kcidb"))
    test = next(test for test in data["tests"] if test["comment"] == name)
    assert test["status"] == "FAIL"
    assert test["misc"]["errpath"]["attempts"] == ["xfail"]
    (issue,), (incident,) = data["issues"], data["incidents"]
    assert issue["report_subject"] == "s_fs_info is lost"
    # A file of the repository is no address.
    assert "report_url" not in issue
    assert (incident["issue_id"], incident["test_id"]) == (issue["id"], test["id"])
    assert incident["present"]
    assert "KNOWN (1)" in render_summary(expected)
    page = render_run(expected)
    assert "s_fs_info is lost (docs/findings/hfs.md)" in page
    assert "[xx]" in page


def test_an_expected_failure_is_valid_kcidb(expected: JudgedRun) -> None:
    schema = pytest.importorskip("kcidb_io", reason="kcidb-io is not installed").schema
    assert schema.V5_0.is_valid_exactly(json.loads(render(expected, "kcidb")))


# -- KCIDB -----------------------------------------------------------------------------------------


def test_kcidb_is_valid(run: JudgedRun) -> None:
    schema = pytest.importorskip("kcidb_io", reason="kcidb-io is not installed").schema
    data = json.loads(render(run, "kcidb"))
    version = schema.V5_0
    assert version.is_compatible_exactly(data)
    assert version.is_valid_exactly(data)
    assert schema.LATEST.is_valid(data)
    upgraded = schema.LATEST.upgrade(data)
    assert schema.LATEST.is_valid_exactly(upgraded)
    # The check can fail.
    data["tests"][0]["status"] = "GREEN"
    assert not version.is_valid_exactly(data)


def test_kcidb_says_the_same(run: JudgedRun) -> None:
    data = kcidb.to_kcidb(run)
    assert {test["status"] for test in data["tests"]} == {"FAIL", "PASS", "MISS", "SKIP"}
    (build,) = data["builds"]
    (checkout,) = data["checkouts"]
    assert build["checkout_id"] == checkout["id"]
    assert checkout["git_commit_hash"] == "e" * 40
    assert all(test["build_id"] == build["id"] for test in data["tests"])
    assert len({test["id"] for test in data["tests"]}) == len(data["tests"]) == 8
    (issue,) = data["issues"]
    (incident,) = data["incidents"]
    assert issue["report_url"] == _KNOWN.link
    assert incident["issue_id"] == issue["id"]
    assert incident["test_id"] in {test["id"] for test in data["tests"]}
    assert kcidb.to_kcidb(run) == data, "the same run has the same ids when it is sent again"
    with pytest.raises(UsageError, match="origin"):
        kcidb.to_kcidb(run, origin="My CI")


def test_patchset_hash_is_that_of_the_schema(run: JudgedRun) -> None:
    """`sha256sum *.patch | cut -c-64 | sha256sum | cut -c-64`."""
    done = subprocess.run(["sha256sum"], input=f"{'d' * 64}\n".encode(), capture_output=True)
    wanted = done.stdout.decode()[:64]
    assert kcidb.to_kcidb(run)["checkouts"][0]["patchset_hash"] == wanted


# -- JSON lines, text ------------------------------------------------------------------------------


def test_json_lines_can_be_read_again(run: JudgedRun, tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    path.write_text(render(run, "jsonl"))
    results = read_results(path)
    assert len(results.cases) == 10
    assert results.kernels == run.kernels


def test_text_has_new_failures_first(run: JudgedRun) -> None:
    text = render_summary(run)
    assert text.index("NEW FAILURE (1)") < text.index("STILL FAILING (1)") < text.index("FIXED (1)")
    assert "rerun one: errpath run hfs-setup_bdev_super-EIO-0000" in text
    assert "https://lore.example/r/1" in text
    assert "\n" not in subject(run)
    assert "2 to look at" in subject(run)


# -- HTML ------------------------------------------------------------------------------------------

_VOID = {"meta", "br", "img"}


class _Page(HTMLParser):
    """Checks nesting; collects links, and what would be fetched."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.links: list[str] = []
        self.fetched: list[str] = []
        self.text = ""
        self.feed(text)
        self.close()
        assert not self.open, self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in _VOID:
            self.open.append(tag)
        for name, value in attrs:
            if name == "href" and tag == "a":
                self.links.append(value or "")
            if name in ("src", "data", "action") or (name == "href" and tag != "a"):
                self.fetched.append(value or "")
        assert tag not in ("script", "link", "iframe", "object")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_page(run: JudgedRun) -> None:
    page = _Page(render_run(run))
    assert not page.fetched, "a page stands alone"
    assert "artefacts/hfs-setup_bdev_super-EIO-0000/report.txt" in page.links
    assert _KNOWN.link in page.links
    order = [page.text.index(word) for word in ("2 cases to look at", "New failures", "Fixed")]
    assert order == sorted(order)
    # Words beside every colour.
    for word in ("✗ NEW", "✗ still", "✓ FIXED", "✗ known", "! infrastructure", "- gone"):
        assert word in page.text
    assert "<script>#{x}" in page.text, "shown as text"


def test_what_was_lost_is_drawn_and_the_page_stands_alone(run: JudgedRun) -> None:
    picture = "artefacts/hfs-setup_bdev_super-EIO-0000/lifetime.svg"
    path = Path(run.run.directory, picture)
    path.parent.mkdir(parents=True)
    path.write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
    page = _Page(render_run(run))
    assert picture in page.links
    assert page.fetched
    assert all(one.startswith("data:image/svg+xml;base64,") for one in page.fetched)


def test_matrix(run: JudgedRun) -> None:
    text = render_run(run)
    assert '<th scope="row">setup_bdev_super</th>' in text
    assert '<th scope="col">hfs</th>' in text


@pytest.mark.parametrize("target", ["javascript:alert(1)", "data:text/html,x"])
def test_a_hostile_link_is_no_link(run: JudgedRun, target: str) -> None:
    known = next(case for case in run.cases if case.judgement.kind is Kind.KNOWN)
    hostile = replace(known, judgement=replace(known.judgement, link=target))
    assert target not in _Page(render_run(replace(run, cases=(hostile,)))).links


def test_a_partial_run_says_so(run: JudgedRun) -> None:
    partial = replace(run, run=replace(run.run, status="partial", note="time was up"), cases=())
    assert "Partial" in _Page(render_run(partial)).text
    assert "PARTIAL: time was up" in render_summary(partial)


def test_index() -> None:
    runs = [
        RunSummary(f"n{n}", "hfs", "complete", n * 86400.0, 60.0, {"passing": 10, "new failure": n})
        for n in range(5, 0, -1)
    ]
    page = _Page(render_index(runs, there=frozenset({"n5", "n4"})))
    assert page.links == ["runs/n5/index.html", "runs/n5/index.html", "runs/n4/index.html"]
    assert "5 new failures" in page.text
    assert not page.fetched
    assert "None yet" in _Page(render_index([], there=frozenset())).text


def test_thousands_of_cases_make_a_page_that_opens(tmp_path: Path) -> None:
    with History(tmp_path / "history.sqlite") as history:
        add_run(history, "n1", "P" * 5000, started=100.0)
        kernel = KernelRecord(**{**KERNEL.__dict__, "state": "beef"})
        row = add_run(history, "n2", ["F" * 5000] * 3, started=200.0, kernel=kernel)
        judged = gather(history, row, judge_run(history, row))
    text = render_run(judged)
    assert len(text) < 300_000
    assert "and 4800 more" in text


def test_publish_writes_every_form(run: JudgedRun, tmp_path: Path) -> None:
    directory = Path(run.run.directory)
    unit = directory / "units" / "unit-0"
    unit.mkdir(parents=True)
    (unit / "junit.xml").write_text("<testsuites/>")
    with History(tmp_path / "history.sqlite") as history:
        page = publish(history, run, tmp_path)
        publish(history, run, tmp_path)
    assert page == directory / "index.html"
    names = {path.name for path in directory.iterdir()}
    assert {"index.html", "summary.txt", "report.ktap", "kcidb.json", "results.jsonl"} <= names
    assert (directory / "junit" / "unit-0.xml").is_file()
    index = _Page((tmp_path / "index.html").read_text())
    assert "runs/n2/index.html" in index.links
    # Links of the page lead somewhere.
    links = _Page(page.read_text()).links
    for name in ("results.jsonl", "report.ktap", "kcidb.json", "junit/", "summary.txt", "units/"):
        assert name in links
        assert (directory / name).exists()
    assert (directory / "../../index.html").is_file()


def test_formats(run: JudgedRun) -> None:
    assert all(render(run, form) for form in FORMATS)
