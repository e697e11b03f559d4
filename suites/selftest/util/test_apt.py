"""Debian sources: mirrors, versions, and what happens without a network."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from errpath.errors import InfrastructureError, SourceError, ToolMissingError
from errpath.kernel.layout import Layout
from errpath.kernel.source.debian import DebianSource
from errpath.util.apt import (
    Apt,
    Candidate,
    archive_of,
    compare,
    find_mirror,
    private_apt,
    series_of,
)
from errpath.util.process import run
from errpath.util.progress import Progress, silent
from suites.selftest.kernel.fake_tree import make_tree

DEB822 = """\
# a remark
Types: deb
URIs: http://security.example/debian-security
Suites: bookworm-security
Components: main

Types: deb
URIs: http://disabled.example/debian
Suites: bookworm
Components: main
Enabled: no

Types: deb-src
URIs: http://sources.example/debian
Suites: bookworm
Components: main

Types: deb deb-src
# between fields
URIs: http://first.example/debian/
 http://second.example/debian
Suites: bookworm
Components: main
"""
ONE_LINE = """\
#deb http://off.example/debian x main
deb-src http://src.example/debian x main
deb [arch=amd64 signed-by=/k] http://on.example/debian bookworm main
"""


def _sources(etc: Path, name: str, text: str) -> Path:
    (etc / "sources.list.d").mkdir(exist_ok=True)
    (etc / "sources.list").touch()
    (etc / name).write_text(text)
    return etc


@pytest.mark.parametrize(
    ("name", "text", "mirror"),
    [
        ("sources.list.d/debian.sources", DEB822, "http://first.example/debian"),
        ("sources.list", ONE_LINE, "http://on.example/debian"),
        ("sources.list.d/m.list", ONE_LINE, "http://on.example/debian"),
        ("sources.list", "deb https://m.example/debian/ x main\n", "https://m.example/debian"),
    ],
)
def test_mirror(tmp_path: Path, name: str, text: str, mirror: str) -> None:
    assert find_mirror(_sources(tmp_path, name, text)) == mirror


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("sources.list.d/o.list", "deb http://m.example/ubuntu x main\n"),
        ("sources.list", "deb cdrom:[x]/debian x main\n"),
        ("sources.list.d/off.list.disabled", ONE_LINE),
        ("other", ""),
    ],
)
def test_no_mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, text: str) -> None:
    etc = _sources(tmp_path, name, text)
    with pytest.raises(SourceError, match=r"no Debian mirror .* expected one, or ERRPATH_MIRROR"):
        find_mirror(etc)
    monkeypatch.setenv("ERRPATH_MIRROR", "http://mine.example/debian/")
    assert find_mirror(etc) == "http://mine.example/debian"


def test_sources_that_apt_cannot_read(tmp_path: Path) -> None:
    etc = _sources(tmp_path, "sources.list", "bogus\n")
    with pytest.raises(SourceError, match=r"^apt: Malformed .*; expected sources, or"):
        find_mirror(etc)


def test_newer_series_beats_newer_version() -> None:
    old = Candidate("linux-source-7.9", "7.9.99-1", "")
    new = Candidate("linux-source-7.10", "7.10.1-1", "")
    assert compare(new, old) > 0
    assert compare(old, new) < 0
    assert compare(old, old) == 0
    assert series_of("linux-source-7.10") == (7, 10)


@dataclass(frozen=True)
class FakeApt(Apt):
    """An archive of kernel packages, or a network that is down."""

    versions: dict[str, str] = field(default_factory=dict)
    down: bool = False
    tree: Path = Path()

    def update(self) -> None:
        if self.down:
            raise InfrastructureError("no route to host")

    def packages(self, pattern: str) -> tuple[str, ...]:
        return tuple(self.versions)

    def newest(self, package: str) -> Candidate | None:
        version = self.versions.get(package)
        return Candidate(package, version, self.suite) if version else None

    def download(self, candidate: Candidate, directory: Path) -> Path:
        if self.down:
            raise InfrastructureError("no route to host")
        package = directory / "package"
        (package / "DEBIAN").mkdir(parents=True)
        (package / "DEBIAN/control").write_text(
            f"Package: {candidate.package}\nVersion: {candidate.version}\nArchitecture: all\n"
            "Maintainer: Nobody <nobody@example.org>\nDescription: sources\n"
        )
        tarball = package / f"usr/src/{candidate.package}.tar.xz"
        tarball.parent.mkdir(parents=True)
        run(["tar", "-cJf", tarball, "-C", self.tree.parent, self.tree.name])
        run(["dpkg-deb", "--build", package, directory / f"{candidate.package}_1_all.deb"])
        return directory / f"{candidate.package}_1_all.deb"


@dataclass
class Archive:
    """A debian source whose apts and clock can be changed."""

    layout: Layout
    apts: list[Apt]
    now: float = 1000.0
    said: list[str] = field(default_factory=list)

    def source(self) -> DebianSource:
        def apts(_: Path) -> Iterator[Apt]:
            return iter(self.apts)

        class Listener(Progress):
            def say(listener, text: str) -> None:  # noqa: N805
                self.said.append(text)

        return DebianSource(self.layout, Listener(), clock=lambda: self.now, apts=apts)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return make_tree(tmp_path / "linux-source-7.2")


def _archive(tmp_path: Path, *apts: Apt) -> Archive:
    return Archive(Layout(tmp_path / "cache"), list(apts))


def test_own_suites_come_first(tmp_path: Path, tree: Path) -> None:
    own = FakeApt(versions={"linux-source-7.2": "7.2.1-1"}, tree=tree)
    private = FakeApt(versions={"linux-source-7.2": "7.2.9-1"}, tree=tree, suite="unstable")
    archive = _archive(tmp_path, own, private)
    source = archive.source().open("7.2")
    assert source.label == "debian:7.2 (7.2.1-1)"
    assert (source.root / "fs/super.c").exists()
    assert "fs/super.c" in source.manifest()
    latest = archive.source().open("latest")
    assert latest.label == "debian:latest (7.2.9-1)"


def test_newest_of_the_private_suites(tmp_path: Path, tree: Path) -> None:
    archive = _archive(
        tmp_path,
        FakeApt(versions={"linux-source-6.1": "6.1.1-1"}, tree=tree),
        FakeApt(versions={"linux-source-7.2": "7.2.9-1~bpo13+1"}, tree=tree, suite="backports"),
        FakeApt(versions={"linux-source-7.2": "7.2.10-1"}, tree=tree, suite="unstable"),
    )
    assert archive.source().open("7.2").label == "debian:7.2 (7.2.10-1)"


def test_answer_is_fresh_for_a_day(tmp_path: Path, tree: Path) -> None:
    versions = {"linux-source-7.2": "7.2.1-1"}
    archive = _archive(tmp_path, FakeApt(versions=versions, tree=tree))
    archive.source().open("7.2")
    versions["linux-source-7.2"] = "7.2.2-1"
    archive.now += 80000
    assert archive.source().open("7.2").label.endswith("(7.2.1-1)")
    archive.now += 80000
    assert archive.source().open("7.2").label.endswith("(7.2.2-1)")


def test_offline_uses_the_cached_version_and_says_so(tmp_path: Path, tree: Path) -> None:
    versions = {"linux-source-7.2": "7.2.1-1"}
    archive = _archive(tmp_path, FakeApt(versions=versions, tree=tree, suite="unstable"))
    archive.source().open("7.2")
    archive.apts = [FakeApt(down=True, suite="unstable")]
    archive.now += 1e6
    archive.said.clear()
    assert archive.source().open("7.2").label.endswith("(7.2.1-1)")
    assert any("using debian:7.2 (7.2.1-1)" in line for line in archive.said)
    # Not at once again: each attempt costs seconds without a network.
    archive.said.clear()
    archive.now += 600
    archive.source().open("7.2")
    assert archive.said == []
    archive.now += 600
    archive.source().open("7.2")
    assert any("using debian:7.2" in line for line in archive.said)


def test_offline_without_a_cache_tells_why(tmp_path: Path) -> None:
    archive = _archive(tmp_path, FakeApt(), FakeApt(down=True, suite="unstable"))
    with pytest.raises(SourceError, match="unstable: no route to host"):
        archive.source().open("7.2")


def test_private_apt_keeps_to_itself(tmp_path: Path) -> None:
    keyring = tmp_path / "keys.gpg"
    with pytest.raises(ToolMissingError, match="debian-archive-keyring"):
        private_apt(tmp_path / "root", "http://m.example/debian", "sid", keyrings=(keyring,))
    keyring.touch()
    apt = private_apt(tmp_path / "root", "http://m.example/debian", "sid", keyrings=(keyring,))
    assert apt.suite == "sid"
    line = f"deb [signed-by={keyring}] http://m.example/debian sid main\n"
    assert (tmp_path / "root/sources.list").read_text() == line
    paths = [word.partition("=")[2] for word in apt.options if word.startswith("Dir::")]
    assert len(paths) == 7
    assert all(path.startswith(str(tmp_path / "root")) for path in paths)


def test_unknown_series_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"expected debian:X\.Y or debian:latest"):
        DebianSource(Layout(tmp_path), silent()).open("sid")
    with pytest.raises(SourceError, match="apt knows no such package"):
        _archive(tmp_path, FakeApt()).source().open("9.9")


@pytest.mark.parametrize(
    ("suite", "archive"),
    [
        ("trixie-backports", "http://m.example/debian"),
        ("bookworm-security", "http://m.example/debian-security"),
    ],
)
def test_security_updates_have_an_archive_of_their_own(suite: str, archive: str) -> None:
    assert archive_of("http://m.example/debian", suite) == archive
