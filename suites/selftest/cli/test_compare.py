"""The status of `errpath bisect` and `errpath compare`: what `git bisect run` makes of it."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any, cast

import pytest

from errpath.analysis.compare import bisect, compare
from errpath.analysis.compare.judge import Comparison, State
from errpath.analysis.compare.observe import Observed
from errpath.cases.lifecycle import Planned
from errpath.cli import bisect as bisect_cli
from errpath.cli import compare as cli
from errpath.cli import main
from errpath.errors import BuildError
from errpath.oracles import failure
from errpath.oracles.failure import Failure
from suites.selftest.cli.one_command import run_command


class _Testbed:
    def check(self) -> None:
        pass

    def modules(self, filesystem: str) -> tuple[()]:
        return ()


class _Session:
    """A session whose kernels are built by asking."""

    def __init__(self, *arguments: object) -> None:
        pass

    @property
    def testbeds(self) -> _Session:
        return self

    def get(self, kernel: str, filesystem: str = "") -> _Testbed:
        return _Testbed()

    def close(self) -> None:
        pass


_FAILURES = {
    "clean": (),
    "errno": (Failure(failure.ERRNO, "mount: 0; expected -EIO"),),
    "leak": (Failure(failure.LEAK, "memory leak in f"),),
    "crash": (Failure(failure.OOPS, "kernel BUG in f"),),
    "hang": (Failure(failure.HANG, "INFO: task hung in f"),),
    "error": (failure.infrastructure("no guest"),),
}


def _observed(case: str, what: str) -> Observed:
    return Observed(case, _FAILURES[what])


@pytest.mark.parametrize(
    ("kinds", "status"),
    [
        (["clean", "clean"], 0),
        # An errno alone is not what a leak is bisected for.
        (["clean", "errno"], 0),
        (["clean", "leak"], 1),
        (["crash", "error"], 1),
        (["hang", "clean"], 1),
        (["clean", "error"], 125),
    ],
)
def test_status(kinds: list[str], status: int, tmp_path: Path) -> None:
    found = tuple(_observed(str(n), kind) for n, kind in enumerate(kinds))
    words = ["bisect", "--fs", "hfs", "--event", "a", "--artefacts", str(tmp_path)]
    done = run_command(bisect_cli.add_parser, *words, check=lambda *args, **kwargs: found)
    assert done == status


def test_what_does_not_build_is_passed_over(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    class Broken(_Session):
        def get(self, kernel: str, filesystem: str = "") -> _Testbed:
            raise BuildError("fs/hfs/super.c:1: error: x")

    words = ["--fs", "hfs", "--artefacts", str(tmp_path)]
    check = functools.partial(bisect.check_kernel, make=cast(Any, Broken))
    assert run_command(bisect_cli.add_parser, "bisect", *words, check=check) == 125
    patch = tmp_path / "x.patch"
    patch.write_text("")
    both = functools.partial(compare.compare, make=cast(Any, Broken))
    words = ["compare", "--patch", str(patch), *words]
    assert run_command(cli.add_parser, *words, compare=both) == 125
    assert capsys.readouterr().err.count("errpath: fs/hfs/super.c:1: error: x") == 2


@pytest.mark.parametrize(
    "words",
    [
        ["compare"],
        ["compare", "--patch", "nowhere.patch"],
        ["compare", "--kernel", "a", "--before", "b", "--after", "c"],
        ["compare", "--kernel", "a", "--kernel", "b", "--after", "c"],
        ["compare", "--after", "c", "--repeats", "0"],
        ["compare", "--after", "c", "-n", "2"],
        ["compare", "--after", "c", "--fs", "zonefs"],
        ["bisect", "--event", "z"],
    ],
)
def test_wrong_words_are_no_verdict(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(words) == 125
    assert capsys.readouterr().err.startswith("errpath: ")


def test_compares_n_names_what_to_write(capsys: pytest.CaptureFixture[str]) -> None:
    """`-n` is workers elsewhere; here it was repeats."""
    for words in (["-n", "2"], ["-n2"], ["-n"]):
        assert main.main(["compare", "--after", "c", *words]) == 125
        err = capsys.readouterr().err
        assert "expected --repeats N" in err
        assert err.count("\n") == 1


def test_both_kernels_get_every_option(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    requests: list[compare.Request] = []

    def fake(request: compare.Request, progress: object) -> None:
        requests.append(request)
        raise BuildError("enough")

    words = ["--isolation", "boot", "--leak-check", "slow", "--resource-leaks", "--accel", "tcg"]
    words += ["--before", "old", "--after", "new", "--artefacts", str(tmp_path), "--fs", "hfs"]
    words = ["compare", *words, "--repeats", "4", "--append", "a b"]
    assert run_command(cli.add_parser, *words, compare=fake) == 125
    (request,) = requests
    assert request.repeats == 4
    for name, choice in (("old", request.before), ("new", request.after)):
        assert choice.testbed.kernel.spec == name
        assert (choice.testbed.isolation, choice.testbed.leak_check) == ("boot", "slow")
        assert choice.testbed.conservation
        assert choice.testbed.append == ("a", "b")


def test_require_and_json_reach_the_status_and_a_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    planned = Planned("c", "hfs", "a", None)
    found = compare.Summary((Comparison(planned, State.CLEAN),), "old", "new", "config", 1.0)
    words = ["compare", "--after", "c", "--fs", "hfs", "--artefacts", str(tmp_path)]

    def run(*more: str) -> int:
        return run_command(cli.add_parser, *words, *more, compare=lambda *_: found)

    assert run() == 1
    assert run("--require", "fixed") == 1
    file = tmp_path / "found.json"
    assert run("--require", "no-regression", "--json", str(file)) == 0
    assert json.loads(file.read_text())["status"] == {"fixed": 1, "no-regression": 0}
    capsys.readouterr()
    assert run("--require", "no-regression", "--json", "/dev/full") == 125
    assert capsys.readouterr().err == "errpath: --json /dev/full: No space left on device\n"
    assert run("--require", "nothing") == 125
    assert "--require: invalid choice: 'nothing'" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["bisect"], ["compare", "--after", "debian:7.2"]])
def test_no_qemu_is_said_before_anything_is_built(
    words: list[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("ERRPATH_CACHE", str(tmp_path / "cache"))
    assert main.main([*words, "--fs", "hfs", "--artefacts", str(tmp_path / "a")]) == 125
    err = capsys.readouterr().err
    assert err.startswith("errpath: qemu-system-x86_64: not found on PATH (Debian package")
    assert err.count("\n") == 1
    assert not (tmp_path / "cache" / "builds").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--kinds", "io"], "--kinds, --volume: parts of a sweep; expected --sweep"),
        (["--sweep", "--event", "a"], "--sweep: expected no --event, --crafted, --each"),
        (["--sweep", "burn"], "--sweep-event burn: unknown"),
        (["--sweep", "mount-rw", "--fs", "isofs"], "none of these filesystems has any of these"),
    ],
)
def test_a_sweep_that_cannot_be_compared_is_one_line(
    words: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    artefacts = ["--artefacts", str(tmp_path)]
    patched = ["--after", "debian:7.3"]
    assert main.main(["compare", *patched, *artefacts, *words]) == 125
    assert said in capsys.readouterr().err
