"""What is read from the ELF files of modules, of objects that a compiler made for the test."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from errpath.kernel.symbols.elf import function_symbols, traceable_functions

_CODE = """
int outside(int);
static __attribute__((noinline)) int hidden(int n) { return outside(n) + 1; }
__attribute__((no_instrument_function)) int silent(int n) { return hidden(n); }
__attribute__((section(".init.text"))) int early(int n) { return outside(n); }
int seen(int n) { return silent(n) + early(n); }
"""


def _object(directory: Path, *options: str) -> Path:
    if shutil.which("gcc") is None:
        pytest.skip("gcc: not found on PATH (Debian package gcc)")
    source, made = directory / "code.c", directory / "code.o"
    source.write_text(_CODE)
    subprocess.run(["gcc", "-O2", "-c", *options, "-o", made, source], check=True)
    return made


def test_functions_that_ftrace_can_patch_are_told_from_others(tmp_path: Path) -> None:
    made = _object(tmp_path, "-fno-pie", "-pg", "-mfentry", "-mrecord-mcount")
    assert {symbol.name for symbol in function_symbols(made)} == {
        "hidden",
        "silent",
        "early",
        "seen",
    }
    assert traceable_functions(made) == frozenset({"hidden", "early", "seen"})


def test_a_file_without_a_record_of_them_says_nothing(tmp_path: Path) -> None:
    assert traceable_functions(_object(tmp_path)) is None
