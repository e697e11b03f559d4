"""The public API: lazy, complete, and the same for mypy and at run time."""

from __future__ import annotations

import ast
import subprocess
import sys

import pytest
from mypy import api

import errpath
from suites.selftest.paths import ROOT


def test_the_import_loads_nothing_else() -> None:
    code = "import sys, errpath; print([m for m in sys.modules if m.startswith('errpath.')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize("name", errpath.__all__)
def test_every_name_is_there(name: str) -> None:
    assert getattr(errpath, name) is not None
    assert name in dir(errpath)


def test_mypy_and_the_interpreter_see_the_same_names() -> None:
    tree = ast.parse((ROOT / "harness" / "errpath" / "__init__.py").read_text())
    block = next(node for node in tree.body if isinstance(node, ast.If))
    typed = {
        (node.module, alias.name, alias.asname or alias.name)
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    lazy = {
        (module, word.rpartition("=")[2], word.partition("=")[0])
        for module, words in errpath._HOMES.items()
        for word in words.split()
    }
    assert typed == lazy
    assert {public for _, _, public in lazy} | {"__version__"} == set(errpath.__all__)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'errpath' has no attribute 'Mounted'"):
        _ = errpath.Mounted  # type: ignore[attr-defined]


def test_mypy_types_what_is_lazy() -> None:
    text = """
from errno import EIO
from errpath import Call, Device, Mount, MountCase, Umount, image
case = MountCase("a", "ext4", Device(image("ext4")), (Mount("ext4", fail=Call("f", EIO)), Umount()))
Umount(fstype="ext4")
"""
    out, _, status = api.run(["--strict", "--config-file=", "-c", text])
    assert (status, out.count("error:")) == (1, 1), out
    assert '<string>:5: error: Unexpected keyword argument "fstype" for "Umount"' in out
