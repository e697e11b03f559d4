"""errpath-leakcheck: its verdicts in guests without errpath, and kmemleak's text as it reads it."""

from __future__ import annotations

import re
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from errpath.beside.leakcheck import (
    PROGRAM,
    SOURCE,
    built_kernel,
    leakcheck_program,
    write_leakcheck,
)
from errpath.cli.main import main
from errpath.errors import InfrastructureError
from errpath.guest.definition import load_guest
from errpath.guest.program import C_FLAGS, COMMON
from errpath.kernel import BuiltKernel, KernelRequest, KernelStore
from errpath.oracles.kmemleak import parse_records
from errpath.oracles.modules import CANARY, PLANT
from errpath.util.progress import silent
from errpath.util.resources import GUESTS
from suites.selftest import golden
from suites.selftest.beside.plain_guest import run_plain_guest

# -- kmemleak's text -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program's own parser, alone."""
    out = tmp_path_factory.mktemp("reader") / "records"
    leakcheck = GUESTS / "leakcheck"
    sources = [Path(__file__).with_name("records_main.c"), leakcheck / "records.c"]
    words: list[str | Path]
    words = [*C_FLAGS, f"-I{COMMON}", f"-I{leakcheck}", "-o", out, *sources, COMMON / "files.c"]
    subprocess.run(["gcc", *words], check=True, timeout=120)
    return out


@golden.golden_cases("kmemleak")
def test_the_program_reads_what_errpath_reads(reader: Path, path: Path) -> None:
    case = golden.load(path, headers=["Error"])
    done = subprocess.run(
        [reader, "hfs_init_fs_context"], input=case.input.encode(), capture_output=True, timeout=20
    )
    # Frames are errpath's business alone: the program hands on the text.
    if path.stem == "foreign_text":
        assert done.returncode == 2
    try:
        records = parse_records(case.input)
    except InfrastructureError:
        assert done.returncode == 2 or path.stem == "cut_frame"
        return
    assert done.returncode == 0
    assert done.stdout.decode(errors="replace").splitlines() == [
        f"{one.address:x} {one.size} {one.pid} {one.jiffies} "
        f"{int(any(s.function == 'hfs_init_fs_context' for s in one.backtrace))} {one.comm}"
        for one in records
    ]


# -- what is written -----------------------------------------------------------------------------


def test_the_source_for_dkms_is_whole(tmp_path: Path) -> None:
    program, source = write_leakcheck(tmp_path / "out")
    assert program == tmp_path / "out" / PROGRAM
    assert program.stat().st_mode & stat.S_IXUSR
    assert source == tmp_path / "out" / SOURCE
    assert not any(path.is_symlink() for path in source.iterdir())
    shell = f'. {source}/dkms.conf; echo "$PACKAGE_NAME-$PACKAGE_VERSION ${{BUILT_MODULE_NAME[0]}}"'
    told = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, check=True)
    assert told.stdout.split() == [SOURCE, "errpath_canary"]
    assert "errpath_canary.o" in (source / "Kbuild").read_text()


def test_it_is_written_again_over_itself(tmp_path: Path) -> None:
    assert write_leakcheck(tmp_path) == write_leakcheck(tmp_path)


def test_the_command_writes_without_a_kernel(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["leakcheck", "build", "-o", str(tmp_path / "out")]) == 0
    names = [Path(line).name for line in capsys.readouterr().out.splitlines()]
    assert names == [PROGRAM, SOURCE]


