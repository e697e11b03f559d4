"""Whole types for debuggers, as modules of their own: the kernel's, and those of a filesystem.

The guests' kernels have DEBUG_INFO_REDUCED: functions and lines, but types only where a source file
defines them itself. Another kernel would be another binary. So a source file with the headers that
debuggers ask for is compiled with whole types, and another with the includes of the filesystem's
superblock code; debuggers look an incomplete type up by its name in whatever they have read. The
modules are never loaded.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from errpath.errors import InfrastructureError
from errpath.filesystems import load_filesystem
from errpath.kernel import BuiltKernel, KernelStore
from errpath.kernel.symbols.elf import section_bytes
from errpath.util.cache import scratch_directory

__all__ = ["Types", "build_types", "types_source"]

# Of the kernel's own module: what the kernel's gdb scripts and drgn's helpers use.
_HEADERS = (
    "asm/switch_to.h",
    *("linux/backing-dev.h", "linux/bio.h", "linux/blkdev.h", "linux/buffer_head.h"),
    *("linux/cdev.h", "linux/clk-provider.h", "linux/cred.h", "linux/dcache.h"),
    *("linux/device.h", "linux/fdtable.h", "linux/file.h", "linux/fs.h", "linux/fs_context.h"),
    *("linux/fs_struct.h", "linux/hrtimer.h", "linux/idr.h", "linux/interrupt.h", "linux/irq.h"),
    *("linux/irqdesc.h", "linux/kallsyms.h", "linux/kobject.h", "linux/kthread.h"),
    *("linux/maple_tree.h", "linux/mm.h", "linux/module.h", "linux/mount.h", "linux/nsproxy.h"),
    *("linux/of_fdt.h", "linux/page_ext.h", "linux/pagemap.h", "linux/percpu.h", "linux/pid.h"),
    *("linux/pid_namespace.h", "linux/radix-tree.h", "linux/rbtree.h", "linux/sched.h"),
    *("linux/sched/signal.h", "linux/sched/task.h", "linux/slab.h", "linux/stackdepot.h"),
    *(
        "linux/timekeeper_internal.h",
        "linux/timer.h",
        "linux/utsname.h",
        "linux/vmalloc.h",
        "linux/wait.h",
    ),
    *("linux/workqueue.h", "linux/xarray.h"),
)
# Headers that are no API, by their paths in the source.
_PRIVATE = (
    *("drivers/base/base.h", "fs/mount.h", "kernel/module/internal.h"),
    *("kernel/printk/printk_ringbuffer.h",),
    *("kernel/time/tick-internal.h", "kernel/workqueue_internal.h", "mm/slab.h"),
)
# Beside the filesystem's own: tasks, superblocks, buffers, pages.
_COMMON = ("linux/module.h", "linux/fs.h", "linux/sched.h", "linux/buffer_head.h", "linux/mm.h")
_INCLUDE = re.compile(r'(?m)^#include ([<"][\w/.-]+\.h[">])')
_LICENSE = 'MODULE_LICENSE("GPL");\n'
_KBUILD = """\
# SPDX-License-Identifier: GPL-2.0-only
obj-m := {name}.o
ccflags-y := -I$(srctree)/{directory}
ccflags-y += -femit-struct-debug-detailed=any -fno-eliminate-unused-debug-types
"""
# The constants of the kernel's gdb scripts are its headers' and its configuration's.
_CONSTANTS_KBUILD = """\
scripts := $(srctree)/scripts/gdb/linux/constants.py.in
ifneq ($(wildcard $(scripts)),)
ccflags-y += -DCONSTANTS='"$(obj)/constants.py"'
$(obj)/{name}.o: $(obj)/constants.py
quiet_cmd_constants = GEN     $@
      cmd_constants = $(CPP) -x c -P $(c_flags) $< > $@
$(obj)/constants.py: $(scripts) FORCE
	$(call if_changed,constants)
targets += constants.py
endif
"""
_CONSTANTS_SECTION = ".errpath_gdb"
_CONSTANTS_SOURCE = f"""\
#ifdef CONSTANTS
asm(".pushsection {_CONSTANTS_SECTION},\\"\\",@progbits\\n"
    ".incbin \\"" CONSTANTS "\\"\\n"
    ".popsection\\n");
#endif
"""
# Above it are the headers' declarations.
_MARK = "<!-- end-c-headers -->"


@dataclass(frozen=True)
class Types:
    """Files with debug information alone."""

    kernel: Path
    filesystem: Path

    @property
    def files(self) -> tuple[Path, ...]:
        """Both; the filesystem's first, whose structures may have the names of others'."""
        return self.filesystem, self.kernel

    def constants(self) -> str:
        """linux/constants.py of the kernel's gdb scripts; "" where the kernel has none."""
        text = section_bytes(self.kernel, _CONSTANTS_SECTION).decode(errors="replace")
        return text.partition(_MARK)[2]


def types_source(source: str) -> str:
    """The source of a filesystem's module, from that of the filesystem: its includes, in their
    order."""
    lines = [f"#include <{name}>" for name in _COMMON]
    lines += [f"#include {name}" for name in _INCLUDE.findall(source)]
    return "\n".join([*dict.fromkeys(lines), _LICENSE])


def _kernel_source() -> str:
    """The source of the kernel's module: the headers that this kernel has."""
    lines = [_if_there(f"<{name}>") for name in _HEADERS]
    lines += [_if_there(f'"{name}"') for name in _PRIVATE]
    return "\n".join([*lines, _CONSTANTS_SOURCE, _LICENSE])


def _if_there(header: str) -> str:
    return f"#if __has_include({header})\n#include {header}\n#endif"


def build_types(store: KernelStore, kernel: BuiltKernel, filesystem: str) -> Types:
    """The types of a kernel and of a filesystem on it; compiled once.

    Raises:
        InfrastructureError: the kernel's source is not there any more.
        BuildError: they do not compile.
    """
    path = PurePosixPath(load_filesystem(filesystem).source)
    text = store.sources.text(kernel, str(path))
    if text is None:
        raise InfrastructureError(f"types: no {path}; expected the source of the kernel")
    return Types(
        _build(store, kernel, "errpath_kernel_types", ".", _kernel_source(), _CONSTANTS_KBUILD),
        _build(store, kernel, "errpath_types", str(path.parent), types_source(text), ""),
    )


def _build(
    store: KernelStore, kernel: BuiltKernel, name: str, directory: str, source: str, rules: str
) -> Path:
    with scratch_directory() as scratch:
        place = scratch / name
        place.mkdir()
        kbuild = _KBUILD.format(name=name, directory=directory) + rules.format(name=name)
        (place / "Kbuild").write_text(kbuild)
        (place / f"{name}.c").write_text(source)
        return store.external(kernel, place, allow_undefined=True).path
