"""Finished modules: how they get into the cache and out of it."""

from __future__ import annotations

import contextlib
import re
import shutil
import tempfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from errpath.errors import BuildError, SourceError
from errpath.kernel.build.built import BuiltModule
from errpath.kernel.build.kbuild import Kbuild
from errpath.kernel.build.modindex import module_name
from errpath.kernel.build.state import State
from errpath.kernel.layout import Layout, read_json, write_json
from errpath.kernel.symbols.elf import linkage, modinfo
from errpath.util.process import run

__all__ = [
    "HEADER",
    "compile_sources",
    "is_aliased",
    "lacking_symbols",
    "load_module",
    "make_external",
    "missing_modules",
    "missing_symbols",
    "save_module",
    "soft_dependencies",
]

# What modules of ours include to learn of the kernel's features.
HEADER = "errpath_features.h"


def missing_modules(layout: Layout, state: State, paths: Iterable[str]) -> tuple[str, ...]:
    """Those of some modules that are not built yet."""
    return tuple(path for path in paths if load_module(layout, state.module_key(path)) is None)


def save_module(
    module: Path,
    directory: Path,
    *,
    kernel: str,
    to_path: Callable[[str], str | None],
    to_soft: Callable[[str], Iterable[str]] | None = None,
    prefix: str = "",
) -> None:
    """Copy a built module, with and without debug information, and note what it needs.

    `to_path` turns the name of a module that it depends on into its path, None if it is built in;
    `to_soft` does so for what it wants before it, which may be an alias of several, and is
    `to_path` unless given; `prefix` is the directory of its sources, if they are not the kernel's.
    """
    target = directory / module.name
    shutil.copyfile(module, target)
    (directory / "stripped").mkdir()
    run(["objcopy", "--strip-debug", target, directory / "stripped" / module.name])
    info = modinfo(target)
    words = [word for text in info.get("depends", ()) for word in text.split(",")]
    paths = [to_path(module_name(word)) for word in words if word]
    for word in soft_dependencies(info):
        paths += to_soft(word) if to_soft else [to_path(module_name(word))]
    meta = {
        "name": module_name(module.name),
        "file": module.name,
        "depends": [path for path in dict.fromkeys(paths) if path is not None],
        "kernel": kernel,
        "source_prefix": prefix,
    }
    write_json(directory / "meta.json", meta)


def soft_dependencies(info: Mapping[str, Iterable[str]]) -> list[str]:
    """What a module's `.modinfo` wants loaded before it: names of modules, or aliases."""
    # `softdep=pre: name name post: name`
    found = (re.search(r"pre:(.*?)(?:post:|$)", text) for text in info.get("softdep", ()))
    return [word for match in found if match for word in match[1].split()]


def is_aliased(source: str, alias: str) -> bool:
    """Whether the source of a module gives it this alias, as an algorithm of crypto or by name."""
    name = re.escape(alias.removeprefix("crypto-"))
    macro = "MODULE_ALIAS_CRYPTO" if alias.startswith("crypto-") else "MODULE_ALIAS(?:_CRYPTO)?"
    return re.search(rf'\b{macro}\("{name}"\)', source) is not None


def load_module(layout: Layout, key: str) -> BuiltModule | None:
    """A finished module, or None if it is not built."""
    directory = layout.modules / key
    meta = read_json(directory / "meta.json")
    if meta is None:
        return None
    depends = tuple(module_name(path) for path in meta["depends"])
    return BuiltModule(
        meta["name"], directory / meta["file"], key, depends, meta.get("source_prefix", "")
    )


def exported_by(symvers: Path) -> set[str]:
    """The symbols that a Module.symvers lists."""
    lines = symvers.read_text(errors="replace").splitlines() if symvers.is_file() else []
    return {words[1] for words in (line.split("\t") for line in lines) if len(words) > 2}


def lacking_symbols(modules: Mapping[str, Path], symvers: Path) -> dict[str, str]:
    """Symbol -> module that lacks it, whatever the order: exported neither by vmlinux nor by one of
    the modules. modpost prints the same, but only the first few, in words that change.
    """
    known = exported_by(symvers)
    found = {name: linkage(path) for name, path in modules.items()} if known else {}
    for one in found.values():
        known |= one.exported
    return {symbol: name for name, one in found.items() for symbol in sorted(one.undefined - known)}


def missing_symbols(modules: Iterable[BuiltModule], symvers: Path) -> dict[str, str]:
    """Symbol -> module that lacks it, when modules are loaded in this order into a kernel.

    `symvers` lists what vmlinux exports (Module.symvers); empty where it names no symbol at all.
    """
    known = exported_by(symvers)
    missing: dict[str, str] = {}
    if not known:
        return missing
    for module in modules:
        found = linkage(module.path)
        missing |= dict.fromkeys(sorted(found.undefined - known), module.name)
        known |= found.exported
    return missing


def make_external(
    layout: Layout,
    kbuild: Kbuild,
    directory: Path,
    final: Path,
    *,
    kernel: str,
    allow_undefined: bool,
    header: str = "",
) -> None:
    """Build a module of our own in a copy, so that the checkout is never written to.

    `header` is the text of its errpath_features.h.

    Raises:
        SourceError: `directory` makes no module, or several.
    """
    if not any((directory / name).is_file() for name in ("Kbuild", "Makefile")):
        raise SourceError(f"{directory}: makes no module (expected a Makefile for kbuild)")
    with layout.making(final) as product, layout.making(layout.tmp / f"x-{final.name}") as copy:
        shutil.copytree(directory, copy, dirs_exist_ok=True)
        if header:
            (copy / HEADER).write_text(header)
        variables = [f"M={copy}", *(["KBUILD_MODPOST_WARN=1"] if allow_undefined else [])]
        kbuild.make(["modules"], f"building {directory.name}", variables=variables)
        built = sorted(copy.rglob("*.ko"))
        if len(built) != 1:
            raise SourceError(f"{directory}: makes {len(built)} modules, expected one")
        save_module(built[0], product, kernel=kernel, prefix=f"{copy}/", to_path=lambda name: name)


def compile_sources(layout: Layout, kbuild: Kbuild, sources: Mapping[str, str]) -> dict[str, str]:
    """What the compiler printed for each of some C texts, by name; "" where it made an object.

    Raises:
        BuildError: one did not compile, and nothing was printed.
    """
    layout.tmp.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="probe-", dir=layout.tmp) as name:
        directory = Path(name)
        objects = {one: f"probe_{one}.o" for one in sources}
        (directory / "Kbuild").write_text(f"obj-m := {' '.join(objects.values())}\n")
        for one, text in sources.items():
            (directory / f"probe_{one}.c").write_text(text)
        with contextlib.suppress(BuildError):
            kbuild.make(objects.values(), "probing features", variables=[f"M={directory}", "-k"])
        printed = {}
        for one, file in objects.items():
            if (directory / file).exists():
                printed[one] = ""
                continue
            # Alone, so that no other compiler's words are among its own.
            try:
                kbuild.make([file], f"probing {one}", variables=[f"M={directory}"])
            except BuildError:
                printed[one] = kbuild.last_output()
            else:
                raise BuildError(f"probe {one}: no object, and nothing printed (see {kbuild.log})")
        return printed
