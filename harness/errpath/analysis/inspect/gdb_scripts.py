"""The kernel's own gdb scripts (Documentation/process/debugging/gdb-kernel-debugging.rst), laid out
as a build with CONFIG_GDB_SCRIPTS has them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from errpath.errors import AbsentError
from errpath.kernel import BuiltKernel, KernelStore

__all__ = ["lay_out_scripts"]

_DIRECTORY = "scripts/gdb"
_LOADER = "vmlinux-gdb.py"
_CONSTANTS = "linux/constants.py"
# The loader refuses a kernel with reduced types. Here the types come from a file beside it.
_REDUCED = re.compile(r"(?m)^(LX_CONFIG_DEBUG_INFO_REDUCED\s*=).*$")


def lay_out_scripts(
    store: KernelStore, kernel: BuiltKernel, constants: str, directory: Path
) -> Path | None:
    """Write the scripts of a kernel's source into a directory; the file for gdb to source, None
    where the source has none. `constants` is what its headers make of linux/constants.py."""
    if not constants:
        return None
    for name, content in _scripts(store, kernel):
        target = directory / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    loader = directory / _DIRECTORY / _LOADER
    if not loader.is_file():
        return None
    (directory / _DIRECTORY / _CONSTANTS).write_text(_REDUCED.sub(r"\1 False", constants))
    # Where a build with CONFIG_GDB_SCRIPTS has it: it looks for scripts/gdb beside itself.
    return loader.rename(directory / _LOADER)


def _scripts(store: KernelStore, kernel: BuiltKernel) -> Iterator[tuple[str, bytes]]:
    try:
        for path, file in store.sources.files(kernel, (_DIRECTORY,)):
            if path.endswith(".py"):
                yield path, file.content
    except AbsentError:
        # A finished build of the user's: its source may be where it was built.
        source = Path(kernel.source_prefix)
        for found in sorted((source / _DIRECTORY).rglob("*.py")):
            yield str(found.relative_to(source)), found.read_bytes()
