"""The pytest plugin over simulated guests: groups, ids, outcomes, selection, bad input."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import pytest

from errpath.results.testbeds import TestbedFactory
from errpath.runner.testbed import TestbedOptions
from errpath.util.progress import Progress
from suites.selftest.paths import ROOT
from suites.selftest.runner import simsession
from suites.selftest.runner.simsession import SimTestbed

pytest_plugins = ["pytester"]

_ROOT = ROOT
_TESTS = """
import pytest
from dataclasses import replace
from suites.selftest.runner.simguest import make_case

def cases(**does):
    made = [make_case(name, words) for name, words in does.items()]
    return pytest.mark.parametrize("case", made, ids=[case.id for case in made])
"""


@pytest.fixture
def suite(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """An empty suite with the plugin and the simulated session."""
    pytester.makeconftest(simsession.CONFTEST)
    monkeypatch.setenv("PYTHONPATH", str(_ROOT))
    monkeypatch.setenv("ERRPATH_CACHE", str(pytester.path / "cache"))
    return pytester


def _tests(suite: pytest.Pytester, **does: str) -> None:
    words = ", ".join(f"{name}={text!r}" for name, text in does.items())
    suite.makepyfile(
        f"{_TESTS}\n@cases({words})\ndef test_mount(case, expect_pass):\n    expect_pass()\n"
    )


def test_outcomes(suite: pytest.Pytester) -> None:
    """A failure of the kernel FAILS the test; an infrastructure error is an ERROR of its set-up."""
    _tests(
        suite, good="", leaks="leak=512", wrong="errno=EINVAL", crashes="panic", vanishes="vanish",
        refused="refuse", unfired="unfired",
    )  # fmt: skip
    result = suite.runpytest("-rA")
    result.assert_outcomes(passed=1, failed=3, errors=3)
    result.stdout.fnmatch_lines_random(
        [
            "PASSED *test_mount[[]good[]]*",
            "FAILED *test_mount[[]leaks[]]*",
            "FAILED *test_mount[[]wrong[]]*",
            "FAILED *test_mount[[]crashes[]]*",
            "ERROR *test_mount[[]vanishes[]]*",
            "ERROR *test_mount[[]refused[]]*",
            "ERROR *test_mount[[]unfired[]]*",
        ]
    )


def test_a_doubtful_leak_is_an_error(suite: pytest.Pytester) -> None:
    _tests(suite, good="", doubtful="leak=64,once")
    result = suite.runpytest()
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["  a suspected leak was confirmed in 0 of 2 repeats"])


def test_a_failure_tells_the_whole_story(suite: pytest.Pytester) -> None:
    _tests(suite, leaks="leak=512")
    result = suite.runpytest("--append", "panic=-1 x", "--kernel", "mine")
    result.stdout.fnmatch_lines(
        [
            "leaks: FAIL",
            "  memory leak in hfs_init_fs_context (1 unreferenced object, 512 bytes, *",
            "  forced     f = -EIO (fired 1 times)",
            "*hfs_init_fs_context+0x1f [[]hfs[]]  fs/hfs/super.c:414",
            "  allocated  hfs_init_fs_context (fs/hfs/super.c:414), 512 bytes",
            "  moved      by sget_fc*",
            "  rerun      errpath run leaks --suite test_*.py --kernel mine --append 'panic=-1 x'",
            "  artefacts  *",
        ]
    )
    # No traceback through the harness.
    result.stdout.no_fnmatch_line("*errpath/*.py*")
    (folder,) = (suite.path / "errpath-results").glob("*/mine/leaks")
    assert sorted(path.name for path in folder.iterdir()) == [
        *("console.log", "kmemleak.decoded", "kmemleak.raw", "outcome.json", "plan.json"),
        *("qemu.argv", "qemu.log", "report.txt"),
    ]


def test_one_guest_serves_a_batch_and_all_is_closed(suite: pytest.Pytester) -> None:
    _tests(suite, a="", b="", c="")
    suite.runpytest().assert_outcomes(passed=3)
    assert len(list((suite.path / "errpath-results").glob("*/guests/*/*"))) == 1


def test_many_cases_are_spread_over_the_processors(
    suite: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda process: {0, 1})
    does = {f"c{number}": "leak=64" if number == 99 else "" for number in range(100)}
    _tests(suite, **does)
    suite.runpytest().assert_outcomes(passed=99, failed=1)
    # Two batches of a few cases and the others, and the confirmation of a leak in one of them.
    assert len(list((suite.path / "errpath-results").glob("*/guests/*/*"))) == 5


def test_a_run_that_is_cut_short_leaves_no_guest(
    suite: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda process: {0, 1})
    # The first to be asked for fails while the groups behind it still wait or run.
    _tests(suite, **{f"c{number}": "warn" for number in range(200)})
    testbeds: list[SimTestbed] = []

    class Watched:
        @pytest.hookimpl(tryfirst=True)
        def pytest_errpath_testbed_factory(self) -> TestbedFactory:
            def make(options: TestbedOptions, artefacts: Path, progress: Progress) -> SimTestbed:
                testbeds.append(SimTestbed(options, artefacts, progress))
                return testbeds[-1]

            return make

    suite.runpytest_inprocess("-x", plugins=[Watched()]).assert_outcomes(failed=1)
    assert [testbed.world.open for testbed in testbeds] == [0]
    assert testbeds[0].world.boots > 0


def test_two_kernels_run_every_case_each(suite: pytest.Pytester) -> None:
    _tests(suite, a="", b="leak=64")
    result = suite.runpytest("--kernel", "before=x", "--kernel", "after=y", "-rA")
    result.assert_outcomes(passed=2, failed=2)
    result.stdout.fnmatch_lines_random(
        [
            "PASSED *test_mount[[]before-a[]]*",
            "PASSED *test_mount[[]after-a[]]*",
            "FAILED *test_mount[[]before-b[]]*",
        ]
    )
    result.stdout.fnmatch_lines(["*errpath run b --suite * --kernel after=y*"])


@pytest.mark.parametrize(
    ("words", "selected"),
    [
        (["-m", "hfs"], 2),
        (["-m", "hfsplus"], 1),
        (["-m", "setup_bdev_super"], 3),
        (["-m", "ENOMEM"], 1),
        (["-m", "hfs and EIO"], 1),
        (["-m", "qemu"], 3),
        (["-m", "not qemu"], 0),
        (["--case", "second"], 1),
        (["--case", "first", "--case", "third"], 2),
        (["-k", "third"], 1),
    ],
)
def test_selection(suite: pytest.Pytester, words: list[str], selected: int) -> None:
    suite.makepyfile(
        _TESTS
        + """