def test_where_nothing_can_be_written_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    taken = tmp_path / "file"
    taken.write_text("")
    assert main(["leakcheck", "build", "-o", str(taken)]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def _finished_build(tmp_path: Path, makefile: str) -> Path:
    """What a build leaves that a module is made with, but for what its Makefile does."""
    (tmp_path / "include" / "generated").mkdir(parents=True)
    for name in (".config", "Module.symvers", "include/generated/autoconf.h"):
        (tmp_path / name).touch()
    (tmp_path / "Makefile").write_text(makefile)
    return tmp_path


def test_a_finished_build_is_told_from_a_source(tmp_path: Path) -> None:
    assert built_kernel("") is None
    assert built_kernel("debian:7.2") is None
    build = _finished_build(tmp_path, "")
    assert built_kernel(str(build)) == build
    (build / "Module.symvers").unlink()
    assert built_kernel(str(build)) is None


def test_a_module_that_does_not_compile_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    build = _finished_build(tmp_path, "modules:\n\t@echo no symbols >&2; exit 1\n")
    out = tmp_path / "out"
    assert main(["leakcheck", "build", "--kernel", str(build), "-o", str(out)]) != 0
    err = capsys.readouterr().err
    assert err.startswith(f"errpath: {build}: the canary's module: ")
    assert err.count("\n") == 1


# -- on this machine -----------------------------------------------------------------------------


@pytest.fixture
def leakcheck(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    program, _ = write_leakcheck(tmp_path)

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        state = ["--state", str(tmp_path / "state")]
        return subprocess.run(
            [program, *state, *words], capture_output=True, text=True, timeout=60, check=False
        )

    return run


@pytest.mark.parametrize("words", [(), ("start",), ("begin",), ("run", "a", "true"), ("--no",)])
def test_wrong_words_are_no_verdict(
    leakcheck: Callable[..., subprocess.CompletedProcess[str]], words: tuple[str, ...]
) -> None:
    done = leakcheck(*words)
    assert done.returncode == 2
    assert "usage: errpath-leakcheck" in done.stderr
    assert done.stdout == ""


def test_an_end_without_a_beginning_is_no_verdict(
    leakcheck: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    done = leakcheck("end")
    assert (done.returncode, done.stderr) == (2, "")
    assert "no verdict: nothing was begun" in done.stdout
    done = leakcheck("--ktap", "end")
    assert done.stdout.splitlines()[:2] == ["KTAP version 1", "1..1"]
    assert done.stdout.splitlines()[2].startswith("not ok 1 errpath-leakcheck # ERROR nothing was")


def test_a_state_of_something_else_is_no_verdict(
    leakcheck: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    (tmp_path / "state").write_text("something else\n")
    done = leakcheck("end")
    assert done.returncode == 2
    assert "cannot be read" in done.stdout


# -- in guests without errpath -------------------------------------------------------------------

# `step WHAT COMMAND…` prints what the command prints between marks, with its status.
_STEP = """
mount -t debugfs debugfs /sys/kernel/debug
step() { name=$1; shift; echo "=== $name"; "$@"; echo "=== status $?"; }
hide() { sh -c 'echo -n hide > /sys/kernel/debug/errpath_plant'; }
stale() { sh -c 'echo -n stale > /sys/kernel/debug/errpath_plant'; }
lose() { sh -c 'echo -n lose > /sys/kernel/debug/errpath_plant'; }
check() { step "$1-begin" errpath-leakcheck begin "$1"; shift; "$@"; }
"""
_SEEING = """
umount /sys/kernel/debug
step no-debugfs errpath-leakcheck begin none
mount -t debugfs debugfs /sys/kernel/debug
insmod /errpath_plant.ko
check silent true
step silent errpath-leakcheck end
check blind-leak lose
step blind-leak errpath-leakcheck --ktap end
insmod /errpath_canary.ko
check clean true
step clean errpath-leakcheck end
check leak lose
lose
step leak errpath-leakcheck --kmsg end
step log sh -c 'dmesg | grep -c "BUG: memory leak in leak: 2 unref"'
check stale stale
step stale errpath-leakcheck end
check hidden hide
step hidden errpath-leakcheck end
errpath-leakcheck begin owned
echo -n hide > /sys/kernel/debug/errpath_plant
step owned errpath-leakcheck end
step run errpath-leakcheck --ktap run 'a # run' -- sh -c 'exit 3'
echo off > /sys/kernel/debug/kmemleak
step off errpath-leakcheck begin off
"""
_BLIND = """
insmod /errpath_canary.ko
check blind true
step blind errpath-leakcheck end
"""


@pytest.fixture(scope="module")
def kernel() -> BuiltKernel:
    store = KernelStore(progress=silent())
    return store.build(KernelRequest(fragments=load_guest("microvm").fragments))


def _steps(
    kernel: BuiltKernel, script: str, scratch: Path, boot_args: tuple[str, ...] | None = None
) -> dict[str, tuple[int, str]]:
    """Status and output of each step."""
    store = KernelStore(progress=silent())
    files = {"bin/errpath-leakcheck": leakcheck_program()}
    for own in (CANARY, PLANT):
        module = store.external(kernel, own.directory)
        files[module.path.name] = module.stripped.read_bytes()
    text = run_plain_guest(kernel, _STEP + script, files, scratch, boot_args=boot_args)
    found = re.findall(r"(?ms)^=== ([\w-]+)\n(.*?)^=== status (\d+)$", text)
    assert found, text
    return {name: (int(status), output) for name, output, status in found}


@pytest.mark.qemu
@pytest.mark.kernel_build
def test_verdicts_where_leaks_can_be_seen(kernel: BuiltKernel, tmp_path: Path) -> None:
    steps = _steps(kernel, _SEEING, tmp_path)
    begun = {name: steps.pop(name)[0] for name in list(steps) if name.endswith("-begin")}
    assert set(begun.values()) == {0}

    status, output = steps["no-debugfs"]
    assert (status, "no debugfs at" in output) == (2, True)
    # Without the canary, evidence is evidence and silence proves nothing.
    status, output = steps["silent"]
    assert (status, "errpath_canary is not loaded" in output) == (2, True)
    status, output = steps["blind-leak"]
    lines = output.splitlines()
    assert status == 1
    assert lines[:3] == [
        "KTAP version 1",
        "1..1",
        "# BUG: memory leak in blind-leak: 1 unreferenced object",
    ]
    assert lines[-1] == "not ok 1 blind-leak"
    assert "#     errpath_plant_lose+0x" in output

    assert steps["clean"] == (0, "clean: clean (6 planted leaks were found)\n")
    # What was lost before is not lost again, and the canary is never a leak.
    status, output = steps["leak"]
    assert status == 1
    assert output.startswith("BUG: memory leak in leak: 2 unreferenced objects\n")
    assert [record.size for record in parse_records(output.partition("\n")[2])] == [512, 512]
    assert "errpath_canary" not in output
    assert steps["log"] == (0, "1\n")

    # A worker's stack has a pointer to it where nothing is in use.
    status, output = steps["stale"]
    assert status == 1
    assert output.splitlines()[1].startswith("unreferenced object")
    assert "plant_stale+0x" in output
    # Nobody uses what a thread has on its stack of a task that has ended.
    status, output = steps["hidden"]
    assert status == 1
    lines = output.splitlines()
    assert lines[0] == "BUG: memory leak in hidden: 1 unreferenced object"
    assert lines[1] == "pointers are on stacks alone, and the tasks that allocated have ended"
    assert "plant_hide+0x" in output
    # The shell that allocated is there.
    assert steps["owned"] == (0, "owned: clean (6 planted leaks were found)\n")

    status, output = steps["run"]
    assert status == 3
    assert output.splitlines()[-1] == "ok 1 a   run"
    assert steps["off"][0] == 2
    assert "kmemleak is off" in steps["off"][1]


@pytest.mark.qemu
@pytest.mark.kernel_build
def test_a_default_boot_gives_no_verdict(kernel: BuiltKernel, tmp_path: Path) -> None:
    words = [w for w in load_guest("microvm").boot_args if not w.startswith("slab_debug")]
    steps = _steps(kernel, _BLIND, tmp_path, tuple(words))
    status, output = steps["blind"]
    assert status == 2
    assert re.search(r"canary: \d of 6 planted leaks were not found", output)
    assert "boot with slab_debug=FUZP" in output
