"""Other projects' suites: what their runners say is read, and what their tests leave is found."""

from __future__ import annotations

import datetime
import io
import json
import tarfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from errpath.beside.blktests import blktests_answer
from errpath.beside.live_ktap import LiveKtap
from errpath.beside.ltp import ltp_answer, read_runtest
from errpath.beside.root import load_root, pack_tree
from errpath.beside.suite_faults import parse_fail
from errpath.beside.suite_guests import SuiteGuests
from errpath.beside.suite_known import explained
from errpath.beside.suite_report import page
from errpath.beside.suite_run import SuiteRun
from errpath.beside.suites import Selection, SuiteStatus, ktap_answer, select
from errpath.beside.xfstests import check_answer, listed_tests
from errpath.cli.main import main
from errpath.cli.suite import earlier_verdicts
from errpath.errors import InfrastructureError, UsageError
from errpath.oracles.failure import LEAK, TEST, Failure
from errpath.oracles.modules import PLANT
from errpath.results.records import CaseRecord, CaseStatus, KernelRecord, ShardRecord
from errpath.results.reports.jsonl import ResultWriter
from errpath.runner.known_issue_files import load_known_issues
from errpath.runner.options import GuestOptions, RunOptions, choices
from errpath.util.progress import silent
from suites.selftest.paths import ROOT

_SMALL = Path(__file__).parent / "small_fstests"

# -- what runners say ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "end", "said", "why"),
    [
        ("generic/001  3s ...  4s", "Passed all 1 tests", SuiteStatus.PASS, ""),
        ("generic/001        4s", "Passed all 1 tests", SuiteStatus.PASS, ""),
        (
            "generic/001        [not run] xattrs not supported by hfs",
            "Not run: generic/001\nPassed all 0 tests",
            SuiteStatus.SKIP,
            "xattrs not supported by hfs",
        ),
        (
            "generic/001  3s ... - output mismatch (see /tmp/results/generic/001.out.bad)",
            "Failures: generic/001\nFailed 1 of 1 tests",
            SuiteStatus.FAIL,
            "output mismatch",
        ),
        (
            "generic/001       [failed, exit status 1]- output mismatch (see /tmp/x)",
            "Failures: generic/001",
            SuiteStatus.FAIL,
            "[failed, exit status 1]- output mismatch",
        ),
    ],
)
def test_what_check_says(line: str, end: str, said: SuiteStatus, why: str) -> None:
    answer = check_answer("generic/001", f"FSTYP -- hfs\n\n{line}\nRan: generic/001\n{end}\n")
    assert (answer.status, answer.why) == (said, why)


@pytest.mark.parametrize(
    "output",
    ["", "FSTYP -- hfs\nour local _test_mkfs routine ...\n", "generic/001   \nkilled\n"],
)
def test_a_check_that_says_nothing_is_an_error(output: str) -> None:
    with pytest.raises(InfrastructureError):
        check_answer("generic/001", output)


def test_tests_of_a_list_are_told_apart() -> None:
    output = "FSTYP -- hfs\n\ngeneric/001\ngeneric/002\ngeneric/003 \n"
    assert listed_tests(output) == ("generic/001", "generic/002", "generic/003")


def test_a_check_that_goes_on_has_said_enough() -> None:
    output = """FSTYP         -- hfsplus

generic/001       [not run] no such feature
generic/002  3s ... - output mismatch (see /tmp/results/generic/002.out.bad)
    --- tests/generic/002.out
    +++ /tmp/results/generic/002.out.bad
    @@ -1,2 +1,3 @@
     QA output created by 002
    +cp: cannot create regular file 'a': No space left on device
    ...
generic/003        2s
generic/004  1s ... """
    said = [check_answer(f"generic/00{n}", output, ended=False) for n in (1, 2, 3)]
    assert [one.status for one in said] == [SuiteStatus.SKIP, SuiteStatus.FAIL, SuiteStatus.PASS]
    why = "output mismatch: cp: cannot create regular file 'a': No space left on device"
    assert said[1].why == why
    assert said[1].output.splitlines()[-1] == "    ..."
    # The last one was cut short.
    with pytest.raises(InfrastructureError, match="ended without a result"):
        check_answer("generic/004", output)