made = [make_case("first"), make_case("second", expect="ENOMEM"),
        replace(make_case("third"), filesystem="hfsplus")]

@pytest.mark.parametrize("case", made, ids=[case.id for case in made])
def test_mount(case, expect_pass):
    expect_pass()
"""
    )
    result = suite.runpytest("--strict-markers", *words)
    result.assert_outcomes(passed=selected, deselected=3 - selected)


def test_tests_without_a_case_run_beside_them(suite: pytest.Pytester) -> None:
    _tests(suite, a="")
    suite.makepyfile(test_other="def test_plain():\n    pass\n")
    suite.runpytest().assert_outcomes(passed=2)


def test_a_case_twice_is_refused(suite: pytest.Pytester) -> None:
    suite.makepyfile(
        f"{_TESTS}\n@cases(a='')\ndef test_one(case, expect_pass):\n    expect_pass()\n"
        "@cases(a='')\ndef test_two(case, expect_pass):\n    expect_pass()\n"
    )
    result = suite.runpytest()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: case a: twice; expected every id once"])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--case", "none"], "--case none: no such case; expected a case's id"),
        (["--guest", "none"], "guest none: no file *; expected one of: *"),
        (["--patch", "none.patch"], "--patch none.patch: no such file; expected a mail or a diff"),
        (["--append", "a 'b"], "--append a 'b: No closing quotation; expected *"),
        (["--repeats", "0"], "--repeats: got 0; expected at least 1"),
        (["--kernel", "a=x", "--kernel", "a=y"], "--kernel a=y: name 'a' is taken; expected *"),
        (["--patch", "-", "--patch", "-"], "--patch -: expected it once*"),
        (["--accel", "xen"], "*--accel: invalid choice: 'xen'*"),
    ],
)
def test_bad_input_is_one_line(suite: pytest.Pytester, words: list[str], message: str) -> None:
    _tests(suite, a="")
    result = suite.runpytest(*words)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    # pytest's own parser says the usage first.
    result.stderr.fnmatch_lines([message if message.startswith("*") else f"ERROR: {message}"])
    result.stdout.no_fnmatch_line("*Traceback*")
    result.stderr.no_fnmatch_line("*Traceback*")


def test_a_kernel_that_cannot_be_had_is_said_once(suite: pytest.Pytester) -> None:
    _tests(suite, a="", b="", c="")
    result = suite.runpytest("--kernel", "broken")
    assert result.ret == 2
    assert str(result.stdout).count("broken: no such kernel") == 1


@pytest.mark.parametrize(
    ("kernel", "outcomes", "line"),
    [
        ("absent:ufs", {"passed": 2, "skipped": 2}, "SKIPPED*not in sim: CONFIG_X is absent"),
        ("broken:ufs", {"passed": 2, "errors": 2}, "ERROR*test_mount[[]b[]]*"),
        # The kernel has nothing that any case could try: no PASS, and no ERROR.
        ("absent:hfs", {"passed": 2, "skipped": 2}, "SKIPPED*not in sim: CONFIG_X is absent"),
    ],
)
def test_a_filesystem_that_cannot_be_had_costs_its_own_cases(
    suite: pytest.Pytester, kernel: str, outcomes: dict[str, int], line: str
) -> None:
    suite.makepyfile(
        f"""{_TESTS}
