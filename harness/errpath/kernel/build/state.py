"""What a request comes to: sources with patches applied, configuration, and the keys of both.

The keys are split so that a patch to a filesystem built as a module leaves the kernel proper alone:
directories that hold nothing but modules have a digest each, and the kernel's key is made of all
the rest.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from errpath.kernel.build.kconfig import Requested, parse_requested
from errpath.kernel.build.modindex import module_directories
from errpath.kernel.layout import Layout, read_json, write_json
from errpath.kernel.source.spec import load_base
from errpath.kernel.source.tree import File, Tree, digest

__all__ = ["RECIPE", "State", "combine", "load_state", "load_tree", "save_state", "split_digests"]

# Part of every key; to be raised when the way of building changes what comes out.
RECIPE = "1"


@dataclass(frozen=True)
class State:
    """Everything that decides what a kernel and its modules are."""

    key: str
    core_key: str
    config_key: str
    lineage: str
    description: str
    # Directory that holds nothing but modules (ends in `/`) -> digest of its files.
    module_digests: Mapping[str, str]

    def module_key(self, path: str) -> str:
        """The key of the module at a path such as `fs/hfs/hfs`."""
        own = next((d for d in self.module_digests if path.startswith(d)), "")
        return combine(self.core_key, path, self.module_digests.get(own, ""))


def combine(*parts: str) -> str:
    """One key made of several texts."""
    return hashlib.sha256("\0".join((RECIPE, *parts)).encode()).hexdigest()[:20]


def split_digests(
    manifest: Mapping[str, str], directories: tuple[str, ...]
) -> tuple[str, dict[str, str]]:
    """The digest of all files outside of `directories`, and that of each directory's files.

    Kconfig files count outside wherever they are: they decide the configuration.
    """
    core: list[tuple[str, str]] = []
    inside: dict[str, list[tuple[str, str]]] = {directory: [] for directory in directories}
    prefixes = tuple(directories)
    for path, token in manifest.items():
        if path.startswith(prefixes) and not path.rpartition("/")[2].startswith("Kconfig"):
            inside[next(d for d in directories if path.startswith(d))].append((path, token))
        else:
            core.append((path, token))
    return digest(core), {directory: digest(files) for directory, files in inside.items()}


def save_state(
    layout: Layout, key: str, tree: Tree, requested: Requested, compiler: str, description: str
) -> State:
    """Work out the keys of a patched tree and keep what is needed to make it again."""
    makefile = tree.read("fs/Makefile")
    text = makefile.content.decode(errors="replace") if makefile else ""
    directories = module_directories(text, requested.values, "fs")
    core, modules = split_digests(tree.manifest(), directories)
    core_key = combine("core", core, requested.key, compiler)
    config_key = combine("config", requested.key, compiler)[:12]
    with layout.making(layout.states / key) as directory:
        overlay = []
        for number, (path, file) in enumerate(sorted(tree.overlay.items())):
            overlay.append([path, file.mode if file else 0])
            if file is not None:
                (directory / f"{number}").write_bytes(file.content)
        record = {
            "base": tree.base.describe(),
            "overlay": overlay,
            "core_key": core_key,
            "config_key": config_key,
            "config": requested.text,
            "lineage": tree.base.lineage,
            "description": description,
            "module_digests": modules,
        }
        write_json(directory / "state.json", record)
    return State(key, core_key, config_key, tree.base.lineage, description, modules)


def load_state(layout: Layout, key: str) -> State | None:
    """The state of a key, or None if there is none."""
    record = read_json(layout.states / key / "state.json")
    if record is None:
        return None
    return State(
        key,
        record["core_key"],
        record["config_key"],
        record["lineage"],
        record["description"],
        record["module_digests"],
    )


def load_tree(layout: Layout, key: str) -> tuple[Tree, Requested]:
    """The sources and the configuration of a state.

    Raises:
        SourceError: the user's directory that it was made of is gone or has changed.
    """
    directory: Path = layout.states / key
    record = read_json(directory / "state.json")
    assert record is not None
    overlay = {
        path: File((directory / f"{number}").read_bytes(), mode) if mode else None
        for number, (path, mode) in enumerate(record["overlay"])
    }
    requested = parse_requested(record["config"])
    return Tree(load_base(layout, record["base"]), overlay), requested
