"""`errpath minimize`: what is told of the smallest case, and its status. No guest runs here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from errpath.cases.case import Device, MountCase
from errpath.cases.steps import Mount, Umount
from errpath.cases.volume_steps import Sync
from errpath.cli import minimize
from errpath.cli.main import main
from errpath.filesystems.mkfs import image
from errpath.intake.kept import keep_case, load_kept
from errpath.oracles.failure import ERRNO, WARNING, Failure
from suites.selftest.cli.one_command import run_command

_PLACE = 1024 + 10
_WARNING = Failure(WARNING, "WARNING in hfs_mdb_get", functions=("hfs_mdb_get",))


class _Testbed:
    kernel = type("_Kernel", (), {"description": "a kernel"})

    def check(self) -> None: ...

    def build(self, filesystems: tuple[str, ...], *, points: bool) -> dict[str, Exception]:
        assert (filesystems, points) == (("hfs",), False)
        return {}


class _Testbeds:
    def __init__(self, *_: object) -> None: ...

    def get(self, name: str, filesystem: str) -> _Testbed:
        return _Testbed()

    def close(self) -> None: ...


def _run(found: Callable[[MountCase], tuple[Failure, ...]], *words: str) -> int:
    """The status of `errpath minimize WORDS` where cases show these failures."""

    class Trials:
        count = 7

        def __init__(self, make: object) -> None: ...

        def failures(self, case: MountCase, *, leaks: bool) -> tuple[Failure, ...]:
            return found(case)

        def close(self) -> None: ...

    return run_command(minimize.add_parser, "minimize", *words, testbeds=_Testbeds, trials=Trials)


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    broken = image("hfs").patched_all([(_PLACE, b"\xee"), (_PLACE + 40, b"\xdd\xcc"), (3000, b"x")])
    steps = (Mount("hfs"), Sync(), Umount())
    return keep_case(MountCase("c", "hfs", Device(broken), steps), tmp_path, "big", known=False)


def test_the_smallest_case_is_shown_decoded_and_kept(
    kept: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def found(case: MountCase) -> tuple[Failure, ...]:
        content = case.device.content
        wrong = content is not None and content.read(_PLACE, 1) == b"\xee"
        return (_WARNING,) if wrong and case.steps[0].op == "mount" else ()

    assert _run(found, str(kept), "--as", "small", "--into", "out") == 0
    out = capsys.readouterr().out
    assert out.startswith(
        "WARNING in hfs_mdb_get  (7 runs)\n  steps      3 -> 1\n    mount hfs rw\n"
    )
    assert "  image      4 -> 1 bytes differ from hfs-valid\n" in out
    # In the format's own names.
    assert "!" in out
    assert "out/small.yaml: kept; pytest out runs it\n" in out
    (small,) = load_kept(Path("out"))
    assert small.title == "WARNING in hfs_mdb_get"
    assert small.case is not None
    assert found(small.case) == (_WARNING,)


def test_what_does_not_fail_and_what_does_not_come_again(
    kept: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _run(lambda case: (), str(kept)) == 1
    assert capsys.readouterr().out == "big: does not fail on a kernel\n"
    once = iter([(Failure(ERRNO, "mount: -EIO"), _WARNING)])
    assert _run(lambda case: next(once, ()), str(kept)) == 125
    assert capsys.readouterr().err == "errpath: big: WARNING in hfs_mdb_get: did not come again\n"


def test_wrong_words(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["minimize", str(tmp_path / "none.yaml")]) == 2
    assert "no kept case; expected one that errpath keep wrote" in capsys.readouterr().err
