"""Data flows one way: a package imports only from those before it. No class knows everything."""

from __future__ import annotations

import ast
from collections.abc import Collection
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from suites.selftest.paths import ROOT

# In the order of the data's way (docs/architecture.md).
ORDER = (
    *("errors", "util", "kernel", "images", "filesystems", "guest", "faults", "cases", "oracles"),
    *("runner", "results", "analysis", "intake", "beside", "nightly", "plugin", "cli"),
)
_PACKAGE = ROOT / "harness" / "errpath"
# Of one class, at most; 150 is the aim.
_CLASS_LINES = 200
_FILES = [path for path in sorted(_PACKAGE.rglob("*.py")) if path != _PACKAGE / "__init__.py"]


def _imported(text: str) -> set[str]:
    """What a module imports, wherever the import stands."""
    nodes = list(ast.walk(ast.parse(text)))
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    for node in nodes:
        if isinstance(node, ast.ImportFrom):
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def _upward(room: str, text: str) -> set[str]:
    """The packages after `room` that a module of it imports."""
    names = {name for name in _imported(text) if name.startswith("errpath.")}
    rooms = {name.split(".")[1] for name in names} - {"__version__"}
    return {name for name in rooms if ORDER.index(name) > ORDER.index(room)}


@pytest.mark.parametrize("path", _FILES, ids=lambda path: str(path.relative_to(_PACKAGE)))
def test_a_module_imports_from_packages_before_its_own(path: Path) -> None:
    text = path.read_text()
    assert _upward(path.relative_to(_PACKAGE).parts[0].removesuffix(".py"), text) == set()
    assert "from suites" not in text


def test_an_upward_import_would_be_seen() -> None:
    text = "def f() -> None:\n    from errpath import cli\n    import errpath.results.session\n"
    assert _upward("kernel", text) == {"cli", "results"}


def _module(path: Path) -> str:
    name = ".".join(path.relative_to(_PACKAGE.parent).with_suffix("").parts)
    return name.removesuffix(".__init__")


def _imports(path: Path, modules: Collection[str]) -> set[str]:
    """Those of the modules that a module imports, also for types alone."""
    names = _imported(path.read_text())
    ends = {name if name in modules else name.rpartition(".")[0] for name in names}
    return (ends & set(modules)) - {_module(path)}


def test_no_modules_import_each_other_in_a_circle() -> None:
    files = {_module(path): path for path in _FILES}
    imports = {name: _imports(path, files) for name, path in files.items()}
    assert sum(map(len, imports.values())) > 1000
    # Raises CycleError, which names the circle.
    assert len(list(TopologicalSorter(imports).static_order())) == len(files)


def test_no_module_is_loose() -> None:
    assert {path.name for path in _PACKAGE.glob("*.py")} == {"__init__.py", "errors.py"}


def _large_classes(text: str) -> list[str]:
    """Classes of more than 200 lines."""
    classes = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.ClassDef)]
    return [node.name for node in classes if (node.end_lineno or 0) - node.lineno >= _CLASS_LINES]


@pytest.mark.parametrize("path", _FILES, ids=lambda path: str(path.relative_to(_PACKAGE)))
def test_no_class_is_large(path: Path) -> None:
    assert _large_classes(path.read_text()) == []


def test_a_large_class_would_be_seen() -> None:
    text = "class A:\n" + "    x = 1\n" * _CLASS_LINES
    assert _large_classes(text) == ["A"]
    assert _large_classes(text.removesuffix("    x = 1\n")) == []


@pytest.mark.parametrize("path", sorted(_PACKAGE.rglob("__init__.py")), ids=lambda p: p.parent.name)
def test_every_package_has_a_docstring(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text()))
