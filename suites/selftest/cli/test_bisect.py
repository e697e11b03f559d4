"""`errpath bisect` for one failure: another one is no answer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from errpath.analysis.compare.observe import Observed
from errpath.cases.case import Device, MountCase
from errpath.cases.steps import Mount
from errpath.cli import bisect
from errpath.cli.main import main
from errpath.intake.kept import keep_case
from errpath.intake.reproducer import Reproducer
from errpath.intake.reproduction import Outcome, Reproduction
from errpath.nightly.ask import Wanted
from errpath.nightly.bisect import Answer
from errpath.oracles.failure import LEAK, WARNING, Failure
from errpath.runner.options import Choice
from suites.selftest.cli.one_command import run_command

_LEAK = Failure(LEAK, "memory leak in f", functions=("f",))
_WARNING = Failure(WARNING, "WARNING in g", functions=("g",))


@pytest.mark.parametrize(
    ("failures", "title", "status"),
    [
        ([(), (_LEAK,)], "memory leak in f", 1),
        ([(_WARNING,), (_LEAK,)], "memory leak in f", 1),
        ([(_WARNING,), ()], "memory leak in f", 125),
        ([(_WARNING,), ()], "", 1),
        ([(), ()], "memory leak in f", 0),
    ],
)
def test_cases(
    failures: list[tuple[Failure, ...]],
    title: str,
    status: int,
    tmp_path: Path,
) -> None:
    found = tuple(Observed(str(n), each) for n, each in enumerate(failures))
    words = ["bisect", "--fs", "hfs", "--event", "a", "--artefacts", str(tmp_path)]
    words += ["--title", title] if title else []
    done = run_command(bisect.add_parser, *words, check=lambda *args, **more: found)
    assert done == status


@pytest.mark.parametrize(
    ("outcome", "title", "status"),
    [
        (Outcome.SAME, "memory leak in f", 1),
        (Outcome.NOT_REPRODUCED, "memory leak in f", 0),
        (Outcome.OTHER, "memory leak in f", 125),
        # Nothing says what it should show: whatever it shows is bad.
        (Outcome.OTHER, "", 1),
        (Outcome.ERROR, "", 125),
    ],
)
def test_a_reproducer(
    outcome: Outcome,
    title: str,
    status: int,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    source = tmp_path / "repro.c"
    source.write_text(f"// {title}\nint main(void) {{ return 0; }}\n" if title else "int main(){}")

    def reproduce(
        choice: Choice, reproducer: Reproducer, *_: object, **more: object
    ) -> Reproduction:
        assert choice.testbed.guest == "repro"
        assert reproducer.title == title
        assert more["attempts"] == 2
        return Reproduction(outcome, 1, 2, _LEAK, error="no guest")

    words = ["bisect", "--kernel", "debian:7.2", "--artefacts", str(tmp_path)]
    words += ["--reproducer", str(source), "--attempts", "2"]
    assert run_command(bisect.add_parser, *words, reproduce=reproduce) == status
    assert capsys.readouterr().out.startswith(outcome.value)


def test_a_bad_image_is_no_answer(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bisect", "--kernel", "debian:7.2", "--image", str(tmp_path / "none")]) == 125
    assert "No such file; expected an image" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("answer", "status"), [(Answer.GOOD, 0), (Answer.BAD, 1), (Answer.SKIP, 125)]
)
def test_a_case_and_a_kept_one(answer: Answer, status: int, tmp_path: Path) -> None:
    asked: list[Wanted] = []

    def play(wanted: Wanted, *_: object, **__: object) -> Callable[[str], Answer]:
        asked.append(wanted)
        return lambda kernel: answer

    def run(case: str, *more: str) -> int:
        return run_command(bisect.add_parser, *words, case, *more, ask=play)

    words = ["bisect", "--kernel", "debian:7.2", "--attempts", "2", "--case"]
    assert run("sweep-hfs-mount-rw-io-a>b", "--title", "memory leak in f") == status
    case = MountCase("c", "hfs", Device(), (Mount(fstype="hfs"),))
    kept = keep_case(case, tmp_path, "mine", title="WARNING in g", known=False)
    assert run(str(kept)) == status
    assert run(str(tmp_path / "none.yaml")) == 125
    assert [(one.title, one.attempts) for one in asked] == [
        ("memory leak in f", 2),
        ("WARNING in g", 2),
    ]
    assert asked[0].suites == ("sweep",)
    assert asked[1].suites == (str(tmp_path),)