def test_what_ktap_says() -> None:
    assert ktap_answer("TAP version 13\n1..1\nok 1 selftests: a: b\n").status is SuiteStatus.PASS
    nested = "KTAP version 1\n1..1\n    not ok 1 inner\n    ok 2 fine\nnot ok 1 outer\n"
    assert ktap_answer(nested).why == "not ok: inner, outer"
    skipped = ktap_answer("ok 1 selftests: a: b # SKIP needs root\n")
    assert (skipped.status, skipped.why) == (SuiteStatus.SKIP, "needs root")
    # As kselftest's runner ends a test that fails.
    failed = ktap_answer("# not ok 1 inner\nnot ok 1 selftests: a: b # exit=1\n")
    assert (failed.status, failed.why) == (SuiteStatus.FAIL, "not ok: selftests: a: b")
    assert ktap_answer("not ok 1 a # XFAIL known\n").status is SuiteStatus.PASS
    with pytest.raises(InfrastructureError):
        ktap_answer("# nothing\n")


def test_kernel_tests_are_selected_by_pattern() -> None:
    names = ["filesystems:devpts_pts", "filesystems/fat:rename", "mm:x"]
    assert select("k", names, Selection()) == tuple(names)
    assert select("k", names, Selection(tests=("filesystems",))) == (names[0],)
    assert select("k", names, Selection(tests=("file*",), excluded=(names[0],))) == (names[1],)
    with pytest.raises(UsageError, match="no test none"):
        select("k", names, Selection(tests=("none",)))


def test_ltp_says_by_its_status() -> None:
    lines = "mount01.c:73: TPASS: fine\nmount01.c:80: TFAIL: mount(2) failed: EIO (5)\n"
    answer = ltp_answer(1, lines)
    assert (answer.status, answer.why) == (SuiteStatus.FAIL, "TFAIL mount(2) failed: EIO (5)")
    assert ltp_answer(0, lines).status is SuiteStatus.PASS
    skipped = ltp_answer(32, "tst_device.c:1: TCONF: no driver\n")
    assert (skipped.status, skipped.why) == (SuiteStatus.SKIP, "no driver")
    assert ltp_answer(2, "tst_test.c:5: TBROK: Test killed!").why == "TBROK Test killed!"
    assert ltp_answer(139, "").why == "exit status 139"
    with pytest.raises(InfrastructureError, match="not built: sh: gf01: not found"):
        ltp_answer(127, "sh: gf01: not found\n")


def test_the_files_of_ltp_are_read() -> None:
    lines = ["== fs", "# a comment", "gf01 growfiles -W gf01", "", "a\tb c", "== dio", "gf01 x"]
    assert list(read_runtest(lines)) == [
        ("fs:gf01", "growfiles -W gf01"),
        ("fs:a", "b c"),
        ("dio:gf01", "x"),
    ]
    names = [name for name, _ in read_runtest(lines)]
    assert select("ltp", names, Selection(groups=("fs",), excluded=("gf01",))) == ("fs:a",)


@pytest.mark.parametrize(
    ("status", "rest", "said", "why"),
    [
        ("passed", "    runtime  0.1s  ...  0.2s\n", SuiteStatus.PASS, ""),
        (
            "failed",
            "    runtime    ...  0.2s\n    --- tests/loop/001.out\n",
            SuiteStatus.FAIL,
            "--- tests/loop/001.out",
        ),
        (
            "not run",
            "    driver loop is not available\n",
            SuiteStatus.SKIP,
            "driver loop is not available",
        ),
    ],
)
def test_what_blktests_says(status: str, rest: str, said: SuiteStatus, why: str) -> None:
    began = "loop/001 (scan loop device partitions)                      \n"
    ended = f"loop/001 (scan loop device partitions)                       [{status}]\n"
    answer = blktests_answer("loop/001", began + ended + rest)
    assert (answer.status, answer.why) == (said, why)
    with pytest.raises(InfrastructureError, match="ended without a result"):
        blktests_answer("loop/001", began)


def test_one_device_that_fails_is_a_failure() -> None:
    output = "block/005 => vda (switch)   [failed]\n    exited with status 1\n"
    output += "block/005 => vdb (switch)   [passed]\n"
    answer = blktests_answer("block/005", output)
    assert (answer.status, answer.why) == (SuiteStatus.FAIL, "exited with status 1")


