"""The C of the guests: format, warnings and analysis of programs, checkpatch for the modules.

Each tool is also shown a fault of its kind, so that a tool that checks nothing fails.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from errpath.guest.definition import load_guest
from errpath.guest.program import C_FLAGS, COMMON
from errpath.kernel import KernelRequest, KernelStore
from errpath.util.progress import silent
from errpath.util.resources import GUESTS

_AGENT = GUESTS / "agent"
_PROGRAMS = ("agent", "leakcheck", "repro")
_SOURCES = {
    name: [path for part in (name, "common") for path in sorted((GUESTS / part).glob("*.[ch]"))]
    for name in _PROGRAMS
}
# Each directory has a link to the header that all share.
_MODULES = sorted(
    path
    for path in (GUESTS / "modules").glob("*/*.[ch]")
    if path.parent.name == "include" or path.suffix == ".c"
)


def _run(argv: Sequence[str | Path]) -> tuple[int, str]:
    done = subprocess.run(argv, capture_output=True, text=True, timeout=300, check=False)
    return done.returncode, done.stdout + done.stderr


# -- format --------------------------------------------------------------------------------------


def _format(files: Sequence[Path]) -> tuple[int, str]:
    program = shutil.which("clang-format")
    if program is None:
        pytest.skip("no clang-format (pip install 'errpath[lint]')")
    style = f"--style=file:{_AGENT / '.clang-format'}"
    return _run([program, "--dry-run", "--Werror", style, *files])


@pytest.mark.parametrize("name", _PROGRAMS)
def test_a_program_is_formatted(name: str) -> None:
    assert len(_SOURCES[name]) >= 5
    assert _format(_SOURCES[name]) == (0, "")


def test_qemus_plugin_is_formatted() -> None:
    assert _format([GUESTS / "plugin" / "holders.c"]) == (0, "")


def test_another_format_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "steps.c"
    text = (_AGENT / "steps.c").read_text()
    assert "\tif (error)\n" in text
    path.write_text(text.replace("\tif (error)\n", "\tif(error)\n", 1))
    status, output = _format([path])
    assert status != 0
    assert "steps.c" in output


@pytest.mark.parametrize(
    "path",
    [*(path for name in _PROGRAMS for path in _SOURCES[name]), *_MODULES],
    ids=lambda path: f"{path.parent.name}/{path.name}",
)
def test_lines_have_100_columns(path: Path) -> None:
    """clang-format leaves comments as they are; messages of the kernel log are not divided."""
    lines = path.read_text().expandtabs(8).splitlines()
    long = [line for line in lines if len(line) > 100 and 'pr_info("' not in line]
    assert long == []


# -- warnings and analysis -----------------------------------------------------------------------


def _analyse(files: Sequence[Path], directory: Path) -> tuple[int, str]:
    flags = [f"-I{COMMON}", *(flag for flag in C_FLAGS if flag != "-static")]
    output: list[str | Path] = ["-r", "-nostdlib", "-o", directory / "object.o"]
    return _run(["gcc", *flags, "-fanalyzer", *output, *files])


@pytest.mark.parametrize("name", _PROGRAMS)
def test_the_analyser_finds_nothing_in_a_program(name: str, tmp_path: Path) -> None:
    sources = [path for path in _SOURCES[name] if path.suffix == ".c"]
    assert _analyse(sources, tmp_path) == (0, "")


@pytest.mark.parametrize(
    ("code", "found"),
    [
        (
            "void twice(char *one);\nvoid twice(char *one) { free(one); free(one); }",
            "analyzer-double-free",
        ),
        (
            "char *lost(void);\nchar *lost(void) { char *one = malloc(9); *one = 1; return one; }",
            "analyzer-possible-null-dereference",
        ),
        ("int unannounced(int one) { return one; }", "missing-prototypes"),
    ],
)
def test_a_planted_fault_is_found(tmp_path: Path, code: str, found: str) -> None:
    path = tmp_path / "planted.c"
    path.write_text(f"#include <stdlib.h>\n{code}\n")
    status, output = _analyse([path], tmp_path)
    assert status != 0
    assert found in output


# -- modules -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def checkpatch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The script of the default kernel's source, with the lists that it reads."""
    store = KernelStore(progress=silent())
    kernel = store.build(KernelRequest(fragments=load_guest("microvm").fragments))
    directory = tmp_path_factory.mktemp("scripts")
    for name in ("checkpatch.pl", "spelling.txt", "const_structs.checkpatch"):
        text = store.sources.text(kernel, f"scripts/{name}")
        if text is None:
            pytest.skip(f"{kernel.description}: its source has no scripts/{name}")
        (directory / name).write_text(text)
    return directory / "checkpatch.pl"


def _check(script: Path, file: Path) -> tuple[int, str]:
    return _run(["perl", script, "--no-tree", "--strict", "--terse", "--show-types", "-f", file])


@pytest.mark.kernel_build
@pytest.mark.parametrize("path", _MODULES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_checkpatch_finds_nothing_in_a_module(checkpatch: Path, path: Path) -> None:
    status, output = _check(checkpatch, path)
    assert (status, output) == (0, ""), output


@pytest.mark.kernel_build
def test_checkpatch_finds_a_planted_fault(checkpatch: Path, tmp_path: Path) -> None:
    path = tmp_path / "planted.c"
    path.write_text(
        "// SPDX-License-Identifier: GPL-2.0-only\nint f(int a)\n{\n\tif(a)return 1;\n}\n"
    )
    status, output = _check(checkpatch, path)
    assert status != 0
    assert "SPACING" in output
