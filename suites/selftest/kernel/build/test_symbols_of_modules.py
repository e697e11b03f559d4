"""Which symbols modules lack: by their own symbol tables, and by what modpost prints."""

from __future__ import annotations

import subprocess
from pathlib import Path

from errpath.kernel.build.kbuild import undefined_symbols
from errpath.kernel.build.modules import lacking_symbols
from errpath.kernel.symbols.elf import linkage


def _object(directory: Path, name: str, text: str) -> Path:
    (directory / f"{name}.c").write_text(text)
    path = directory / f"{name}.ko"
    subprocess.run(["gcc", "-c", "-o", path, directory / f"{name}.c"], check=True)
    return path


def test_modpost_has_two_forms() -> None:
    log = (
        'WARNING: modpost: "xor_gen" [fs/btrfs/btrfs.ko] undefined!\n'
        "WARNING: modpost: fs/btrfs/btrfs.ko: symbol 'sha256' undefined!\n"
        "WARNING: modpost: suppressed 25 unresolved symbol warnings because there were too many)\n"
    )
    assert undefined_symbols(log) == dict.fromkeys(("xor_gen", "sha256"), "fs/btrfs/btrfs.ko")


def test_what_is_exported_by_nothing_is_found_without_modpost(tmp_path: Path) -> None:
    """More than modpost would print, in whatever words."""
    symvers = tmp_path / "vmlinux.symvers"
    symvers.write_text("0x1\tprintk\tvmlinux\tEXPORT_SYMBOL\t\n")
    many = [f"symbol_{number}" for number in range(30)]
    calls = "".join(f"{name}();" for name in many)
    declared = "".join(f"void {name}(void);" for name in many)
    user = _object(
        tmp_path, "user", f"{declared} int printk(void); void f(void){{printk();{calls}}}"
    )
    library = _object(tmp_path, "lib", "void symbol_7(void) {} char __ksymtab_symbol_7;")
    assert linkage(library).exported == {"symbol_7"}
    found = lacking_symbols({"user": user}, symvers)
    assert sorted(found) == sorted(many)
    both = lacking_symbols({"user": user, "lib": library}, symvers)
    assert sorted(both) == sorted(set(many) - {"symbol_7"})
    # A list that names nothing says nothing.
    symvers.write_text("symvers\n")
    assert lacking_symbols({"user": user}, symvers) == {}