def test_what_has_a_verdict_is_not_run_again(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    kernel = KernelRecord("k", "debian:7.2", state="a", description="debian:7.2")
    assert earlier_verdicts(path, kernel) == {}
    writer = ResultWriter(path)
    writer.run(version="1", shard=ShardRecord(), started=1.0)
    writer.kernel(kernel)
    writer.case("k", CaseRecord("x:a", CaseStatus.PASS))
    writer.case("k", CaseRecord("x:b", CaseStatus.ERROR, ("canary",)))
    writer.case("k", CaseRecord("x:c", CaseStatus.FAIL, ("memory leak in f",)))
    writer.case("k", CaseRecord("x:d", CaseStatus.SKIP, ("no xattr",)))
    # Cut short.
    writer.close()
    assert list(earlier_verdicts(path, kernel)) == ["x:a", "x:c", "x:d"]
    with pytest.raises(UsageError, match=r"it is of debian:7\.2, not of debian:7\.3"):
        earlier_verdicts(path, replace(kernel, state="b", description="debian:7.3"))


def test_results_become_valid_kcidb(tmp_path: Path) -> None:
    schema = pytest.importorskip("kcidb_io", reason="kcidb-io is not installed").schema
    results = tmp_path / "results"
    writer = ResultWriter(results / "kunit.jsonl")
    writer.run(version="1", shard=ShardRecord(), started=1.0)
    leak = Failure(LEAK, "memory leak in f")
    records = (
        CaseRecord("kunit:a", CaseStatus.PASS, seconds=1.0),
        CaseRecord("kunit:b", CaseStatus.FAIL, (leak.line,), failures=(leak,)),
        CaseRecord("kunit:c", CaseStatus.SKIP, ("no such feature",)),
        CaseRecord("kunit:d", CaseStatus.ERROR, ("canary",)),
    )
    names = [record.case for record in records]
    writer.plan(names, names)
    writer.kernel(KernelRecord("k", "debian:7.2", state="a", release="7.2.13"))
    for record in records:
        writer.case("k", replace(record, nodeid=record.case))
    writer.end(status=1, reason="", ended=2.0)
    writer.close()
    assert main(["merge", "--into", str(tmp_path / "into"), "--suite", "kunit", str(results)]) == 1
    (path,) = (tmp_path / "into").rglob("kcidb.json")
    data = json.loads(path.read_text())
    assert schema.V5_0.is_valid_exactly(data)
    found = {test["comment"]: test["status"] for test in data["tests"]}
    wanted = {"kunit:a": "PASS", "kunit:b": "FAIL", "kunit:c": "SKIP", "kunit:d": "MISS"}
    assert found == wanted


@pytest.mark.parametrize("text", ["alloc", "alloc:every=0", "io:every=2", "alloc:every=x"])
def test_what_cannot_fail_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="expected alloc:every=N"):
        parse_fail(text)


def test_ktap_is_written_as_tests_end() -> None:
    out = io.StringIO()
    ktap = LiveKtap(out, "a run")
    ktap.plan(3)
    assert out.getvalue().splitlines() == ["KTAP version 1", "# a run", "1..3"]
    ktap.result(CaseRecord("x:a", CaseStatus.PASS))
    ktap.result(CaseRecord("x:b", CaseStatus.SKIP, ("no # such feature",)))
    ktap.result(CaseRecord("x:c", CaseStatus.FAIL, ("memory leak in f",)))
    ktap.result(CaseRecord("x:d", CaseStatus.ERROR, ("canary",)))
    assert out.getvalue().splitlines()[3:] == [
        "ok 1 x:a",
        "ok 2 x:b # SKIP no   such feature",
        "# x:c: memory leak in f",
        "not ok 3 x:c",
        "# x:d: canary",
        "not ok 4 x:d # ERROR canary",
    ]


def test_a_known_leak_is_expected_and_what_is_beside_it_is_not() -> None:
    """The entry of errpath's own file for ext4's KUnit tests."""
    known = load_known_issues(ROOT / "suites" / "known-issues.yaml")
    cache = Failure(LEAK, "memory leak in f", functions=("__kmem_cache_create_args", "f"))
    path = Failure(LEAK, "memory leak in g", functions=("g", "kunit_try_run_case"))
    record = CaseRecord("kunit:ext4", CaseStatus.FAIL, ("bad",), failures=(cache, path))
    day = datetime.date(2026, 12, 1)
    found = explained(record, known, guest="debian", today=day)
    assert found.status is CaseStatus.XFAIL
    assert found.issue is not None
    assert found.issue.id == "ext4-extents-test"
    out = io.StringIO()
    LiveKtap(out, "a run").result(found)
    assert out.getvalue().splitlines()[-1].startswith("ok 1 kunit:ext4 # XFAIL the KUnit tests of")
    beside = replace(record, failures=(cache, Failure(TEST, "not ok: ext4_inode_test")))
    assert explained(beside, known, guest="debian", today=day) == beside
    other = replace(record, case="kunit:fat")
    assert explained(other, known, guest="debian", today=day) == other
    late = datetime.date(2028, 1, 1)
    assert explained(record, known, guest="debian", today=late) == record


