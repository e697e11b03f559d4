"""What a bisection runs: every option reaches the process that answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from errpath import __version__
from errpath.errors import UsageError
from errpath.nightly.ask import Wanted, asker, commit_options, from_anywhere, kernel_options
from errpath.nightly.bisect import Answer
from errpath.nightly.job import load_job
from errpath.oracles.failure import LEAK, WARNING, Failure
from errpath.results.records import CaseRecord, CaseStatus
from errpath.results.reports.jsonl import ResultFile, write_results
from errpath.runner.options import RUN_GROUPS, ResultOptions, RunOptions, SelectionOptions
from errpath.util.option_group import parse_groups

_JOB = """
name: j
kernels:
  - {name: old, kernel: "debian:7.2"}
  - name: new
    kernel: "debian:7.2"
    patches: [fix.patch]
    kconfig_add: [CONFIG_X=y]
    append: [a b]
suites: [suites/hfs]
conservation: true
accel: tcg
"""
_GIVEN = ["--isolation", "boot", "--leak-check", "slow", "--conservation", "--repeats", "5"]


class _Program:
    """Stands for pytest: notes its words, and leaves these results."""

    def __init__(self, *statuses: CaseStatus, failures: Sequence[tuple[Failure, ...]] = ()) -> None:
        """`failures` are those of the last case, run by run; the last ones stay."""
        self._statuses = statuses
        self._failures = list(failures)
        self.runs = 0
        self.options = RunOptions()
        self.selection = SelectionOptions()
        self.cases = ""

    def __call__(self, argv: Sequence[str], log: Path) -> None:
        words = list(argv[argv.index("--tb=short") + 1 :])
        parsed = parse_groups(words, (*RUN_GROUPS, ResultOptions, SelectionOptions))
        self.options = RunOptions.from_namespace(parsed)
        self.selection = SelectionOptions.from_namespace(parsed)
        if self.selection.cases_from is not None:
            self.cases = self.selection.cases_from.read_text()
        path = ResultOptions.from_namespace(parsed).results
        assert path is not None
        self.runs += 1
        if self._statuses:
            names = self.cases.split() or list(self.selection.case)
            cases = tuple(
                ("k", CaseRecord(name, status, nodeid=name))
                for name, status in zip(names, self._statuses, strict=False)
            )
            if self._failures:
                failures = self._failures.pop(0) if len(self._failures) > 1 else self._failures[0]
                status = CaseStatus.FAIL if failures else CaseStatus.PASS
                name, last = cases[-1]
                cases = (*cases[:-1], (name, replace(last, status=status, failures=failures)))
            write_results(path, ResultFile(cases=cases), version=__version__)


def _job(tmp_path: Path) -> Path:
    (tmp_path / "fix.patch").write_text("x")
    path = tmp_path / "job.yaml"
    path.write_text(_JOB)
    return path


def test_options_of_a_commit_are_all_that_was_given(tmp_path: Path) -> None:
    patch = tmp_path / "a.patch"
    patch.write_text("x")
    given = RunOptions.parse([*_GIVEN, "--patch", str(patch), "--append", "p q", "--accel", "tcg"])
    program = _Program(CaseStatus.PASS)
    lines: list[str] = []
    ask = asker(
        Wanted(("case-1",)),
        commit_options(given, Path("/src/linux")),
        say=lines.append,
        execute=program,
    )
    commit = "0123456789abcdef"
    assert ask(commit) is Answer.GOOD
    assert program.options.kernel.kernel == (f"{commit[:12]}=/src/linux@{commit}",)
    assert program.options == RunOptions.parse(
        [*given.to_argv(), "--kernel", program.options.kernel.kernel[0]]
    )
    assert (program.options.isolation.isolation, program.options.oracles.leak_check) == (
        "boot",
        "slow",
    )
    assert program.options.oracles.resource_leaks is True
    assert program.options.oracles.repeats == 5
    assert (program.cases, program.selection.shard) == ("case-1\n", "none")
    assert lines == [f"{commit}: good"]


def test_a_jobs_kernels_keep_what_the_job_says(tmp_path: Path) -> None:
    job = load_job(_job(tmp_path))
    of = kernel_options(RunOptions(), job)
    assert of("old").oracles.resource_leaks is True
    assert of("old").guest.accel == "tcg"
    new = of("new")
    assert new.kernel.kernel == ("new=debian:7.2",)
    assert new.kernel.patch == (str(tmp_path / "fix.patch"),)
    assert (new.kernel.kconfig_add, new.guest.append) == (("CONFIG_X=y",), ("a b",))


def test_what_is_given_beside_a_job_goes_before_it(tmp_path: Path) -> None:
    job = load_job(_job(tmp_path))
    given = RunOptions.parse(["--isolation", "case", "--no-resource-leaks", "--append", "c"])
    new = kernel_options(given, job)("new")
    assert new.isolation.isolation == "case"
    assert new.oracles.resource_leaks is False
    assert new.guest.append == ("a b", "c")


def test_paths_hold_in_another_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.patch").write_text("x")
    options = from_anywhere(RunOptions.parse(["--patch", "a.patch", "--guest", "mine.yaml"]))
    assert options.kernel.patch == (str(tmp_path / "a.patch"),)
    assert options.guest.guest == str(tmp_path / "mine.yaml")
    with pytest.raises(UsageError, match="no such file"):
        from_anywhere(RunOptions.parse(["--patch", "none.patch"]))


@pytest.mark.parametrize(
    ("statuses", "answer"),
    [
        ([CaseStatus.PASS, CaseStatus.PASS], Answer.GOOD),
        ([CaseStatus.PASS, CaseStatus.FAIL], Answer.BAD),
        ([CaseStatus.FAIL, CaseStatus.ERROR], Answer.BAD),
        ([CaseStatus.PASS, CaseStatus.ERROR], Answer.SKIP),
        ([CaseStatus.PASS, CaseStatus.SKIP], Answer.SKIP),
        # One of them did not run, or nothing did.
        ([CaseStatus.PASS], Answer.SKIP),
        ([], Answer.SKIP),
    ],
)
def test_answers(statuses: list[CaseStatus], answer: Answer) -> None:
    ask = asker(
        Wanted(("a", "b")),
        commit_options(RunOptions(), Path("/t")),
        say=lambda _: None,
        execute=_Program(*statuses),
    )
    assert ask("0" * 40) is answer


@pytest.mark.parametrize(
    ("statuses", "printed", "said"),
    [
        ([CaseStatus.ERROR], "", "no answer: "),
        ([CaseStatus.PASS], "x\nno tests ran\n", "no answer: the case did not run: no tests ran"),
        ([CaseStatus.PASS], "", "no answer: the case did not run"),
    ],
)
def test_no_answer_has_a_reason(statuses: list[CaseStatus], printed: str, said: str) -> None:
    class Printing(_Program):
        def __call__(self, argv: Sequence[str], log: Path) -> None:
            super().__call__(argv, log)
            log.write_text(printed)

    lines: list[str] = []
    wanted = Wanted(("a", "b"))
    options = commit_options(RunOptions(), Path("/t"))
    ask = asker(wanted, options, say=lines.append, execute=Printing(*statuses))
    assert ask("0" * 40) is Answer.SKIP
    assert lines[0].startswith(f"{'0' * 40}: {said}")


_LEAK = Failure(LEAK, "memory leak in f", functions=("f",))
_OTHER = Failure(WARNING, "WARNING in g", functions=("g",))


@pytest.mark.parametrize(
    ("failures", "attempts", "answer", "runs", "said"),
    [
        ([(_LEAK,)], 1, Answer.BAD, 1, "bad: a"),
        ([(_OTHER,)], 1, Answer.SKIP, 1, "no answer: another failure: "),
        ([()], 3, Answer.GOOD, 3, "good"),
        # It comes once in three runs.
        ([(), (), (_LEAK,)], 3, Answer.BAD, 3, "bad: a (attempt 3)"),
    ],
)
def test_one_failure_alone(
    failures: list[tuple[Failure, ...]], attempts: int, answer: Answer, runs: int, said: str
) -> None:
    lines: list[str] = []
    program = _Program(CaseStatus.PASS, failures=failures)
    wanted = Wanted(("a",), "memory leak in f", attempts)
    options = commit_options(RunOptions(), Path("/t"))
    ask = asker(wanted, options, say=lines.append, execute=program)
    assert ask("0" * 40) is answer
    assert program.runs == runs
    assert lines == [f"{'0' * 40}: {said}"]


def test_a_known_issue_is_a_failure_as_any_other() -> None:
    class Known(_Program):
        def __call__(self, argv: Sequence[str], log: Path) -> None:
            path = ResultOptions.from_namespace(
                parse_groups(
                    argv[argv.index("--tb=short") + 1 :],
                    (*RUN_GROUPS, ResultOptions, SelectionOptions),
                )
            ).results
            assert path is not None
            record = CaseRecord("a", CaseStatus.XFAIL, failures=(_LEAK,))
            write_results(path, ResultFile(cases=(("k", record),)), version=__version__)

    options = commit_options(RunOptions(), Path("/t"))
    for title, answer in (("memory leak in f", Answer.BAD), ("", Answer.SKIP)):
        ask = asker(Wanted(("a",), title), options, say=lambda _: None, execute=Known())
        assert ask("0" * 40) is answer


def test_points_of_sweeps_and_suites_of_ones_own() -> None:
    seen: list[list[str]] = []

    class Noting(_Program):
        def __call__(self, argv: Sequence[str], log: Path) -> None:
            seen.append(list(argv))
            super().__call__(argv, log)

    program = Noting(CaseStatus.FAIL)
    point = "sweep-hfs-mount-rw-alloc-a>b"
    options = commit_options(RunOptions(), Path("/t"))
    wanted = Wanted((point,), suites=("/home/u/kept",))
    assert asker(wanted, options, say=lambda _: None, execute=program)("0" * 40) is Answer.BAD
    assert program.selection.case == (point,)
    assert "/home/u/kept" in seen[0]
