"""What a module gives to others says what it is, and which errors it raises.

Public is what `__all__` names, and the methods of such a class that have no underscore. A method
may leave its docstring to a class that it inherits from.
"""

from __future__ import annotations

import ast
import importlib
import inspect
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from suites.selftest.paths import ROOT

_SOURCE = ROOT / "harness"
_FILES = sorted(path for path in _SOURCE.rglob("*.py") if path.name != "__main__.py")

_Definition = ast.FunctionDef | ast.ClassDef


def _inherited(owner: type, name: str) -> str:
    """The docstring of the nearest class above that has one for this member."""
    docs = (inspect.getdoc(vars(one)[name]) for one in owner.__mro__[1:] if name in vars(one))
    return next(filter(None, docs), "")


def _public(module: ModuleType, tree: ast.Module) -> Iterator[tuple[str, _Definition, str]]:
    """What a module defines for others: name, definition, docstring."""
    names = set(getattr(module, "__all__", ()))
    for node in tree.body:
        if isinstance(node, _Definition) and node.name in names:
            yield node.name, node, ast.get_docstring(node) or ""
            members = node.body if isinstance(node, ast.ClassDef) else []
            for member in members:
                if isinstance(member, ast.FunctionDef) and not member.name.startswith("_"):
                    own = ast.get_docstring(member)
                    docstring = own or _inherited(getattr(module, node.name), member.name)
                    yield f"{node.name}.{member.name}", member, docstring


class _Raised(ast.NodeVisitor):
    """The errors that a function's own statements raise, without those that it catches."""

    def __init__(self) -> None:
        self.names: set[str] = set()
        self._caught: set[str] = set()

    def visit_Try(self, node: ast.Try) -> None:
        before = self._caught
        types = [part for one in node.handlers if one.type for part in ast.walk(one.type)]
        self._caught = before | {part.id for part in types if isinstance(part, ast.Name)}
        for statement in node.body:
            self.visit(statement)
        self._caught = before
        for part in (*node.handlers, *node.orelse, *node.finalbody):
            self.visit(part)

    def visit_Raise(self, node: ast.Raise) -> None:
        error = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
        if isinstance(error, ast.Name) and error.id.endswith("Error"):
            self.names |= {error.id} - self._caught


def _raised(node: ast.AST) -> set[str]:
    visitor = _Raised()
    visitor.visit(node)
    return visitor.names


def _lacking(module: ModuleType, text: str) -> list[str]:
    """What a module's docstrings lack."""
    tree = ast.parse(text)
    # A package's own names are those of its modules.
    defines = any(
        isinstance(node, _Definition) and not node.name.startswith("_") for node in tree.body
    )
    found = ["no __all__"] if defines and not hasattr(module, "__all__") else []
    for name, node, docstring in _public(module, tree):
        if not docstring:
            found.append(f"{name}: no docstring")
        elif isinstance(node, ast.FunctionDef):
            errors = sorted(_raised(node))
            found += [f"{name}: raises {one}" for one in errors if one not in docstring]
    return found


def _load(path: Path) -> ModuleType:
    name = ".".join(path.relative_to(_SOURCE).with_suffix("").parts)
    return importlib.import_module(name.removesuffix(".__init__"))


@pytest.mark.parametrize("path", _FILES, ids=lambda path: str(path.relative_to(_SOURCE)))
def test_what_is_public_says_what_it_is_and_what_it_raises(path: Path) -> None:
    assert _lacking(_load(path), path.read_text()) == []


_LACKING = '''
__all__ = ["Lower", "Upper", "caught", "raises", "silent"]

class Upper:
    """A class."""

    def run(self):
        """Run it."""

class Lower(Upper):
    """A class."""

    def run(self):
        return 1

    def walk(self):
        return 1

    def _own(self):
        return 1

def silent():
    return 1

def raises():
    """Raise."""
    raise ValueError("as planted")

def caught():
    """Raise UsageError."""
    try:
        raise ValueError("as planted")
    except ValueError:
        raise UsageError("as planted")
'''


def test_what_is_lacking_is_seen() -> None:
    module = ModuleType("lacking")
    exec(_LACKING, vars(module))
    assert _lacking(module, _LACKING) == [
        "Lower.walk: no docstring",
        "silent: no docstring",
        "raises: raises ValueError",
    ]


def test_a_module_that_names_nothing_public_is_seen() -> None:
    assert _lacking(ModuleType("nothing"), "def f():\n    pass\n") == ["no __all__"]


def test_all_modules_are_read() -> None:
    public = [_public(_load(path), ast.parse(path.read_text())) for path in _FILES]
    assert sum(len(list(each)) for each in public) > 1500