def test_a_page_says_who_saw_what() -> None:
    records = [
        CaseRecord("x:g/1", CaseStatus.PASS, seconds=2.0),
        CaseRecord("x:g/2", CaseStatus.FAIL, ("bad",), failures=(Failure(TEST, "bad"),)),
        CaseRecord("x:g/3", CaseStatus.FAIL, ("leak",), failures=(Failure(LEAK, "leak"),)),
        *(CaseRecord(f"x:g/{n}", CaseStatus.SKIP, ("no xattr",)) for n in (4, 5)),
    ]
    lines = page("x", "a kernel", "errpath suite x", records).splitlines()
    assert "on a kernel: 5 tests, 1 pass, 2 fail, 2 skip; 2 s" in lines[2]
    assert "| g/2 | fail | its runner | bad |" in lines
    assert "| g/3 | fail | an oracle | leak |" in lines
    assert "| no xattr | 2 | g/4, g/5 |" in lines
    assert "Passed: g/1." in lines


def _results(path: Path, suite: str, *cases: tuple[str, CaseStatus, str]) -> Path:
    writer = ResultWriter(path)
    writer.run(version="1", shard=ShardRecord(), started=1.0)
    names = [f"{suite}:g/{number}" for number in range(1, 5)]
    writer.plan(names, names)
    writer.kernel(KernelRecord("k", "debian:7.2", description="a kernel"))
    for name, status, why in cases:
        failures = (Failure(TEST, why),) if status is CaseStatus.FAIL else ()
        record = CaseRecord(f"{suite}:{name}", status, (why,), seconds=2.0, failures=failures)
        writer.case("k", record)
    writer.close()
    return path


