"""The default kernel, built in the user's own cache: what every other suite relies on."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from errpath.errors import BuildError, SourceError
from errpath.kernel import BuiltKernel, FunctionKind, KernelRequest, KernelStore, Symbolizer
from errpath.kernel.build.kconfig import DEFAULT_FRAGMENTS, load_requested, lost_lines, parse_config
from errpath.kernel.symbols.elf import function_symbols, modinfo
from errpath.util.progress import Progress, silent

pytestmark = [pytest.mark.kernel_build, pytest.mark.xdist_group("kernel_build")]


@pytest.fixture(scope="module")
def store() -> KernelStore:
    return KernelStore(progress=Progress())


@pytest.fixture(scope="module")
def kernel(store: KernelStore) -> BuiltKernel:
    return store.build(KernelRequest())


@pytest.fixture(scope="module")
def symbolizer(store: KernelStore, kernel: BuiltKernel) -> Iterator[Symbolizer]:
    with Symbolizer(kernel, store.modules(kernel, ["hfs"])) as found:
        yield found


def _super_c(store: KernelStore, kernel: BuiltKernel) -> list[str]:
    text = store.sources.text(kernel, "fs/hfs/super.c")
    assert text is not None
    return text.splitlines()


def _hfs_patch(store: KernelStore, kernel: BuiltKernel, directory: Path) -> Path:
    """The patch, with the context of this kernel's own file."""
    lines = _super_c(store, kernel)
    at = lines.index("#include <linux/module.h>")
    context = [f" {line}" for line in lines[at - 2 : at + 1]]
    after = [f" {line}" for line in lines[at + 1 : at + 3]]
    added = ['+const char hfs_selftest[] = "errpath selftest";']
    hunk = [f"@@ -{at - 1},5 +{at - 1},6 @@", *context, *added, *after]
    path = directory / "hfs.patch"
    path.write_text("\n".join(["--- a/fs/hfs/super.c", "+++ b/fs/hfs/super.c", *hunk]) + "\n")
    return path


def test_default_kernel_is_whole(kernel: BuiltKernel) -> None:
    for path in (kernel.bzimage, kernel.vmlinux, kernel.system_map, kernel.symvers):
        assert path.stat().st_size > 10_000, path
    assert kernel.release.startswith("7.2.")
    assert kernel.description.startswith("debian:7.2 (7.2.")
    requested = load_requested(DEFAULT_FRAGMENTS, [])
    assert lost_lines(requested, parse_config(kernel.config.read_text())) == {}


def test_second_call_is_instant(store: KernelStore, kernel: BuiltKernel) -> None:
    store.modules(kernel, ["hfs"])
    began = time.monotonic()
    again = KernelStore(progress=silent())
    assert again.build(KernelRequest()) == kernel
    again.modules(kernel, ["hfs"])
    assert time.monotonic() - began < 0.2


def test_modules_come_with_what_they_need(store: KernelStore, kernel: BuiltKernel) -> None:
    names = [module.name for module in store.modules(kernel, ["ext4"])]
    assert names[-1] == "ext4"
    assert {"jbd2", "mbcache"} <= set(names)
    for module in store.modules(kernel, ["ext4"]):
        assert module.stripped.stat().st_size < module.path.stat().st_size
        assert modinfo(module.stripped)["vermagic"][0].startswith(kernel.release)
    with pytest.raises(SourceError, match="nosuchfs"):
        store.modules(kernel, ["nosuchfs"])


def test_patch_to_hfs_costs_one_module(
    store: KernelStore, kernel: BuiltKernel, tmp_path: Path
) -> None:
    request = dataclasses.replace(KernelRequest(), patches=(_hfs_patch(store, kernel, tmp_path),))
    patched = store.build(request)
    assert patched.key == kernel.key
    assert "1 patch" in patched.description
    (plain_hfs,), (patched_hfs,) = store.modules(kernel, ["hfs"]), store.modules(patched, ["hfs"])
    assert plain_hfs.key != patched_hfs.key
    assert b"errpath selftest" in patched_hfs.path.read_bytes()
    assert b"errpath selftest" not in plain_hfs.path.read_bytes()
    (plain_plus,) = store.modules(kernel, ["hfsplus"])
    (patched_plus,) = store.modules(patched, ["hfsplus"])
    assert plain_plus == patched_plus


def test_module_that_does_not_compile_is_one_line(
    store: KernelStore, kernel: BuiltKernel, tmp_path: Path
) -> None:
    path = _hfs_patch(store, kernel, tmp_path)
    path.write_text(path.read_text().replace("const char", "no such type"))
    broken = store.build(dataclasses.replace(KernelRequest(), patches=(path,)))
    with pytest.raises(BuildError, match=r"fs/hfs/super\.c:\d+:\d+: error: ") as caught:
        store.modules(broken, ["hfs"])
    assert "\n" not in str(caught.value)


def test_inlined_frames_of_a_module(
    store: KernelStore, kernel: BuiltKernel, symbolizer: Symbolizer
) -> None:
    (hfs,) = store.modules(kernel, ["hfs"])
    size = next(s.size for s in function_symbols(hfs.path) if s.name == "hfs_init_fs_context")
    found = [symbolizer.resolve("hfs_init_fs_context", at, "hfs") for at in range(1, size)]
    assert all(found), "an address inside of the function has no line"
    assert {frames[-1].function for frames in found} == {"hfs_init_fs_context"}
    # For an instruction or two of what allocation profiling inlines, such as alloc_tag_save(), the
    # compiler notes the header's line and no inlined frame.
    files = {frames[-1].file for frames in found}
    assert "fs/hfs/super.c" in files
    assert files <= {"fs/hfs/super.c", "include/linux/sched.h"}
    inlined = [frames for frames in found if len(frames) > 1]
    assert any(frames[0].inlined and frames[0].file == "include/linux/slab.h" for frames in inlined)
    lines = _super_c(store, kernel)
    # The line that the allocation was inlined into.
    assert any("alloc" in lines[frames[-1].line - 1] for frames in inlined)


def test_lines_of_vmlinux(symbolizer: Symbolizer) -> None:
    frames = symbolizer.resolve("setup_bdev_super", 0x40)
    assert frames[-1].function == "setup_bdev_super"
    assert frames[-1].file == "fs/super.c"
    assert symbolizer.resolve("setup_bdev_super", 0x100000) == ()
    assert symbolizer.resolve("no_such_function", 0x10) == ()
    assert symbolizer.resolve("setup_bdev_super", 0x10, "nosuchmodule") == ()


def test_function_of_init_text(symbolizer: Symbolizer) -> None:
    frames = symbolizer.resolve("init_hfs_fs", 0x20, "hfs")
    assert frames[-1].function == "init_hfs_fs"
    assert frames[-1].file == "fs/hfs/super.c"


def test_what_became_of_a_function(symbolizer: Symbolizer) -> None:
    assert symbolizer.find_function("setup_bdev_super").kind is FunctionKind.CODE
    hfs = symbolizer.find_function("hfs_fill_super")
    assert (hfs.kind, hfs.modules) == (FunctionKind.CODE, ("hfs",))
    assert symbolizer.find_function("alloc_super").kind is FunctionKind.INLINED
    assert symbolizer.find_function("no_such_function").kind is FunctionKind.UNKNOWN
