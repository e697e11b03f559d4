"""`errpath doctor`, over a PATH and a KVM that are made up."""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from errpath.cli import doctor
from errpath.cli.doctor import Finding, Need
from errpath.errors import InfrastructureError
from errpath.filesystems import hfsprogs
from errpath.guest import accel
from errpath.guest.accel import KvmVerdict


class _Host:
    """A host whose programs are those that a test puts there."""

    def __init__(self, directory: Path) -> None:
        self.bin = directory / "bin"
        self.bin.mkdir()
        self.calls = directory / "calls"

    def have(self, name: str, does: str = "exit 0") -> None:
        path = self.bin / name
        path.write_text(f'#!/bin/sh\necho "{name} $*" >> {self.calls}\n{does}\n')
        path.chmod(0o755)


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> _Host:
    made = _Host(tmp_path)
    monkeypatch.setenv("PATH", str(made.bin))
    monkeypatch.setenv("ERRPATH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(accel, "kvm_verdict", lambda **_: KvmVerdict(False, "no /dev/kvm"))
    return made


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, list[str]]]:
    parser = argparse.ArgumentParser()
    doctor.add_parser(parser.add_subparsers())

    def call(*words: str) -> tuple[int, list[str]]:
        arguments = parser.parse_args(["doctor", *words])
        status = int(arguments.handler(arguments))
        return status, capfd.readouterr().out.splitlines()

    return call


def test_a_bare_machine_is_told_everything_and_no_traceback(host: _Host) -> None:
    """Not even a compiler to ask: that is what `doctor` is for."""
    findings = doctor.examine()
    missing = {finding.package for finding in findings if finding.mark == "missing"}
    assert {"gcc", "make", "qemu-system-x86", "libjansson-dev", "libc6-dev"} <= missing
    assert any(finding.text == "gcc: not found; Debian package gcc" for finding in findings)
    # Without QEMU nobody can say anything about KVM.
    assert not any("KVM" in finding.text for finding in findings)


def _only(monkeypatch: pytest.MonkeyPatch, *needs: Need) -> None:
    monkeypatch.setattr(doctor, "NEEDS", needs)
    monkeypatch.setattr(doctor, "_image_makers", lambda: ())
    monkeypatch.setattr(hfsprogs, "find_program", lambda name: Path("/sbin") / name)
    monkeypatch.setattr(doctor, "_drgn", lambda: Finding("ok", "drgn"))


def test_a_machine_that_has_all(
    host: _Host, monkeypatch: pytest.MonkeyPatch, run: Callable[..., tuple[int, list[str]]]
) -> None:
    _only(monkeypatch, Need("gcc", "gcc", lambda: True))
    host.have("qemu-system-x86_64")
    status, lines = run()
    assert status == 0
    assert lines[:2] == ["ok       gcc", "note     no KVM, TCG instead: no /dev/kvm"]
    assert lines[2] == "ok       fsck.hfsplus"
    assert lines[3] == "ok       drgn"
    assert lines[4].startswith("ok       cache ")
    assert len(lines) == 5


def test_what_is_missing_is_named_with_its_package(
    host: _Host, monkeypatch: pytest.MonkeyPatch, run: Callable[..., tuple[int, list[str]]]
) -> None:
    _only(monkeypatch, Need("bison", "bison", lambda: False))
    status, lines = run()
    assert status == 1
    assert lines[0] == "missing  bison: not found; Debian package bison"
    assert lines[-1].startswith("`errpath doctor --install` installs the missing packages")


def test_install_asks_apt_for_what_is_missing_and_looks_again(
    host: _Host, monkeypatch: pytest.MonkeyPatch, run: Callable[..., tuple[int, list[str]]]
) -> None:
    _only(
        monkeypatch,
        Need("bison", "bison", lambda: (host.bin / "bison").exists()),
        Need("flex", "flex", lambda: True),
    )
    monkeypatch.setattr("os.geteuid", lambda: 0)
    host.have("apt-get", f'case "$*" in *install*) : > {host.bin}/bison;; esac')
    status, lines = run("--install")
    assert status == 0
    assert lines[0] == "ok       bison"
    assert host.calls.read_text().splitlines() == [
        "apt-get -qq update",
        "apt-get -qq install --no-install-recommends -y bison",
    ]


def test_a_failing_update_is_a_note_and_a_failing_install_an_error(
    host: _Host, monkeypatch: pytest.MonkeyPatch, run: Callable[..., tuple[int, list[str]]]
) -> None:
    _only(monkeypatch, Need("bison", "bison", lambda: False))
    monkeypatch.setattr("os.geteuid", lambda: 0)
    host.have("apt-get", "echo 'E: Unable to locate package' >&2; exit 100")
    with pytest.raises(
        InfrastructureError, match="apt-get: failed with status 100: E: Unable to locate"
    ):
        run("--install")
    assert len(host.calls.read_text().splitlines()) == 2


def test_install_without_root_says_the_command(
    host: _Host, monkeypatch: pytest.MonkeyPatch, run: Callable[..., tuple[int, list[str]]]
) -> None:
    _only(monkeypatch, Need("bison", "bison", lambda: False))
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    with pytest.raises(
        InfrastructureError, match=r"not root; expected `apt-get install bison` as root"
    ):
        run("--install")
    assert not host.calls.exists()


def test_a_small_disk_is_missing_room(host: _Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_DISK_GIB", 1e9)
    finding = doctor._disk()
    assert finding.mark == "missing"
    assert finding.text.endswith("expected 1e+09 GiB for a kernel build")
    assert finding.package == ""


def test_the_cache_is_measured_while_it_changes(
    host: _Host, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    cache.mkdir()
    (cache / "file").write_bytes(bytes(2**20))
    (cache / "link").symlink_to(cache / "none")
    gone = cache / "gone"
    found = doctor._files

    def with_a_gone_one(root: Path) -> list[Path]:
        return [*found(root), gone]

    monkeypatch.setattr(doctor, "_files", with_a_gone_one)
    assert doctor._disk().text.startswith(f"cache {cache}: 0.0 GiB used")


def test_kvm_is_asked_again_only_when_told(
    host: _Host, monkeypatch: pytest.MonkeyPatch, run: Callable[..., tuple[int, list[str]]]
) -> None:
    asked = []

    def verdict(*, again: bool = False) -> KvmVerdict:
        asked.append(again)
        return KvmVerdict(True, "a boot sector ran")

    _only(monkeypatch)
    host.have("qemu-system-x86_64")
    monkeypatch.setattr(accel, "kvm_verdict", verdict)
    assert run()[1][0] == "ok       KVM works"
    run("--probe-kvm")
    assert asked == [False, True]
    assert Finding("ok", "KVM works") in doctor.examine()


def test_what_vanishes_and_what_is_mounted_is_not_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("kept/a", "gone/b", "proc/c"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text("x")
    monkeypatch.setattr("os.path.ismount", lambda path: Path(path).name == "proc")
    found = []
    for path in doctor._files(tmp_path):
        found.append(path.name)
        shutil.rmtree(tmp_path / "gone", ignore_errors=True)
    assert set(found) - {"b"} == {"a"}
