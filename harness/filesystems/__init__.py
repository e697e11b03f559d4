"""Filesystem definitions: one YAML file per filesystem, beside this loader."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from harness import yamlfile
from harness.errors import UsageError

__all__ = ["Filesystem", "known_filesystems", "load_filesystem"]

_HERE = Path(__file__).parent


@dataclass(frozen=True)
class Filesystem:
    """What a mount case needs to know of a filesystem. The name is the file's."""

    # Name that mount(2) takes.
    fstype: str
    # Configuration lines that build it as a module.
    kconfig: tuple[str, ...]
    # Modules that carry it, without what they depend on.
    modules: tuple[str, ...]
    # Its fill_super, the function that get_tree_bdev() calls, and the file that defines it.
    fill_super: str
    # Its fs_context_operations.reconfigure.
    reconfigure: str
    source: str
    # An option that its parser refuses, as key and value, with the errno that it gives.
    bad_option: tuple[str, ...] = ()
    bad_option_errno: str = "EINVAL"
    # Valid options that make the context own memory (strings, tables).
    good_options: tuple[tuple[str, ...], ...] = ()
    name: str = field(default="", init=False)


def known_filesystems() -> tuple[str, ...]:
    """Names of the filesystems that are defined, sorted."""
    return tuple(sorted(path.stem for path in _HERE.glob("*.yaml")))


def load_filesystem(name: str) -> Filesystem:
    """The definition of one filesystem.

    Raises:
        UsageError: it is not defined; DefinitionError: its file is wrong.
    """
    path = _HERE / f"{name}.yaml"
    if not path.is_file():
        known = ", ".join(known_filesystems())
        raise UsageError(f"filesystem {name}: not defined; expected one of: {known}")
    filesystem = yamlfile.load(path, Filesystem)
    object.__setattr__(filesystem, "name", name)
    return filesystem