def test_a_page_is_made_of_records(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = _results(
        tmp_path / "1.jsonl",
        "x-hfs",
        ("g/2", CaseStatus.FAIL, "output mismatch"),
        ("g/1", CaseStatus.PASS, ""),
    )
    second = _results(tmp_path / "2.jsonl", "x-hfs", ("g/3", CaseStatus.SKIP, "no xattr"))
    third = _results(tmp_path / "3.jsonl", "x-ext4", ("g/2", CaseStatus.PASS, ""))
    notes = tmp_path / "notes.yaml"
    notes.write_text("notes:\n  g/2: names are *not* folded\ntext: |\n  ## More\n")
    page_path = tmp_path / "page.md"
    files = [word for path in (first, second, third) for word in ("--from", str(path))]
    words = ["suite", "xfstests", *files, "--notes", str(notes), "--page", str(page_path)]
    assert main(words) == 0
    lines = page_path.read_text().splitlines()
    command = "errpath suite xfstests --from 1.jsonl --from 2.jsonl --from 3.jsonl"
    assert lines[2] == f"Generated by `{command}`."
    assert "| [x-hfs](#x-hfs) | a kernel | 4 | 3 | 1 | 1 | 1 | 0 | 6 |" in lines
    assert "| [x-ext4](#x-ext4) | a kernel | 4 | 1 | 1 | 0 | 0 | 0 | 2 |" in lines
    assert "| g/2 | fail | its runner | output mismatch | names are *not* folded |" in lines
    assert "Without a result: 1, g/4." in lines
    assert lines.index("## More") < lines.index("## x-hfs")
    twice = [*words, "--from", str(first)]
    for wrong in (words[:-2], twice, [*words[:2], "--notes", str(notes)]):
        assert main(wrong) == 2
        assert capsys.readouterr().err.count("\n") == 1


# -- trees and roots -----------------------------------------------------------------------------


def test_a_tree_is_packed_the_same_each_time(tmp_path: Path) -> None:
    for name in ("one", "two"):
        pack_tree(_SMALL, tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    with tarfile.open(tmp_path / "one") as archive:
        assert "tests/generic/001.out" in archive.getnames()


def test_what_cannot_be_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words in (
        ["xfstests", "generic/001", "--fs", "hfsplus"],
        ["xfstests", "-g", "quick", "--fs", "hfsplus", "--tree", str(tmp_path / "none")],
        ["kunit", "--tree", str(tmp_path)],
        ["xfstests", "--tree", str(tmp_path), "-E", str(tmp_path / "none")],
        ["kunit", "--shard", "3/2"],
        ["kunit", "--known", str(tmp_path / "none")],
    ):
        assert main(["suite", *words]) == 2
        err = capsys.readouterr().err
        assert err.startswith("errpath: ")
        assert err.count("\n") == 1


@pytest.mark.parametrize("name", ["xfstests", "kselftest"])
def test_roots_are_defined(name: str) -> None:
    root = load_root(name)
    assert root.name == name
    assert root.packages
    assert root.build


# -- in guests -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SuiteRun]:
    """The small suite in guests without a Debian root."""
    choice = choices(RunOptions(guest=GuestOptions(guest="microvm")))[0]
    choice = replace(choice, testbed=replace(choice.testbed, plants=(PLANT.name,)))
    guests = SuiteGuests(
        "xfstests",
        choice,
        ["ext2"],
        tree=_SMALL,
        disk_mib=8,
        artefacts=tmp_path_factory.mktemp("suite"),
        progress=silent(),
    )
    run = SuiteRun(guests.suite(), guests.guest, guests.enter, seconds=8.0)
    yield run
    run.close()
    guests.close()


@pytest.mark.qemu
@pytest.mark.kernel_build
def test_groups_and_exclusions_are_the_suites_own(small: SuiteRun) -> None:
    selection = Selection(groups=("quick",), not_groups=("dangerous",), excluded=("generic/003",))
    assert small.tests(selection) == ("generic/001", "generic/002", "generic/004")
    assert small.tests(Selection(tests=("generic/006",))) == ("generic/006",)
    with pytest.raises(UsageError, match="no test is selected"):
        small.tests(Selection(tests=("generic/999",)))


@pytest.mark.qemu
@pytest.mark.kernel_build
def test_a_leak_in_a_test_that_passes_is_found_by_name(small: SuiteRun) -> None:
    names = ("001", "002", "003", "004", "006", "007")
    results = {name: small.run(f"generic/{name}") for name in names}
    assert {name: str(result.status) for name, result in results.items()} == {
        "001": "pass",
        "002": "fail",
        "003": "fail",
        "004": "skip",
        "006": "fail",
        "007": "fail",
    }
    held = {failure.resource for failure in results["007"].failures}
    assert held >= {"superblocks: ext2", "module references: ext2"}
    leak = results["002"]
    # Its own runner sees nothing wrong.
    assert leak.answer is not None
    assert leak.answer.status is SuiteStatus.PASS
    assert [failure.kind for failure in leak.failures] == [LEAK]
    assert leak.failures[0].title == "memory leak in errpath_plant_lose"
    assert (leak.confirmed, leak.repeats) == (1, 1)
    assert [failure.kind for failure in results["003"].failures] == [TEST]
    assert results["003"].files["003.out.bad"].endswith(b"\nunexpected\n")
    assert b"output mismatch" in results["003"].files["runner.log"]
    assert results["001"].files == {}
    record = results["004"].record(small.suite, "ext2")
    assert (record.case, record.reasons) == ("xfstests-ext2:generic/004", ("no such feature",))


@pytest.mark.qemu
@pytest.mark.kernel_build
def test_of_a_group_the_one_that_leaks_is_named(small: SuiteRun) -> None:
    names = [f"generic/00{number}" for number in (1, 2, 3, 4, 6)]
    results = small.run_group(names)
    assert [result.test for result in results] == names
    assert [str(result.status) for result in results] == ["pass", "fail", "fail", "skip", "fail"]
    assert results[1].failures[0].title == "memory leak in errpath_plant_lose"
    assert (results[1].confirmed, results[1].repeats) == (1, 1)
    # Nothing is lost: one look is enough, and a failed test leaves the guest as it is.
    small.close()
    clean = small.run_group(["generic/001", "generic/003", "generic/001"], ["generic/004"])
    guest = small._prepared
    assert [str(result.status) for result in clean] == ["pass", "fail", "pass"]
    assert [one.status for one in small.run_group(["generic/004"])] == [CaseStatus.SKIP]
    assert guest is not None
    assert small._prepared is guest


@pytest.mark.qemu
@pytest.mark.kernel_build
def test_allocations_fail_beside_a_test(small: SuiteRun) -> None:
    failing = SuiteRun(
        small.suite, small._guest, small._enter, seconds=8.0, fail=parse_fail("alloc:every=1")
    )
    try:
        # Its mount fails for want of memory, and nothing is lost.
        mount = failing.run("generic/001")
        assert mount.status is CaseStatus.PASS
        assert mount.answer is not None
        assert mount.answer.status is SuiteStatus.FAIL
        # No allocation of the filesystem's in it.
        idle = failing.run("generic/003")
        assert idle.status is CaseStatus.ERROR
        assert idle.failures[0].title.startswith("never reached")
    finally:
        failing.close()


@pytest.mark.qemu
@pytest.mark.kernel_build
def test_a_test_that_never_ends_is_ended(small: SuiteRun) -> None:
    result = small.run("generic/005")
    assert result.status is CaseStatus.FAIL
    assert result.failures[0].title == "timed out after 8 s"
    # And the next has a guest of its own.
    assert small.run("generic/001").status is CaseStatus.PASS
