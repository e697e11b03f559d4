"""Data flows one way: a module imports only from its own layer or from one below it."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

_ROOT = Path(__file__).resolve().parents[3]

# From the ground up. A package stands for everything in it; modules of one line may use each other.
# `oops` stands below the guest because the console is watched while it is read, and the images
# because a guest takes them.
_LAYERS: tuple[tuple[str, ...], ...] = (
    ("harness",),
    ("harness.errors", "harness.profiles"),
    ("harness.deadline", "harness.progress", "harness.errno_names", "harness.oops"),
    ("harness.process", "harness.cache", "harness.yamlfile", "harness.lanes"),
    ("harness.kernel",),
    ("harness.images",),
    ("harness.filesystems", "harness.faults", "harness.hfsprogs"),
    ("harness.cases",),
    ("harness.guest",),
    ("harness.targets", "harness.runcase", "harness.leaks"),
    ("harness.ownership", "harness.verdict"),
    ("harness.mounting", "harness.walk", "harness.knownissues"),
    ("harness.executor", "harness.signature", "harness.crafted"),
    ("harness.conserve", "harness.losers", "harness.records", "harness.hunt"),
    ("harness.judgement", "harness.kernelrecord", "harness.runrecords", "harness.known"),
    ("harness.judged", "harness.shard"),
    ("harness.reports",),
    ("harness.artefacts", "harness.rig", "harness.merge", "harness.history"),
    ("harness.userguest", "harness.options"),
    ("harness.session", "harness.bench"),
    ("harness.coverage",),
    ("harness.plugin", "harness.doctor", "harness.runcli", "harness.shell"),
    ("harness.killsb", "harness.resultplugin", "harness.nightly"),
    ("harness.audit",),
    ("harness.cli",),
)
# Imports against the order that are known, each with the reason. An entry that is no longer needed
# is an error.
_EXCEPTIONS: dict[tuple[str, str], str] = {}


def _module_of(path: Path) -> str:
    parts = path.relative_to(_ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


_MODULES = {_module_of(path): path for path in sorted((_ROOT / "harness").rglob("*.py"))}


def _layer(module: str) -> int:
    """The layer of a module: of the longest name that it is or lies in."""
    best = ("", -1)
    for number, names in enumerate(_LAYERS):
        for name in names:
            fits = module == name or (name != "harness" and module.startswith(f"{name}."))
            if fits and len(name) > len(best[0]):
                best = (name, number)
    assert best[1] >= 0, f"{module} has no layer: give it one in _LAYERS"
    return best[1]


def _imports(module: str, text: str) -> set[str]:
    """The modules of ours that a module imports, wherever in its text the import stands."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: a relative import; expected the whole name"
            for alias in node.names:
                name = f"{node.module}.{alias.name}"
                found.add(name if name in _MODULES else str(node.module))
    return {name for name in found if name in _MODULES}


@pytest.mark.parametrize("module", _MODULES)
def test_a_module_imports_from_below(module: str) -> None:
    upward = {
        name
        for name in _imports(module, _MODULES[module].read_text())
        if _layer(name) > _layer(module) and (module, name) not in _EXCEPTIONS
    }
    assert upward == set()


def test_exceptions_are_still_needed() -> None:
    for module, name in _EXCEPTIONS:
        assert name in _imports(module, _MODULES[module].read_text())
        assert _layer(name) > _layer(module)


def test_every_name_has_one_layer() -> None:
    names = [name for layer in _LAYERS for name in layer]
    assert len(names) == len(set(names))


def test_the_suites_are_not_imported_by_the_harness() -> None:
    for module, path in _MODULES.items():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom):
                assert not str(node.module).startswith("suites"), module


def test_an_upward_import_would_be_seen() -> None:
    text = "def f() -> None:\n    from harness import cli\n    import harness.session\n"
    assert _imports("harness.oops", text) == {"harness.cli", "harness.session"}
    assert _layer("harness.cli") > _layer("harness.oops")
    assert _layer("harness.kernel.store") == _layer("harness.kernel")
    with pytest.raises(AssertionError, match=r"harness\.nothing has no layer"):
        _layer("harness.nothing")