CASES = [
    replace(make_case(name, ""), filesystem=filesystem)
    for name, filesystem in (("b", "ufs"), ("a", "hfs"), ("d", "ufs"), ("c", "hfs"))
]

@pytest.mark.parametrize("case", CASES, ids=[c.id for c in CASES])
def test_mount(case, expect_pass):
    expect_pass()
"""
    )
    result = suite.runpytest("-rA", "--kernel", kernel)
    result.assert_outcomes(**outcomes)
    result.stdout.fnmatch_lines([line])


def test_what_is_left_out_is_recorded_as_a_skip_with_the_reason(suite: pytest.Pytester) -> None:
    _tests(suite, a="", b="")
    results = suite.path / "results.jsonl"
    result = suite.runpytest("--kernel", "absent:hfs", "--results", str(results))
    result.assert_outcomes(skipped=2)
    lines = [line for line in results.read_text().splitlines() if "CONFIG_X is absent" in line]
    assert len(lines) == 2
    assert all('"skip"' in line for line in lines)


def test_a_patch_from_standard_input(suite: pytest.Pytester) -> None:
    """Read although pytest captures standard input; the rerun names the file that was kept."""
    suite.makeconftest(simsession.CONFTEST)
    _tests(suite, leaks="leak=64")
    text = b"--- a/x\n+++ b/x\n"
    result = suite.run(sys.executable, "-m", "pytest", "--patch", "-", stdin=text)
    (kept,) = (suite.path / "cache" / "patches").iterdir()
    assert kept.read_bytes() == text
    result.stdout.fnmatch_lines(
        [f"  rerun      errpath run leaks --suite test_*.py --patch {kept}"]
    )


def test_workers_get_whole_groups_and_plain_ids(suite: pytest.Pytester) -> None:
    suite.makeconftest(simsession.CONFTEST)
    _tests(suite, a="", b="leak=512", c="", d="", e="refuse", f="worker=64,once")
    words = ["--patch", "-", "-n", "2", "-rA", "-v"]
    result = suite.run(sys.executable, "-m", "pytest", *words, stdin=b"--- a/x\n+++ b/x\n")
    result.assert_outcomes(passed=4, failed=1, errors=1, warnings=0)
    result.stdout.fnmatch_lines_random(
        [
            "PASSED *::test_mount[[]a[]]",
            "FAILED *::test_mount[[]b[]]*",
            "ERROR *::test_mount[[]e[]]*",
            "*Unattributed leaks and failures that did not reproduce*",
            '  comm "kworker/0:1", pid 7,*',
        ]
    )
    # The groups are xdist's business alone.
    result.stdout.no_fnmatch_line("*]@*")
    # A worker has no standard input: the patch reached it as a file.
    (kept,) = (suite.path / "cache" / "patches").iterdir()
    result.stdout.fnmatch_lines([f"  rerun      errpath run b --suite test_*.py --patch {kept}"])
    # Each worker ran its half in a guest of its own.
    results = suite.path / "errpath-results"
    workers = {path.parent.name.rpartition("-")[2] for path in results.glob("*/guests")}
    assert workers == {"gw0", "gw1"}


def test_workers_report_an_unknown_case(suite: pytest.Pytester) -> None:
    suite.makeconftest(simsession.CONFTEST)
    _tests(suite, a="")
    result = suite.run(sys.executable, "-m", "pytest", "-n", "1", "--case", "none")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stdout.fnmatch_lines(["ERROR: --case none: no such case; expected a case's id"])
    result.stdout.no_fnmatch_line("*INTERNALERROR*")


def test_a_broken_kernel_is_said_once_before_the_workers_start(suite: pytest.Pytester) -> None:
    suite.makeconftest(simsession.CONFTEST)
    _tests(suite, a="", b="", c="", d="")
    words = ["-n", "1", "--kernel", "broken", "-rA"]
    result = suite.run(sys.executable, "-m", "pytest", *words)
    text = str(result.stdout)
    assert text.count("broken: no such kernel") == 1
    assert text.count("asked for the kernel") == 1
    assert result.ret == 2


def test_tests_that_drive_guests_themselves_run_while_the_lanes_do(
    suite: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others would only wait meanwhile: they come later, and the lanes have begun."""
    monkeypatch.setattr("os.sched_getaffinity", lambda process: {0, 1})
    suite.makepyfile(
        f"""{_TESTS}
ORDER = []
CASES = [make_case(f"c{{n}}", "") for n in range(2)]

@pytest.mark.parametrize(
    "case", [replace(c, batch=c.id) for c in CASES], ids=[c.id for c in CASES]
)
def test_mount(case, expect_pass, pytestconfig):
    ORDER.append(case.id)
    expect_pass()

def test_own(request, kernel_name):
    ORDER.append("plain")

def test_drives(testbed, request):
    from errpath.plugin.cases import _run_key
    assert request.config.stash[_run_key].working
    ORDER.append("drives")

def test_order():
    assert ORDER == ["drives", "c0", "c1", "plain"]
"""
    )
    suite.runpytest("-p", "no:xdist").assert_outcomes(passed=5)


