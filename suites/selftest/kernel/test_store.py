"""The store, end to end, over a tree that builds without a compiler."""

from __future__ import annotations

import dataclasses
import errno
import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness.errors import (
    BuildError,
    ConfigError,
    ErrpathError,
    PatchError,
    RigError,
    SourceError,
    UsageError,
)
from harness.kernel import KernelRequest, KernelStore
from harness.progress import Progress
from suites.selftest.kernel.fake_tree import fake_store, make_tree, write_fragment

CORE_PATCH = """\
--- a/fs/super.c
+++ b/fs/super.c
@@ -1,3 +1,3 @@
 one
-two
+TWO
 three
"""
FOO_PATCH = """\
--- a/fs/foo/super.c
+++ b/fs/foo/super.c
@@ -1,3 +1,3 @@
 foo one
-foo two
+foo TWO
 foo three
"""
# What a second process runs.
PROGRAM = """
import sys
from pathlib import Path
from harness.kernel import KernelRequest
from harness.progress import Progress
from suites.selftest.kernel.fake_tree import fake_store
store = fake_store(Path(sys.argv[1]), progress=Progress(sys.stdout))
request = KernelRequest(spec=sys.argv[2], fragments=(Path(sys.argv[3]),))
print("key", store.build(request).key, flush=True)
"""


@dataclasses.dataclass(frozen=True)
class Rig:
    """A fake tree, its configuration and a store."""

    root: Path
    tree: Path
    store: KernelStore

    def request(self, *patches: str, **changes: object) -> KernelRequest:
        """A request for the fake tree with patches of these texts."""
        paths = []
        for number, text in enumerate(patches):
            path = self.root / f"{number}-{abs(hash(text))}.patch"
            path.write_text(text)
            paths.append(path)
        fragments = (write_fragment(self.root),)
        plain = KernelRequest(spec=str(self.tree), patches=tuple(paths), fragments=fragments)
        return dataclasses.replace(plain, **changes)  # type: ignore[arg-type]

    def count(self, word: str) -> int:
        """How often something was built, in all object trees."""
        files = (self.root / "cache/work").glob("*/obj-*/count")
        return sum(file.read_text().split().count(word) for file in files)


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path, make_tree(tmp_path / "tree"), fake_store(tmp_path / "cache"))


def test_second_build_compiles_nothing(rig: Rig) -> None:
    first = rig.store.build(rig.request())
    second = fake_store(rig.root / "cache").build(rig.request())
    assert first == second
    assert first.release == "7.2.0-fake"
    assert first.vmlinux.read_text().startswith("int main_thing")
    assert rig.count("core") == 1


def test_patch_to_a_module_leaves_the_kernel_alone(rig: Rig) -> None:
    plain = rig.store.build(rig.request())
    patched = rig.store.build(rig.request(FOO_PATCH))
    assert patched.key == plain.key
    assert patched.state != plain.state
    assert rig.count("core") == 1
    (before,) = rig.store.modules(plain, ["foo"])
    (after,) = rig.store.modules(patched, ["foo"])
    assert before.key != after.key
    assert b"foo two" in before.path.read_bytes()
    assert b"foo TWO" in after.path.read_bytes()
    # The other filesystem did not notice.
    assert rig.store.modules(plain, ["bar"])[-1].key == rig.store.modules(patched, ["bar"])[-1].key
    assert rig.count("core") == 1


def test_modules_of_an_earlier_kernel_are_built_from_its_sources(rig: Rig) -> None:
    plain = rig.store.build(rig.request())
    rig.store.modules(rig.store.build(rig.request(FOO_PATCH)), ["foo"])
    (module,) = rig.store.modules(plain, ["foo"])
    assert b"foo two" in module.path.read_bytes()
    rig.store.modules(rig.store.build(rig.request(FOO_PATCH, CORE_PATCH)), ["foo"])
    text = rig.store.source(plain, "fs/foo/super.c")
    assert text is not None
    assert "foo two" in text
    assert rig.store.source(plain, "fs/foo/none.c") is None


def test_patch_to_the_core_is_another_kernel(rig: Rig) -> None:
    plain = rig.store.build(rig.request())
    patched = rig.store.build(rig.request(CORE_PATCH))
    assert patched.key != plain.key
    assert "TWO" in patched.vmlinux.read_text()
    assert "TWO" not in plain.vmlinux.read_text()
    assert "1 patch" in patched.description


