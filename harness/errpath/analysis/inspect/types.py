"""The types that a filesystem's superblock code uses, for debuggers, as a module of its own.

The guests' kernels have DEBUG_INFO_REDUCED: functions and lines, but types only where a source file
defines them itself. Another kernel would be another binary. So one source file with the includes of
the filesystem's own is compiled with whole types; debuggers look an incomplete type up by its name
in whatever they have read. The module is never loaded.
"""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath

from errpath.errors import InfrastructureError
from errpath.filesystems import load_filesystem
from errpath.kernel import BuiltKernel, KernelStore
from errpath.util.cache import scratch_directory

__all__ = ["types_module", "types_source"]

_NAME = "errpath_types"
# What is asked for beside the filesystem's own: tasks, superblocks, buffers, pages.
_COMMON = ("linux/module.h", "linux/fs.h", "linux/sched.h", "linux/buffer_head.h", "linux/mm.h")
_INCLUDE = re.compile(r'(?m)^#include ([<"][\w/.-]+\.h[">])')
_KBUILD = """\
# SPDX-License-Identifier: GPL-2.0-only
obj-m := {name}.o
ccflags-y := -I$(srctree)/{directory}
ccflags-y += -femit-struct-debug-detailed=any -fno-eliminate-unused-debug-types
"""


def types_source(source: str) -> str:
    """The source of the module, from that of a filesystem: its includes, in their order."""
    lines = [f"#include <{name}>" for name in _COMMON]
    lines += [f"#include {name}" for name in _INCLUDE.findall(source)]
    return "\n".join([*dict.fromkeys(lines), 'MODULE_LICENSE("GPL");', ""])


def types_module(store: KernelStore, kernel: BuiltKernel, filesystem: str) -> Path:
    """The module with the types of a filesystem on a kernel; compiled once.

    Raises:
        InfrastructureError: the kernel's source is not there any more.
        BuildError: it does not compile.
    """
    path = PurePosixPath(load_filesystem(filesystem).source)
    text = store.sources.text(kernel, str(path))
    if text is None:
        raise InfrastructureError(f"--types: no {path}; expected the source of the kernel")
    with scratch_directory() as scratch:
        directory = scratch / _NAME
        directory.mkdir()
        (directory / "Kbuild").write_text(_KBUILD.format(name=_NAME, directory=path.parent))
        (directory / f"{_NAME}.c").write_text(types_source(text))
        return store.external(kernel, directory, allow_undefined=True).path