def test_a_kernel_that_does_not_boot_is_said_once(suite: pytest.Pytester) -> None:
    """Also where a test that drives guests itself is the first to ask for one."""
    suite.makepyfile(
        f"""{_TESTS}
from suites.selftest.runner.simguest import boot_error

@pytest.mark.parametrize("number", range(2))
def test_drives(testbed, number):
    raise boot_error()

@cases(a="", b="")
def test_mount(case, expect_pass):
    expect_pass()
"""
    )
    result = suite.runpytest("-p", "no:xdist")
    assert result.ret == 1
    assert str(result.stdout).count("did not reach the agent") == 1
    result.assert_outcomes()


def test_cases_that_fail_the_same_function_run_one_after_another(suite: pytest.Pytester) -> None:
    suite.makepyfile(
        f"""{_TESTS}
from errpath.plugin.cases import _batches_key

CASES = [
    make_case(f"c{{n}}", "", fault=point) for n, point in enumerate(["b", "c", "a", "b", "c", "a"])
]

@pytest.mark.parametrize("case", CASES, ids=[c.id for c in CASES])
def test_mount(case, expect_pass, pytestconfig):
    (group,) = set(pytestconfig.stash[_batches_key].values())
    assert [c.id for c in group.cases] == ["c2", "c5", "c0", "c3", "c1", "c4"]
    expect_pass()
"""
    )
    suite.runpytest().assert_outcomes(passed=6)


def test_points_and_errnos_of_a_suites_own_are_markers(suite: pytest.Pytester) -> None:
    """No list of ours: `point=` and `errno=` may be anything, and select with -m."""
    suite.makepyfile(
        f"""{_TESTS}
CASES = [
    replace(make_case("a", ""), point="__ext4_iget", errno="EPERM"),
    replace(make_case("b", ""), point="my-point", errno="EFSCORRUPTED"),
]

@pytest.mark.parametrize("case", CASES, ids=[c.id for c in CASES])
def test_mount(case, expect_pass):
    expect_pass()
"""
    )
    strict = ("--strict-markers", "-W", "error")
    suite.runpytest(*strict).assert_outcomes(passed=2)
    for selection in ("__ext4_iget and EPERM", "my-point and EFSCORRUPTED"):
        chosen = suite.runpytest(*strict, "--collect-only", "-m", selection)
        chosen.stdout.fnmatch_lines(["*1/2 tests collected (1 deselected)*"])