def test_a_fragments_comment_is_not_part_of_the_key(rig: Rig) -> None:
    request = rig.request()
    plain = rig.store.build(request)
    request.fragments[0].write_text("# a remark\n" + request.fragments[0].read_text())
    assert rig.store.build(request).key == plain.key
    added = dataclasses.replace(request, kconfig_add=("CONFIG_BAZ=y",))
    assert rig.store.build(added).key != plain.key


def test_module_dependencies_come_first(rig: Rig) -> None:
    kernel = rig.store.build(rig.request())
    modules = rig.store.modules(kernel, ["bar"])
    assert [module.name for module in modules] == ["barlib", "bar"]
    assert modules[1].depends == ("barlib",)
    assert all(module.stripped.exists() for module in modules)
    assert rig.store.modules(kernel, ["fs/bar/bar.ko", "base"]) == modules


def test_unknown_module_is_named(rig: Rig) -> None:
    kernel = rig.store.build(rig.request())
    with pytest.raises(SourceError, match="has no module nosuch"):
        rig.store.modules(kernel, ["nosuch"])


def test_configuration_is_made_again_only_when_kconfig_changes(rig: Rig) -> None:
    def configured() -> int:
        (log,) = (rig.root / "cache/work").glob("*/obj-*/errpath.log")
        return log.read_text().count("merged")

    script = rig.tree / "scripts/kconfig/merge_config.sh"
    script.write_text(f"{script.read_text()}echo merged\n")
    rig.store.build(rig.request())
    rig.store.build(rig.request(CORE_PATCH))
    assert configured() == 1
    (rig.tree / "fs/foo/Kconfig").write_text("config FOO_FS\nconfig MORE\n")
    rig.store.build(rig.request())
    assert configured() == 2


def test_lost_option_is_named(rig: Rig) -> None:
    with pytest.raises(ConfigError, match=r"CONFIG_DROPPED=y \(--kconfig-add\) is absent"):
        rig.store.build(rig.request(kconfig_add=("CONFIG_DROPPED=y",)))
    assert rig.count("core") == 0


def test_compile_error_is_one_line_and_leaves_no_kernel(rig: Rig) -> None:
    (rig.tree / "fs/super.c").write_text("SYNTAX-ERROR\n")
    with pytest.raises(BuildError, match=r"fs/super\.c:1:1: error: expected expression") as caught:
        rig.store.build(rig.request())
    assert "\n" not in str(caught.value)
    assert rig.store.list() == ()
    (rig.tree / "fs/super.c").write_text("fixed\n")
    assert "fixed" in rig.store.build(rig.request()).vmlinux.read_text()


def test_patch_that_does_not_apply_builds_nothing(rig: Rig) -> None:
    with pytest.raises(PatchError, match=r"patch: fs/foo/super\.c: hunk 1 of 1"):
        rig.store.build(rig.request(FOO_PATCH.replace("-foo two", "-not there")))
    assert rig.count("core") == 0


def test_edited_directory_is_another_state(rig: Rig) -> None:
    plain = rig.store.build(rig.request())
    (rig.tree / "fs/super.c").write_text("edited\n")
    with pytest.raises(SourceError, match="has changed since"):
        rig.store.modules(plain, ["foo"])
    assert rig.store.build(rig.request()).key != plain.key


