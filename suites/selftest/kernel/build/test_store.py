"""The store, end to end, over a tree that builds without a compiler."""

from __future__ import annotations

import dataclasses
import errno
import io
import os
import subprocess
import sys
from pathlib import Path
from typing import ClassVar

import pytest

from errpath.errors import (
    BuildError,
    ConfigError,
    ErrpathError,
    InfrastructureError,
    PatchError,
    SourceError,
    UsageError,
)
from errpath.kernel import KernelRequest, KernelStore
from errpath.kernel.build.modules import is_aliased
from errpath.util.progress import Progress
from suites.selftest.disk import Disk
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
from typing import ClassVar
from errpath.kernel import KernelRequest
from errpath.util.progress import Progress
from suites.selftest.kernel.fake_tree import fake_store
store = fake_store(Path(sys.argv[1]), progress=Progress(sys.stdout))
request = KernelRequest(spec=sys.argv[2], fragments=(Path(sys.argv[3]),))
print("key", store.build(request).key, flush=True)
"""


@dataclasses.dataclass(frozen=True)
class Testbed:
    """A fake tree, its configuration and a store."""

    # pytest takes a class in a test module for a test if its name begins so.
    __test__: ClassVar[bool] = False

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
def testbed(tmp_path: Path) -> Testbed:
    return Testbed(tmp_path, make_tree(tmp_path / "tree"), fake_store(tmp_path / "cache"))


def test_second_build_compiles_nothing(testbed: Testbed) -> None:
    first = testbed.store.build(testbed.request())
    second = fake_store(testbed.root / "cache").build(testbed.request())
    assert first == second
    assert first.release == "7.2.0-fake"
    assert first.vmlinux.read_text().startswith("int main_thing")
    assert testbed.count("core") == 1


def test_patch_to_a_module_leaves_the_kernel_alone(testbed: Testbed) -> None:
    plain = testbed.store.build(testbed.request())
    patched = testbed.store.build(testbed.request(FOO_PATCH))
    assert patched.key == plain.key
    assert patched.state != plain.state
    assert testbed.count("core") == 1
    (before,) = testbed.store.modules(plain, ["foo"])
    (after,) = testbed.store.modules(patched, ["foo"])
    assert before.key != after.key
    assert b"foo two" in before.path.read_bytes()
    assert b"foo TWO" in after.path.read_bytes()
    # The other filesystem did not notice.
    assert (
        testbed.store.modules(plain, ["bar"])[-1].key
        == testbed.store.modules(patched, ["bar"])[-1].key
    )
    assert testbed.count("core") == 1


def test_modules_of_an_earlier_kernel_are_built_from_its_sources(testbed: Testbed) -> None:
    plain = testbed.store.build(testbed.request())
    testbed.store.modules(testbed.store.build(testbed.request(FOO_PATCH)), ["foo"])
    (module,) = testbed.store.modules(plain, ["foo"])
    assert b"foo two" in module.path.read_bytes()
    testbed.store.modules(testbed.store.build(testbed.request(FOO_PATCH, CORE_PATCH)), ["foo"])
    text = testbed.store.sources.text(plain, "fs/foo/super.c")
    assert text is not None
    assert "foo two" in text
    assert testbed.store.sources.text(plain, "fs/foo/none.c") is None


def test_files_of_directories_are_those_of_the_patched_kernel(testbed: Testbed) -> None:
    patched = testbed.store.build(testbed.request(FOO_PATCH))
    files = dict(testbed.store.sources.files(patched, ["fs/foo", "Makefile", "none"]))
    assert {name.rpartition("/")[0] for name in files} == {"", "fs/foo"}
    assert b"foo TWO" in files["fs/foo/super.c"].content


def test_patch_to_the_core_is_another_kernel(testbed: Testbed) -> None:
    plain = testbed.store.build(testbed.request())
    patched = testbed.store.build(testbed.request(CORE_PATCH))
    assert patched.key != plain.key
    assert "TWO" in patched.vmlinux.read_text()
    assert "TWO" not in plain.vmlinux.read_text()
    assert "1 patch" in patched.description


def test_a_fragments_comment_is_not_part_of_the_key(testbed: Testbed) -> None:
    request = testbed.request()
    plain = testbed.store.build(request)
    request.fragments[0].write_text("# a remark\n" + request.fragments[0].read_text())
    assert testbed.store.build(request).key == plain.key
    added = dataclasses.replace(request, kconfig_add=("CONFIG_BAZ=y",))
    assert testbed.store.build(added).key != plain.key


def test_module_dependencies_come_first(testbed: Testbed) -> None:
    kernel = testbed.store.build(testbed.request())
    modules = testbed.store.modules(kernel, ["bar"])
    assert [module.name for module in modules] == ["barlib", "bar"]
    assert modules[1].depends == ("barlib",)
    assert all(module.stripped.exists() for module in modules)
    assert testbed.store.modules(kernel, ["fs/bar/bar.ko", "base"]) == modules


def test_unknown_module_is_named(testbed: Testbed) -> None:
    kernel = testbed.store.build(testbed.request())
    with pytest.raises(SourceError, match="has no module nosuch"):
        testbed.store.modules(kernel, ["nosuch"])


def test_configuration_is_made_again_only_when_kconfig_changes(testbed: Testbed) -> None:
    def configured() -> int:
        (log,) = (testbed.root / "cache/work").glob("*/obj-*/errpath.log")
        return log.read_text().count("merged")

    script = testbed.tree / "scripts/kconfig/merge_config.sh"
    script.write_text(f"{script.read_text()}echo merged\n")
    testbed.store.build(testbed.request())
    testbed.store.build(testbed.request(CORE_PATCH))
    assert configured() == 1
    (testbed.tree / "fs/foo/Kconfig").write_text("config FOO_FS\nconfig MORE\n")
    testbed.store.build(testbed.request())
    assert configured() == 2


def test_lost_option_is_named(testbed: Testbed) -> None:
    with pytest.raises(ConfigError, match=r"CONFIG_DROPPED=y \(--kconfig-add\) is absent"):
        testbed.store.build(testbed.request(kconfig_add=("CONFIG_DROPPED=y",)))
    assert testbed.count("core") == 0


def test_compile_error_is_one_line_and_leaves_no_kernel(testbed: Testbed) -> None:
    (testbed.tree / "fs/super.c").write_text("SYNTAX-ERROR\n")
    with pytest.raises(BuildError, match=r"fs/super\.c:1:1: error: expected expression") as caught:
        testbed.store.build(testbed.request())
    assert "\n" not in str(caught.value)
    assert testbed.store.inventory.list() == ()
    (testbed.tree / "fs/super.c").write_text("fixed\n")
    assert "fixed" in testbed.store.build(testbed.request()).vmlinux.read_text()


def test_patch_that_does_not_apply_builds_nothing(testbed: Testbed) -> None:
    with pytest.raises(PatchError, match=r"patch: fs/foo/super\.c: hunk 1 of 1"):
        testbed.store.build(testbed.request(FOO_PATCH.replace("-foo two", "-not there")))
    assert testbed.count("core") == 0


def test_edited_directory_is_another_state(testbed: Testbed) -> None:
    plain = testbed.store.build(testbed.request())
    (testbed.tree / "fs/super.c").write_text("edited\n")
    with pytest.raises(SourceError, match="has changed since"):
        testbed.store.modules(plain, ["foo"])
    assert testbed.store.build(testbed.request()).key != plain.key


def test_two_processes_build_once(testbed: Testbed) -> None:
    fifo = testbed.root / "slow"
    os.mkfifo(fifo)
    makefile = testbed.tree / "Makefile"
    makefile.write_text(makefile.read_text().replace("$(wildcard slow)", str(fifo)))
    fragment = testbed.request().fragments[0]
    argv = [
        sys.executable,
        "-c",
        PROGRAM,
        str(testbed.root / "cache"),
        str(testbed.tree),
        str(fragment),
    ]
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
    assert testbed.count("core") == 1


def test_killed_build_is_redone(testbed: Testbed) -> None:
    fifo = testbed.root / "slow"
    os.mkfifo(fifo)
    makefile = testbed.tree / "Makefile"
    makefile.write_text(makefile.read_text().replace("$(wildcard slow)", str(fifo)))
    argv = [sys.executable, "-c", PROGRAM, str(testbed.root / "cache"), str(testbed.tree)]
    argv.append(str(testbed.request().fragments[0]))
    with subprocess.Popen(argv, stdout=subprocess.DEVNULL) as first, fifo.open("w"):
        first.kill()
    assert testbed.store.inventory.list() == ()
    fifo.unlink()
    fifo.write_text("")
    out = io.StringIO()
    kernel = fake_store(testbed.root / "cache", progress=Progress(out)).build(testbed.request())
    assert kernel.vmlinux.read_text().startswith("int main_thing")
    assert testbed.count("core") == 1
    assert "cut off" in out.getvalue()


def test_full_disk_is_one_line(testbed: Testbed, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("shutil.copyfile", full)
    with pytest.raises(InfrastructureError, match="the disk is full") as caught:
        testbed.store.build(testbed.request())
    assert "\n" not in str(caught.value)
    assert testbed.store.inventory.list() == ()


def test_a_disk_without_room_for_a_kernel_is_named_before_it_is_built(
    testbed: Testbed, disk: Disk
) -> None:
    store = fake_store(disk.path / "cache", progress=Progress(io.StringIO()))
    with pytest.raises(InfrastructureError, match=r"MiB are free, building .* takes about 600 MiB"):
        store.build(testbed.request())
    assert testbed.count("core") == 0
    disk.resize("700M")
    assert store.build(testbed.request()).vmlinux.is_file()


def test_a_tarball_without_room_leaves_nothing(
    testbed: Testbed, disk: Disk, tmp_path: Path
) -> None:
    """What is known not to fit is not begun; what does not fit all the same is not kept."""
    big = testbed.tree / "big"
    archive = tmp_path / "linux.tar.gz"
    store = fake_store(disk.path / "cache", progress=Progress(io.StringIO()))
    for content, message in (
        (os.urandom(300_000), "MiB are free, unpacking linux.tar.gz takes about 3 MiB"),
        (bytes(5_000_000), "the disk is full"),
    ):
        big.write_bytes(content)
        name = testbed.tree.name
        subprocess.run(["tar", "-C", testbed.tree.parent, "-czf", archive, name], check=True)
        with pytest.raises(InfrastructureError, match=f"^{disk.path}.*{message}"):
            store.build(dataclasses.replace(testbed.request(), spec=str(archive)))
        assert list(store.layout.sources.glob("*")) == []
    disk.resize("700M")
    assert store.build(dataclasses.replace(testbed.request(), spec=str(archive))).vmlinux.is_file()


def test_full_disk_seen_by_make_is_one_line(testbed: Testbed) -> None:
    makefile = testbed.tree / "Makefile"
    makefile.write_text(
        makefile.read_text().replace(
            "\t@mkdir -p $(O)/arch",
            "\t@echo No space left on device; exit 1\n\t@mkdir -p $(O)/arch",
        )
    )
    with pytest.raises(InfrastructureError, match="the disk is full"):
        testbed.store.build(testbed.request())


def test_external_module_is_built_in_a_copy(testbed: Testbed) -> None:
    kernel = testbed.store.build(testbed.request())
    ours = testbed.root / "ext"
    ours.mkdir()
    with pytest.raises(SourceError, match="makes no module"):
        testbed.store.external(kernel, ours)
    (ours / "Makefile").write_text("obj-m := ext.o\n")
    (ours / "ext.c").write_text("first")
    first = testbed.store.external(kernel, ours)
    assert first.name == "ext"
    assert testbed.store.external(kernel, ours) == first
    assert sorted(path.name for path in ours.iterdir()) == ["Makefile", "ext.c"]
    (ours / "ext.c").write_text("second")
    second = testbed.store.external(kernel, ours)
    assert b"second" in second.path.read_bytes()
    assert b"first" in first.path.read_bytes()


def test_list_and_remove(testbed: Testbed) -> None:
    plain = testbed.store.build(testbed.request())
    testbed.store.modules(plain, ["foo"])
    patched = testbed.store.build(testbed.request(CORE_PATCH))
    assert {kernel.key for kernel in testbed.store.inventory.list()} == {plain.key, patched.key}
    assert testbed.store.inventory.size() > 0
    with pytest.raises(UsageError, match="no kernel with key 'zzz'"):
        testbed.store.inventory.remove("zzz")
    before = testbed.store.inventory.size()
    removed = testbed.store.inventory.remove(plain.key[:10])
    assert [kernel.key for kernel in removed.kernels] == [plain.key]
    assert removed.freed == before - testbed.store.inventory.size() >= removed.kernels[0].size > 0
    assert [kernel.key for kernel in testbed.store.inventory.list()] == [patched.key]
    assert list((testbed.root / "cache/modules").iterdir()) == []
    assert list((testbed.root / "cache/work").iterdir()) != []
    with pytest.raises(ErrpathError, match="was removed from the cache"):
        testbed.store.modules(plain, ["foo"])
    before = testbed.store.inventory.size()
    assert testbed.store.inventory.remove("").freed == before - testbed.store.inventory.size()
    assert testbed.store.inventory.list() == ()
    assert list((testbed.root / "cache/work").iterdir()) == []
    assert testbed.store.build(testbed.request()).key == plain.key


def test_prebuilt_directory(testbed: Testbed) -> None:
    kernel = testbed.store.build(testbed.request())
    testbed.store.modules(kernel, ["bar"])
    (objects,) = (testbed.root / "cache/work").glob("*/obj-*")
    fragments = testbed.request().fragments
    request = KernelRequest(spec=str(objects), name="mine", fragments=fragments)
    imported = testbed.store.build(request)
    assert imported == testbed.store.build(request)
    assert imported.name == "mine"
    assert imported.vmlinux.read_bytes() == kernel.vmlinux.read_bytes()
    assert [module.name for module in testbed.store.modules(imported, ["bar"])] == ["barlib", "bar"]
    with pytest.raises(SourceError, match="has no module foo"):
        testbed.store.modules(imported, ["foo"])
    with pytest.raises(UsageError, match="takes no patch"):
        testbed.store.build(dataclasses.replace(request, kconfig_add=("CONFIG_A=y",)))


def test_what_a_module_wants_by_an_alias_is_loaded_before_it(testbed: Testbed) -> None:
    """In a kernel built here and in a finished build; what nothing provides is left out."""
    (testbed.tree / "fs/foo/foo.modinfo").write_text("softdep=pre: crypto-sum nowhere\0")
    library = testbed.tree / "fs/bar/barlib.c"
    library.write_text(f'{library.read_text()}MODULE_ALIAS_CRYPTO("sum");\n')
    (testbed.tree / "fs/bar/barlib.modinfo").write_text("alias=sum\0alias=crypto-sum\0")
    kernel = testbed.store.build(testbed.request())
    assert [one.name for one in testbed.store.modules(kernel, ["foo"])] == ["barlib", "foo"]
    (objects,) = (testbed.root / "cache/work").glob("*/obj-*")
    finished = KernelRequest(spec=str(objects), fragments=testbed.request().fragments)
    imported = testbed.store.build(finished)
    assert [one.name for one in testbed.store.modules(imported, ["foo"])] == ["barlib", "foo"]


def test_a_word_may_be_a_modules_name_and_anothers_alias(testbed: Testbed) -> None:
    """As f2fs wants crc32, a library, and by crypto_alloc_shash() the algorithm of that name."""
    (testbed.tree / "fs/foo/foo.modinfo").write_text("softdep=pre: bar\0")
    library = testbed.tree / "fs/bar/barlib.c"
    library.write_text(f'{library.read_text()}MODULE_ALIAS_CRYPTO("bar");\n')
    (testbed.tree / "fs/bar/barlib.modinfo").write_text("alias=bar\0alias=crypto-bar\0")
    (testbed.tree / "fs/bar/bar.c").write_text("bar\n")
    kernel = testbed.store.build(testbed.request())
    wanted = {"bar", "barlib", "foo"}
    assert {one.name for one in testbed.store.modules(kernel, ["foo"])} == wanted
    (objects,) = (testbed.root / "cache/work").glob("*/obj-*")
    finished = KernelRequest(spec=str(objects), fragments=testbed.request().fragments)
    imported = testbed.store.build(finished)
    assert {one.name for one in testbed.store.modules(imported, ["foo"])} == wanted


@pytest.mark.parametrize(
    ("alias", "text", "is_it"),
    [
        ("crypto-crc32c", 'MODULE_ALIAS_CRYPTO("crc32c");', True),
        ("crc32c", 'MODULE_ALIAS_CRYPTO("crc32c");', True),
        ("nls", 'MODULE_ALIAS("nls");', True),
        # As the kernel asks for an algorithm, a plain alias does not answer.
        ("crypto-crc32c", 'MODULE_ALIAS("crc32c");', False),
        ("crc32c", 'MODULE_ALIAS_CRYPTO("crc32c-generic");', False),
    ],
)
def test_aliases_in_sources(alias: str, text: str, is_it: bool) -> None:
    assert is_aliased(f"x\n{text}\n", alias) is is_it


def test_a_finished_build_without_what_tests_need_names_all_of_it(testbed: Testbed) -> None:
    testbed.store.build(testbed.request())
    (objects,) = (testbed.root / "cache/work").glob("*/obj-*")
    request = KernelRequest(spec=str(objects))
    with pytest.raises(ConfigError, match="cannot be tested: ") as caught:
        testbed.store.build(request)
    text = str(caught.value)
    for name in ("DEBUG_KMEMLEAK", "FAIL_FUNCTION", "VIRTIO_MMIO", "MODULES"):
        assert f"CONFIG_{name} is absent" in text
    # What is for the time of a build alone, a wish, a number or to be off is nobody's business.
    for name in ("EXPERT", "KCOV", "NR_CPUS", "KMEMLEAK_AUTO_SCAN", "HFS_FS", "FAILSLAB"):
        assert f"{name} is" not in text
    assert text.endswith("expected each to be y")
    assert not list((testbed.root / "cache/builds").glob("*prebuilt*"))


def test_a_compressed_module_is_said_to_be_one(testbed: Testbed) -> None:
    testbed.store.build(testbed.request())
    (objects,) = (testbed.root / "cache/work").glob("*/obj-*")
    packed = objects / "fs" / "foo-fs.ko.zst"
    packed.parent.mkdir(exist_ok=True)
    packed.write_bytes(b"")
    fragments = testbed.request().fragments
    kernel = testbed.store.build(KernelRequest(spec=str(objects), fragments=fragments))
    with pytest.raises(SourceError, match=r"foo-fs\.ko\.zst: compressed; expected foo_fs\.ko"):
        testbed.store.modules(kernel, ["foo-fs"])


def test_jobs_must_be_positive() -> None:
    with pytest.raises(UsageError, match="at least 1, got 0"):
        KernelStore(progress=Progress(io.StringIO()), jobs=0)