def test_markers_stay_strict(suite: pytest.Pytester) -> None:
    suite.makepyfile("import pytest\n\n@pytest.mark.no_such\ndef test_it():\n    pass\n")
    result = suite.runpytest("--strict-markers")
    result.stdout.fnmatch_lines(["*'no_such' not found in `markers` configuration option*"])


def test_a_case_that_fails_fails_its_test_whatever_the_test_does(suite: pytest.Pytester) -> None:
    """The check is no call that could be forgotten; an infrastructure error stays an ERROR."""
    suite.makepyfile(
        f"""{_TESTS}
@cases(good="", leaks="leak=512", vanishes="vanish")
def test_forgets(case):
    pass

@cases(late="leak=64")
def test_forgets_to_ask(case, verdict):
    assert verdict.status

@cases(other="leak=64")
def test_never_calls(case, expect_pass):
    pass

@pytest.mark.unjudged
@cases(shown="leak=64")
def test_shows(case, verdict):
    assert verdict.status.value == "fail"
"""
    )
    result = suite.runpytest("-rA")
    result.assert_outcomes(passed=2, failed=3, errors=1)
    result.stdout.fnmatch_lines_random(
        ["ERROR *test_forgets[[]vanishes[]]*", "FAILED *test_forgets[[]leaks[]]*"]
    )
    result.stdout.fnmatch_lines(["leaks: FAIL", "  memory leak in hfs_init_fs_context (1 *"])


def test_a_judged_test_runs_on_every_kernel(suite: pytest.Pytester) -> None:
    suite.makepyfile(f"{_TESTS}\n@cases(good='', bad='leak=64')\ndef test_it(case):\n    pass\n")
    kernels = ("--kernel", "before=a", "--kernel", "after=b")
    suite.runpytest(*kernels).assert_outcomes(passed=2, failed=2)


def test_a_filesystem_beside_a_suite_is_known_to_it(suite: pytest.Pytester) -> None:
    directory = suite.mkdir("filesystems")
    keys = "fstype: x, kconfig: [], modules: [], kbuild: ., fill_super: f, source: x.c"
    text = f"{{{keys}, reconfigure: ''}}"
    (directory / "beside.yaml").write_text(text)
    load = "from errpath.filesystems import load_filesystem\n"
    suite.makepyfile(f"{load}def test_it():\n    assert load_filesystem('beside').fstype == 'x'\n")
    suite.runpytest_subprocess().assert_outcomes(passed=1)
    (directory / "hfs.yaml").write_text(text)
    suite.makepyfile(f"{load}load_filesystem('hfs')\n")
    result = suite.runpytest_subprocess()
    line = "E   *DefinitionError: */hfs.yaml: filesystem hfs: also defined in */hfs.yaml"
    result.stdout.fnmatch_lines([line])


def test_directories_of_filesystems_may_be_named_in_the_configuration(
    suite: pytest.Pytester,
) -> None:
    directory = suite.mkdir("definitions")
    keys = "fstype: x, kconfig: [], modules: [], kbuild: ., fill_super: f, source: x.c"
    (directory / "elsewhere.yaml").write_text(f"{{{keys}, reconfigure: ''}}")
    load = "from errpath.filesystems import load_filesystem\n"
    suite.makepyfile(f"{load}def test_it():\n    assert load_filesystem('elsewhere').source\n")
    suite.runpytest_subprocess().assert_outcomes(failed=1)
    suite.makeini("[pytest]\nerrpath_filesystems = definitions\n")
    suite.runpytest_subprocess().assert_outcomes(passed=1)
    suite.makeini("[pytest]\nerrpath_filesystems = definitions none\n")
    result = suite.runpytest_subprocess()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: errpath_filesystems: */none: no such directory"])


def test_a_case_of_a_suite_of_ones_own_runs_again_by_its_id(suite: pytest.Pytester) -> None:
    """As the report's `rerun` line says; and what `--suite` does not name is not looked for."""
    _tests(suite, good="", leaks="leak=512")
    result = suite.runpytest()
    (rerun,) = (line for line in result.outlines if line.startswith("  rerun "))
    words = shlex.split(rerun)[2:]
    result = suite.run(sys.executable, "-m", "errpath.cli.main", *words)
    assert result.ret == 1
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["leaks: FAIL"])
    result = suite.run(sys.executable, "-m", "errpath.cli.main", "run", "a", "--suite", "no.py")
    assert result.ret == 2
    assert result.errlines == [
        "errpath: --suite no.py: no such file; expected a file or directory of tests"
    ]