def test_two_processes_build_once(rig: Rig) -> None:
    fifo = rig.root / "slow"
    os.mkfifo(fifo)
    makefile = rig.tree / "Makefile"
    makefile.write_text(makefile.read_text().replace("$(wildcard slow)", str(fifo)))
    fragment = rig.request().fragments[0]
    argv = [sys.executable, "-c", PROGRAM, str(rig.root / "cache"), str(rig.tree), str(fragment)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as first:
        # Opening blocks until the first process is in the middle of its build, which then waits
        # for the end of this block.
        with fifo.open("w"):
            second = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
            assert second.stdout is not None
            waiting = next(line for line in second.stdout if "waiting for" in line)
        rest = second.communicate()[0]
    assert f"process {first.pid}, building" in waiting
    assert first.returncode == second.returncode == 0
    assert "key " in rest
    assert rig.count("core") == 1


def test_killed_build_is_redone(rig: Rig) -> None:
    fifo = rig.root / "slow"
    os.mkfifo(fifo)
    makefile = rig.tree / "Makefile"
    makefile.write_text(makefile.read_text().replace("$(wildcard slow)", str(fifo)))
    argv = [sys.executable, "-c", PROGRAM, str(rig.root / "cache"), str(rig.tree)]
    argv.append(str(rig.request().fragments[0]))
    with subprocess.Popen(argv, stdout=subprocess.DEVNULL) as first, fifo.open("w"):
        first.kill()
    assert rig.store.list() == ()
    fifo.unlink()
    fifo.write_text("")
    out = io.StringIO()
    kernel = fake_store(rig.root / "cache", progress=Progress(out)).build(rig.request())
    assert kernel.vmlinux.read_text().startswith("int main_thing")
    assert rig.count("core") == 1
    assert "cut off" in out.getvalue()


def test_full_disk_is_one_line(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("shutil.copyfile", full)
    with pytest.raises(RigError, match="the disk is full") as caught:
        rig.store.build(rig.request())
    assert "\n" not in str(caught.value)
    assert rig.store.list() == ()


def test_full_disk_seen_by_make_is_one_line(rig: Rig) -> None:
    makefile = rig.tree / "Makefile"
    makefile.write_text(
        makefile.read_text().replace(
            "\t@mkdir -p $(O)/arch",
            "\t@echo No space left on device; exit 1\n\t@mkdir -p $(O)/arch",
        )
    )
    with pytest.raises(RigError, match="the disk is full"):
        rig.store.build(rig.request())


def test_external_module_is_built_in_a_copy(rig: Rig) -> None:
    kernel = rig.store.build(rig.request())
    ours = rig.root / "ext"
    ours.mkdir()
    with pytest.raises(SourceError, match="makes no module"):
        rig.store.external(kernel, ours)
    (ours / "Makefile").write_text("obj-m := ext.o\n")
    (ours / "ext.c").write_text("first")
    first = rig.store.external(kernel, ours)
    assert first.name == "ext"
    assert rig.store.external(kernel, ours) == first
    assert sorted(path.name for path in ours.iterdir()) == ["Makefile", "ext.c"]
    (ours / "ext.c").write_text("second")
    second = rig.store.external(kernel, ours)
    assert b"second" in second.path.read_bytes()
    assert b"first" in first.path.read_bytes()


def test_list_and_remove(rig: Rig) -> None:
    plain = rig.store.build(rig.request())
    rig.store.modules(plain, ["foo"])
    patched = rig.store.build(rig.request(CORE_PATCH))
    assert {kernel.key for kernel in rig.store.list()} == {plain.key, patched.key}
    assert rig.store.size() > 0
    with pytest.raises(UsageError, match="no kernel with key 'zzz'"):
        rig.store.remove("zzz")
    (gone,) = rig.store.remove(plain.key[:10])
    assert gone.key == plain.key
    assert [kernel.key for kernel in rig.store.list()] == [patched.key]
    assert list((rig.root / "cache/modules").iterdir()) == []
    assert list((rig.root / "cache/work").iterdir()) != []
    with pytest.raises(ErrpathError, match="was removed from the cache"):
        rig.store.modules(plain, ["foo"])
    rig.store.remove("")
    assert rig.store.list() == ()
    assert list((rig.root / "cache/work").iterdir()) == []
    assert rig.store.build(rig.request()).key == plain.key


def test_prebuilt_directory(rig: Rig) -> None:
    kernel = rig.store.build(rig.request())
    rig.store.modules(kernel, ["bar"])
    (objects,) = (rig.root / "cache/work").glob("*/obj-*")
    request = KernelRequest(spec=str(objects), name="mine")
    imported = rig.store.build(request)
    assert imported == rig.store.build(request)
    assert imported.name == "mine"
    assert imported.vmlinux.read_bytes() == kernel.vmlinux.read_bytes()
    assert [module.name for module in rig.store.modules(imported, ["bar"])] == ["barlib", "bar"]
    with pytest.raises(SourceError, match="has no module foo"):
        rig.store.modules(imported, ["foo"])
    with pytest.raises(UsageError, match="takes no patch"):
        rig.store.build(dataclasses.replace(request, kconfig_add=("CONFIG_A=y",)))


def test_jobs_must_be_positive() -> None:
    with pytest.raises(UsageError, match="at least 1, got 0"):
        KernelStore(progress=Progress(io.StringIO()), jobs=0)
