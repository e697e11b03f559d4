"""A kernel tree of a dozen lines: it "builds" by concatenating files, without a compiler.

Its Makefile takes the same targets and variables as the kernel's, and its merge script the same
arguments, so that everything around the compiler can be tested in milliseconds. A file
`foo.modinfo` beside foo's sources is added to the module's `.modinfo`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from errpath.kernel import KernelStore
from errpath.kernel.features.table import Feature, load_table
from errpath.util.progress import Progress, silent

__all__ = ["FRAGMENT", "fake_store", "make_tree", "write_fragment"]

FRAGMENT = (
    "CONFIG_BASE=y\nCONFIG_FOO_FS=m\nCONFIG_BAR_FS=m\nCONFIG_BARLIB=m\n# CONFIG_NET is not set\n"
)

_MAKEFILE = """\
CORE := init/main.c fs/super.c include/linux/fs.h
bzImage: modules_prepare
\t@echo "  CC      init/main.o"
\t@echo half > $(O)/half.o
\t@cat $(wildcard slow)
\t@mkdir -p $(O)/arch/x86/boot $(O)/include/config
\t@cat $(CORE) > $(O)/vmlinux
\t@! grep -H -n SYNTAX-ERROR $(CORE) | sed 's/SYNTAX-ERROR.*/1: error: expected expression/' >&2 \\
\t  || ! grep -q SYNTAX-ERROR $(CORE)
\t@echo ffffffff81000000 T start_kernel > $(O)/System.map
\t@cp $(O)/vmlinux $(O)/arch/x86/boot/bzImage
\t@echo symvers > $(O)/vmlinux.symvers
\t@echo 7.2.0-fake > $(O)/include/config/kernel.release
\t@echo core >> $(O)/count
modules_prepare:
\t@mkdir -p $(O)
modules:
\t@cat $(M)/*.c > $(O)/ext.bin
\t@printf 'name=ext\\0depends=\\0' > $(O)/ext.modinfo
\t@cd $(O) && objcopy -I binary -O elf64-x86-64 --add-section .modinfo=ext.modinfo \\
\t  ext.bin $(M)/ext.ko
fs/bar/bar.ko: need := $(filter fs/bar/barlib.ko,$(MAKECMDGOALS))
probe_%.o:
\t@! grep -H -n SYNTAX-ERROR $(M)/probe_$*.c \\
\t  | sed 's/SYNTAX-ERROR.*/1: error: expected expression/' >&2 \\
\t  || ! grep -q SYNTAX-ERROR $(M)/probe_$*.c
\t@cp $(M)/probe_$*.c $(M)/$@
%.ko:
\t@$(if $(filter fs/bar/bar.ko,$@),$(if $(need),,echo 'WARNING: modpost: "barlib_run" \
[fs/bar/bar.ko] undefined!' >&2))
\t@mkdir -p $(O)/$(@D)
\t@cat $(@D)/*.c > $(O)/$@.bin
\t@printf 'name=$(*F)\\0depends=$(if $(filter bar,$(*F)),barlib)\\0' > $(O)/$@.modinfo
\t@cat $(wildcard $(@D)/$(*F).modinfo) /dev/null >> $(O)/$@.modinfo
\t@cd $(O) && objcopy -I binary -O elf64-x86-64 --add-section .modinfo=$@.modinfo $@.bin $@
\t@echo $(*F) >> $(O)/count
"""

_MERGE = """\
#!/bin/sh
# merge_config.sh -n -O DIRECTORY FRAGMENT; the fake Kconfig knows every symbol but one.
grep -v '^CONFIG_DROPPED' "$4" > "$3/.config"
"""

_FILES = {
    "Makefile": _MAKEFILE,
    "Kbuild": "obj-y += init/\n",
    "Kconfig": "config BASE\n\nconfig DROPPED\n",
    "scripts/kconfig/merge_config.sh": _MERGE,
    "init/main.c": "int main_thing;\n",
    "include/linux/fs.h": "struct super_block;\n",
    "fs/super.c": "one\ntwo\nthree\nfour\nfive\nsix\nseven\neight\n",
    "fs/Makefile": "obj-y := super.o\nobj-$(CONFIG_FOO_FS) += foo/\nobj-$(CONFIG_BAR_FS)\t+= bar/\n"
    "obj-$(CONFIG_BASE) += base/\n",
    "fs/base/Makefile": "obj-y += base.o\n",
    "fs/base/base.c": "base\n",
    "fs/foo/Kconfig": "config FOO_FS\n",
    "fs/foo/Makefile": "obj-$(CONFIG_FOO_FS) += foo.o\nfoo-objs := super.o \\\n\tinode.o\n",
    "fs/foo/super.c": "foo one\nfoo two\nfoo three\nfoo four\nfoo five\n",
    "fs/foo/inode.c": "foo inode\n",
    "fs/bar/Makefile": "obj-$(CONFIG_BAR_FS) += bar.o\nobj-$(CONFIG_BARLIB) += barlib.o\n",
    "fs/bar/bar.c": "barlib_run();\n",
    "fs/bar/barlib.c": "EXPORT_SYMBOL_GPL(barlib_run);\n",
}


def make_tree(root: Path) -> Path:
    """Write the tree below `root`."""
    for path, text in _FILES.items():
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
    (root / "scripts/kconfig/merge_config.sh").chmod(0o755)
    return root


def write_fragment(directory: Path) -> Path:
    """A configuration fragment for the tree."""
    path = directory / "fake.config"
    path.write_text(FRAGMENT)
    return path


def fake_store(
    root: Path,
    *,
    progress: Progress | None = None,
    table: Callable[[], tuple[Feature, ...]] = load_table,
) -> KernelStore:
    """A store that never asks for a compiler."""
    return KernelStore(
        root, progress=progress or silent(), jobs=1, compiler=lambda: "fakecc 1", table=table
    )
