"""The workspace: least work, no write through a link, and healing after a kill."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

from errpath.guest.definition import load_guest
from errpath.kernel.build.repair import repair
from errpath.kernel.build.tree_copy import seed
from errpath.kernel.build.workspace import MAX_OBJECT_TREES, Workspace
from errpath.kernel.source.directory import PristineDirectory
from errpath.kernel.source.tree import LINK, File, Tree
from errpath.util.progress import silent
from errpath.util.resources import GUESTS
from suites.selftest.kernel.fake_tree import make_tree

OLD = 1_000_000_000


@pytest.fixture
def base(tmp_path: Path) -> PristineDirectory:
    root = make_tree(tmp_path / "pristine")
    for path in root.rglob("*"):
        if path.is_file():
            os.utime(path, (OLD, OLD))
    return PristineDirectory(root, "line", "label")


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "work")


def test_first_sync_copies_everything(base: PristineDirectory, workspace: Workspace) -> None:
    workspace.sync(Tree(base), silent())
    assert (workspace.source / "fs/foo/super.c").read_bytes() == (
        base.root / "fs/foo/super.c"
    ).read_bytes()
    assert workspace.sync(Tree(base), silent()) == 0


def test_only_what_differs_is_rewritten_and_looks_new(
    base: PristineDirectory, workspace: Workspace
) -> None:
    workspace.sync(Tree(base), silent())
    overlay = {
        "fs/super.c": File(b"patched\n"),
        "fs/foo/inode.c": None,
        "fs/new/new.c": File(b"new\n"),
        "fs/link": File(b"super.c", LINK),
    }
    assert workspace.sync(Tree(base, overlay), silent()) == 4
    super_c = workspace.source / "fs/super.c"
    assert super_c.read_text() == "patched\n"
    assert super_c.stat().st_mtime > OLD
    assert not (workspace.source / "fs/foo/inode.c").exists()
    assert (workspace.source / "fs/link").read_text() == "patched\n"
    assert (workspace.source / "init/main.c").stat().st_mtime == OLD
    # The pristine copy shares its files with the workspace and must not change with it.
    assert "patched" not in (base.root / "fs/super.c").read_text()
    # And back: an object made from the patched file must look old now.
    os.utime(super_c, (OLD, OLD))
    assert workspace.sync(Tree(base), silent()) == 4
    assert super_c.read_text().startswith("one")
    assert super_c.stat().st_mtime > OLD
    assert (workspace.source / "fs/foo/inode.c").exists()
    assert not (workspace.source / "fs/new").exists()


class _Killed(BaseException):
    pass


class _KilledTree(Tree):
    """Sources that are cut off after the first file."""

    def fetch(self, paths: Iterable[str]) -> Iterator[tuple[str, File]]:
        for number, found in enumerate(super().fetch(paths)):
            if number == 1:
                raise _Killed
            yield found


def test_kill_between_two_files_heals(base: PristineDirectory, workspace: Workspace) -> None:
    workspace.sync(Tree(base), silent())
    overlay = {"fs/super.c": File(b"patched\n"), "init/main.c": File(b"patched\n")}
    with pytest.raises(_Killed):
        workspace.sync(_KilledTree(base, overlay), silent())
    assert (workspace.source / "fs/super.c").read_text() == "patched\n"
    # The manifest still describes the old sources; without the note this would find no difference.
    assert workspace.sync(Tree(base), silent()) > 0
    assert (workspace.source / "fs/super.c").read_text().startswith("one")
    assert workspace.sync(Tree(base, overlay), silent()) == 2
    assert (workspace.source / "init/main.c").read_text() == "patched\n"


def test_kill_during_the_first_copy_heals(
    base: PristineDirectory, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = os.link
    calls = iter(range(5))

    def cut_off(*args: object, **words: object) -> None:
        if next(calls, None) is None:
            raise _Killed
        link(*args, **words)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr("os.link", cut_off)
        with pytest.raises(_Killed):
            workspace.sync(Tree(base), silent())
    assert not workspace.source.exists()
    workspace.sync(Tree(base), silent())
    assert (workspace.source / "fs/bar/barlib.c").exists()


def _written(directory: Path) -> Callable[..., Path]:
    def write(name: str, age: float) -> Path:
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
        os.utime(path, (OLD - age, OLD - age))
        return path

    return write


def test_heal_removes_what_was_being_written(tmp_path: Path) -> None:
    write = _written(tmp_path)
    good = [write("fs/a.o", 101), write("fs/.a.o.cmd", 100), write("include/x.h", 90)]
    good += [write(".config", 0), write("errpath.log", 0)]
    # Rebuilt and cut off: younger than the command that would have been noted after it.
    torn = [write("fs/b.o", 50), write("fs/.b.o.cmd", 200)]
    # Never finished.
    torn += [write("fs/c.o", 40), write("fs/built-in.a", 40)]
    # The last command to be written may be half a file.
    torn += [write("fs/d.o", 3), write("fs/.d.o.cmd", 2)]
    assert repair(tmp_path, silent()) == len(torn)
    assert all(path.exists() for path in good)
    assert not any(path.exists() for path in torn)


def test_heal_leaves_what_is_older_than_the_build(tmp_path: Path) -> None:
    write = _written(tmp_path)
    # A tool's archive has no command noted beside it; made again, it makes every object seem old.
    kept = [write("tools/objtool/libsubcmd.a", 500), write("fs/.x.o.cmd", 500)]
    torn = [write("fs/built-in.a", 40), write("fs/y.o", 2), write("fs/.z.o.cmd", 200)]
    torn += [write("fs/z.o", 50)]
    assert repair(tmp_path, silent(), since=OLD - 300) == len(torn)
    assert all(path.exists() for path in kept)
    assert not any(path.exists() for path in torn)


def test_heal_of_nothing(tmp_path: Path) -> None:
    assert repair(tmp_path, silent()) == 0


def test_second_object_tree_is_a_copy_that_knows_where_it_is(workspace: Workspace) -> None:
    first = workspace.object_tree("one")
    write = _written(first)
    write("errpath.log", 0)
    write("errpath.core", 0)
    write("fs/a.o", 100)
    command = write("tools/objtool/.check.o.cmd", 100)
    command.write_text(f"deps := {first}/tools/objtool/check.h\n")
    os.utime(command, (OLD, OLD))
    second = workspace.object_tree("two")
    assert (second / "fs/a.o").stat().st_mtime == OLD - 100
    copied = second / "tools/objtool/.check.o.cmd"
    assert copied.read_text() == f"deps := {second}/tools/objtool/check.h\n"
    assert copied.stat().st_mtime == OLD
    # It has another configuration, so it is not known to be built.
    assert not (second / "errpath.core").exists()
    assert command.read_text() == f"deps := {first}/tools/objtool/check.h\n"


def test_object_tree_that_was_cut_off_is_no_example(workspace: Workspace) -> None:
    first = workspace.object_tree("one")
    _written(first)("errpath.log", 0)
    _written(first)("fs/torn.o", 0)
    (first / "errpath.busy").touch()
    assert list(workspace.object_tree("two").iterdir()) == []


def test_oldest_object_tree_makes_room(workspace: Workspace) -> None:
    for number in range(MAX_OBJECT_TREES + 2):
        log = workspace.object_tree(f"{number:02}") / "errpath.log"
        log.touch()
        os.utime(log, (OLD + number, OLD + number))
    kept = sorted(path.name for path in workspace.directory.glob("obj-*"))
    assert kept == [f"obj-{number:02}" for number in range(2, MAX_OBJECT_TREES + 2)]


def test_kernels_of_all_guest_definitions_keep_their_objects() -> None:
    """With two to spare: filesystems that stand apart, and a configuration of the user's."""
    definitions = [load_guest(path.stem) for path in GUESTS.glob("*.yaml")]
    assert len({definition.fragments for definition in definitions}) + 2 <= MAX_OBJECT_TREES


def test_seed_replaces_a_half_made_copy(tmp_path: Path) -> None:
    _written(tmp_path / "old")("fs/a.o", 0)
    _written(tmp_path / "new.new")("fs/half.o", 0)
    seed(tmp_path / "old", tmp_path / "new")
    assert [path.name for path in (tmp_path / "new/fs").iterdir()] == ["a.o"]
