"""Which modules a configuration has, and where: read from the tree's Makefiles.

kbuild itself gives them only after it has compiled everything. Its Makefiles are regular enough to
read what is needed here: `obj-$(CONFIG_X) += name.o` and `obj-$(CONFIG_X) += directory/`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

__all__ = [
    "ModuleIndex",
    "assignments",
    "find_exporter",
    "module_directories",
    "module_name",
    "scan",
]

_ASSIGNMENT = re.compile(r"^[ \t]*([\w$()-]+?)[ \t]*[:+?]?=[ \t]*(.*)$", re.MULTILINE)
_OBJECTS = re.compile(r"^obj-(?:(?P<fixed>[ym])|\$\((?P<symbol>CONFIG_\w+)\))$")
_TOP = ("fs", "lib", "crypto", "drivers", "block", "mm", "kernel", "security", "net", "init", "ipc")
_TOP_ARCH = "arch/x86"


@dataclass(frozen=True)
class ModuleIndex:
    """Names (with `_` for `-`) as in `lsmod`."""

    # Module name -> path below the source root without suffix, such as `fs/hfs/hfs`.
    modules: Mapping[str, str]
    # Names of what would be modules but are built in.
    builtin: frozenset[str]


def module_name(path: str) -> str:
    """The name of the module at a path, with or without `.ko`."""
    return Path(path).name.removesuffix(".ko").replace("-", "_")


def scan(source: Path, config: Mapping[str, str]) -> ModuleIndex:
    """Read the Makefiles that a configuration reaches."""
    modules: dict[str, str] = {}
    builtin: set[str] = set()
    seen: set[str] = set()
    todo = [(top, False) for top in (*_TOP, _TOP_ARCH)]
    while todo:
        directory, as_module = todo.pop()
        if directory in seen:
            continue
        seen.add(directory)
        for value, word in _objects(_makefile(source / directory), config):
            if word.endswith("/"):
                todo.append((f"{directory}/{word.rstrip('/')}", as_module or value == "m"))
            elif word.endswith(".o"):
                name = module_name(word.removesuffix(".o"))
                # Under a directory that only modules reach, obj-y objects are not built at all.
                if value == "m":
                    modules[name] = f"{directory}/{word.removesuffix('.o')}"
                elif not as_module:
                    builtin.add(name)
    return ModuleIndex(modules, frozenset(builtin - modules.keys()))


def module_directories(makefile: str, config: Mapping[str, str], parent: str) -> tuple[str, ...]:
    """Directories below `parent` that hold nothing but modules, or what is switched off by request,
    as paths that end in `/`.

    What lies in them cannot reach vmlinux. `makefile` is the text of `parent`'s Makefile.
    """
    reached: dict[str, set[str]] = {}
    for value, word in _objects(makefile, config, every=True):
        if word.endswith("/"):
            reached.setdefault(word, set()).add(value)
    apart = {"m", "n"}
    return tuple(f"{parent}/{word}" for word, values in sorted(reached.items()) if values <= apart)


def find_exporter(source: Path, index: ModuleIndex, symbol: str) -> str | None:
    """The path of the module that exports a symbol, or None."""
    directories: dict[str, list[str]] = {}
    for path in index.modules.values():
        directories.setdefault(str(Path(path).parent), []).append(path)
    # The name may be wrapped in a macro, and a namespace may follow it.
    export = re.compile(rb"EXPORT_SYMBOL\w*\([^;]*\b" + re.escape(symbol.encode()) + rb"\b[^;]*\)")
    for directory, paths in sorted(directories.items()):
        for file in _code(source, directory, directories):
            text = file.read_bytes()
            if symbol.encode() in text and export.search(text):
                found = _owner(source / directory, file, paths)
                if found is not None:
                    return found
    return None


def _code(source: Path, directory: str, others: Mapping[str, object]) -> Iterator[Path]:
    for pattern in ("*.c", "*.S"):
        for file in sorted((source / directory).rglob(pattern)):
            nearer = file.parent.relative_to(source).as_posix()
            if nearer == directory or nearer not in others:
                yield file


def _owner(directory: Path, file: Path, paths: list[str]) -> str | None:
    """The module, out of those of a directory, that a source file is a part of."""
    unit = file.relative_to(directory).with_suffix(".o").as_posix()
    makefile = _makefile(directory)
    for path in paths:
        base = Path(path).name
        part = re.compile(rf"^{re.escape(base)}-(?:objs|y|m|\$\(\w+\))$")
        for target, words in assignments(makefile):
            if part.match(target) and unit in words:
                return path
        if unit == f"{base}.o":
            return path
    return paths[0] if len(paths) == 1 and "/" in paths[0] and unit.count("/") else None


def _makefile(directory: Path) -> str:
    for name in ("Kbuild", "Makefile"):
        try:
            return (directory / name).read_text(errors="replace")
        except OSError:
            continue
    return ""


def assignments(makefile: str) -> Iterator[tuple[str, list[str]]]:
    """(variable, words) of each assignment in a Makefile."""
    joined = makefile.replace("\\\n", " ")
    for match in _ASSIGNMENT.finditer(joined):
        yield match[1], match[2].partition("#")[0].split()


def _objects(
    makefile: str, config: Mapping[str, str], *, every: bool = False
) -> Iterator[tuple[str, str]]:
    """(y or m, word) of each object or directory; with `every`, also those that are switched off,
    as n, and those of which nothing is said, as ?."""
    for target, words in assignments(makefile):
        if match := _OBJECTS.match(target):
            # What was not asked for, Kconfig may switch on by itself.
            value = match["fixed"] or config.get(match["symbol"], "?")
            if value in ("y", "m") or every:
                yield from ((value, word) for word in words)
