"""What a test replaces, it hands in: no test writes to errpath's modules or private attributes.

The standard library may be patched (`sys.stdin`, `shutil.which`): it has no parameter for a test.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from suites.selftest.paths import ROOT

_FILES = sorted((ROOT / "suites" / "selftest").rglob("*.py"))


def _root(node: ast.expr) -> str:
    """The name at the left end of `a.b.c`; "" of anything else."""
    while isinstance(node, ast.Attribute):
        node = node.value
    return node.id if isinstance(node, ast.Name) else ""


def _origins(tree: ast.AST) -> dict[str, str]:
    """Imported name → the top-level package that it comes from."""
    found = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            for alias in node.names:
                module = node.module if isinstance(node, ast.ImportFrom) else alias.name
                name = alias.asname or alias.name.partition(".")[0]
                found[name] = (module or "").partition(".")[0]
    return found


def _patched(tree: ast.AST) -> Iterator[ast.expr]:
    """What `monkeypatch.setattr` is given, whatever monkeypatch is called, and so its `delattr`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and getattr(node.func, "attr", "") in ("setattr", "delattr"):
            yield node.args[0]


def _written(tree: ast.AST) -> Iterator[ast.Attribute]:
    """Attributes that are assigned to, or deleted."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store | ast.Del):
            yield node


def _replaced(text: str) -> list[str]:
    """What a test replaces that is neither the standard library's nor its own."""
    tree = ast.parse(text)
    origins = _origins(tree)
    found = ["unittest.mock"] if "unittest" in origins.values() else []
    for target in _patched(tree):
        if isinstance(target, ast.Constant):
            name = str(target.value)
            origin = name.partition(".")[0]
        else:
            name = ast.unparse(target)
            origin = origins.get(_root(target), "")
        if origin not in sys.stdlib_module_names:
            found.append(name)
    for attribute in _written(tree):
        root = _root(attribute)
        private = attribute.attr.startswith("_") and root not in ("self", "cls")
        if private or origins.get(root) in ("errpath", "suites"):
            found.append(ast.unparse(attribute))
    return found


@pytest.mark.parametrize("path", _FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_of_errpath_is_replaced_from_outside(path: Path) -> None:
    assert _replaced(path.read_text()) == []


@pytest.mark.parametrize(
    "line",
    [
        "monkeypatch.setattr(session, 'boot', fake)",
        "monkeypatch.setattr('errpath.runner.session.boot', fake)",
        "patch.setattr(made, 'boot', fake)",
        "from unittest import mock",
        "session.boot = fake",
        "session.inner.boot = fake",
        "bed._guests = ()",
    ],
)
def test_a_replacement_is_seen(line: str) -> None:
    assert len(_replaced(f"from errpath.runner import session\n{line}\n")) == 1


@pytest.mark.parametrize(
    "line",
    [
        "monkeypatch.setattr(sys, 'stdin', fake)",
        "monkeypatch.setattr('shutil.which', fake)",
        "monkeypatch.setenv('PATH', '')",
        "bed.accel = 'kvm'",
        "self._asked = []",
    ],
)
def test_the_standard_library_and_a_tests_own_are_free(line: str) -> None:
    assert _replaced(f"import sys\nfrom errpath.runner import session\n{line}\n") == []
