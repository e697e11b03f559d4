"""The plugin in runs that are not errpath's, in those that are, and beside other plugins."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from suites.selftest.paths import ROOT
from suites.selftest.runner import simsession

pytest_plugins = ["pytester"]

# What no run of another project may pay for.
_SLOW = ("errpath.kernel", "errpath.images", "errpath.results", "errpath.plugin.", "hypothesis")
_FOREIGN = f"""
import sys
import pytest

@pytest.mark.parametrize("case", [1, 2])
def test_foreign(case, request):
    slow = {{name for name in sys.modules if name.startswith({_SLOW!r})}}
    assert slow == {{"errpath.plugin.entry", "errpath.plugin.hooks"}}
    assert "errpath-recorder" not in dict(request.config.pluginmanager.list_name_plugin())

def test_other():
    pass
"""
# How xdist's controller divides the tests.
_SCHEDULER = """
def pytest_terminal_summary(terminalreporter, config):
    running = config.pluginmanager.getplugin("dsession")
    if running is not None:
        terminalreporter.write_line(f"by {type(running.sched).__name__}")
"""
_OURS = """
import pytest
from suites.selftest.runner.simguest import make_case

CASES = [make_case(f"c{n}", "") for n in range(6)]
"""


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """An empty project in an environment with errpath."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("ERRPATH_CACHE", str(pytester.path / "cache"))
    for name in ("PYTEST_ADDOPTS", "PYTEST_PLUGINS", "PYTEST_XDIST_WORKER"):
        monkeypatch.delenv(name, raising=False)
    return pytester


def _pytest(project: pytest.Pytester, *words: str) -> pytest.RunResult:
    return project.run(sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *words)


@pytest.mark.parametrize("words", [(), ("-n", "2"), ("--junitxml", "j.xml")])
def test_it_does_nothing_in_runs_that_are_not_its(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    # A job that a CI divides by itself.
    monkeypatch.setenv("CI_NODE_INDEX", "1")
    monkeypatch.setenv("CI_NODE_TOTAL", "3")
    project.makeconftest(_SCHEDULER)
    project.makepyfile(_FOREIGN)
    result = _pytest(project, *words)
    result.assert_outcomes(passed=3)
    result.stdout.no_fnmatch_line("*shard*")
    if "-n" in words:
        result.stdout.fnmatch_lines(["by LoadScheduling"])
    if "--junitxml" in words:
        assert "errpath." not in (project.path / "j.xml").read_text()
    assert not {path.name for path in project.path.iterdir()} & {"errpath-results", "cache"}


def test_it_is_found_without_a_conftest_and_loaded_once(project: pytest.Pytester) -> None:
    project.makepyfile("def test_once(pytestconfig):\n    assert pytestconfig.option.shard\n")
    result = _pytest(project, "--trace-config")
    result.assert_outcomes(passed=1)
    lines = [line for line in result.outlines if "errpath/plugin/entry.py" in line]
    assert len([line for line in lines if "PLUGIN registered" in line]) == 1


@pytest.mark.parametrize("words", [(), ("-n", "2")])
def test_cases_without_an_option(project: pytest.Pytester, words: tuple[str, ...]) -> None:
    """The first test that asks for a verdict wakes it; with workers, each gets whole batches."""
    project.makeconftest(simsession.CONFTEST + _SCHEDULER)
    project.makepyfile(
        f"{_OURS}\n"
        '@pytest.mark.parametrize("case", CASES, ids=[case.id for case in CASES])\n'
        "def test_mount(case, expect_pass):\n    expect_pass()\n"
        "def test_plain():\n    pass\n"
    )
    result = _pytest(project, *words)
    result.assert_outcomes(passed=7)
    result.stdout.no_fnmatch_line("*]@*")
    guests = list((project.path / "errpath-results").glob("*/guests/*/*"))
    assert len(guests) == (2 if words else 1)
    if words:
        result.stdout.fnmatch_lines(["by LoadGroupScheduling"])


def test_cases_without_a_fixture(project: pytest.Pytester) -> None:
    """A case is one of errpath's although its test asks for no verdict."""
    project.makeconftest(simsession.CONFTEST)
    project.makepyfile(
        f"{_OURS}\n"
        '@pytest.mark.parametrize("case", CASES, ids=[case.id for case in CASES])\n'
        "def test_case(case):\n    assert case.id\n"
    )
    _pytest(project, "-m", "hfs and qemu").assert_outcomes(passed=6)
    _pytest(project, "-m", "hfsplus").assert_outcomes(deselected=6)


def test_a_shard_is_said_where_the_header_is_past(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CI_NODE_INDEX", "1")
    monkeypatch.setenv("CI_NODE_TOTAL", "3")
    project.makeconftest(simsession.CONFTEST)
    project.makepyfile(
        f"{_OURS}\n"
        '@pytest.mark.parametrize("case", CASES, ids=[case.id for case in CASES])\n'
        "def test_case(case):\n    assert case.id\n"
    )
    result = _pytest(project)
    result.assert_outcomes(passed=2, deselected=4)
    result.stdout.fnmatch_lines(["errpath: shard 1/3 (from *)"])


@pytest.mark.parametrize("option", ["--kernel", "--fs", "--conservation"])
@pytest.mark.parametrize("place", ["conftest", "plugin"])
def test_an_option_that_is_taken_is_one_line(
    project: pytest.Pytester, place: str, option: str
) -> None:
    text = f"def pytest_addoption(parser):\n    parser.addoption({option!r})\n"
    words: tuple[str, ...] = ()
    if place == "conftest":
        project.makeconftest(text)
    else:
        (project.path / "other.py").write_text(text)
        words = ("-p", "other")
    project.makepyfile("def test_a():\n    pass\n")
    result = _pytest(project, *words)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert [line for line in result.errlines if line] == [
        f"ERROR: {option}: an option of errpath and of another plugin or conftest.py; expected one "
        "of them: -p no:errpath leaves errpath out"
    ]
    assert result.outlines == []
    _pytest(project, "-p", "no:errpath", *words).assert_outcomes(passed=1)


def test_the_checkout_asks_for_an_installed_errpath(project: pytest.Pytester) -> None:
    (project.path / "conftest.py").write_text(Path(ROOT, "conftest.py").read_text())
    project.makepyfile("def test_a():\n    pass\n")
    result = _pytest(project, "-p", "no:errpath")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: errpath's plugin is not loaded; *: pip install -e ."])
    _pytest(project).assert_outcomes(passed=1)
