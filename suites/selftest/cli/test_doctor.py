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
    return made


_NO_KVM = KvmVerdict(False, "no /dev/kvm")
_OK = (Finding("ok", "fsck.hfsplus"), Finding("ok", "drgn"))


def _host(
    *needs: Need,
    kvm: Callable[..., KvmVerdict] = lambda **_: _NO_KVM,
    user: int = 0,
    mount_table: Path = Path("/dev/null"),
) -> doctor.Host:
    return doctor.Host(
        lambda: needs,
        kvm,
        lambda: _OK,
        mount_table=mount_table,
        install_hfsprogs=lambda: None,
        user=lambda: user,
    )


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, list[str]]]:
    def call(examined: doctor.Host, *words: str) -> tuple[int, list[str]]:
        parser = argparse.ArgumentParser()
        doctor.add_parser(parser.add_subparsers(), host=examined)
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


def test_a_machine_that_has_all(host: _Host, run: Callable[..., tuple[int, list[str]]]) -> None:
    host.have("qemu-system-x86_64")
    status, lines = run(_host(Need("gcc", "gcc", lambda: True)))
    assert status == 0
    assert lines[:2] == ["ok       gcc", "ok       /dev/null"]
    assert lines[2] == "note     no KVM, TCG instead: no /dev/kvm"
    assert lines[3] == "ok       fsck.hfsplus"
    assert lines[4] == "ok       drgn"
    assert lines[5].startswith("ok       cache ")
    assert len(lines) == 6


@pytest.mark.parametrize("user", [0, 1000])
def test_a_machine_without_a_table_of_mounts_gets_one(
    host: _Host, run: Callable[..., tuple[int, list[str]]], user: int
) -> None:
    table = host.bin / "mtab"
    examined = _host(user=user, mount_table=table)
    status, lines = run(examined)
    assert status == 0
    assert lines[0].startswith(f"note     {table}: not found, no volumes of nilfs2 and ocfs2; ")
    run(examined, "--install")
    assert table.is_symlink() == (user == 0)


def test_what_is_missing_is_named_with_its_package(
    host: _Host, run: Callable[..., tuple[int, list[str]]]
) -> None:
    status, lines = run(_host(Need("bison", "bison", lambda: False)))
    assert status == 1
    assert lines[0] == "missing  bison: not found; Debian package bison"
    assert lines[-1].startswith("`errpath doctor --install` installs the missing packages")


def test_install_asks_apt_for_what_is_missing_and_looks_again(
    host: _Host, run: Callable[..., tuple[int, list[str]]]
) -> None:
    examined = _host(
        Need("bison", "bison", lambda: (host.bin / "bison").exists()),
        Need("flex", "flex", lambda: True),
    )
    host.have("apt-get", f'case "$*" in *install*) : > {host.bin}/bison;; esac')
    status, lines = run(examined, "--install")
    assert status == 0
    assert lines[0] == "ok       bison"
    assert host.calls.read_text().splitlines() == [
        "apt-get -qq update",
        "apt-get -qq install --no-install-recommends -y bison",
    ]


def test_a_failing_update_is_a_note_and_a_failing_install_an_error(
    host: _Host, run: Callable[..., tuple[int, list[str]]]
) -> None:
    host.have("apt-get", "echo 'E: Unable to locate package' >&2; exit 100")
    with pytest.raises(
        InfrastructureError, match="apt-get: failed with status 100: E: Unable to locate"
    ):
        run(_host(Need("bison", "bison", lambda: False)), "--install")
    assert len(host.calls.read_text().splitlines()) == 2


def test_install_without_root_says_the_command(
    host: _Host, run: Callable[..., tuple[int, list[str]]]
) -> None:
    with pytest.raises(
        InfrastructureError, match=r"not root; expected `apt-get install bison` as root"
    ):
        run(_host(Need("bison", "bison", lambda: False), user=1000), "--install")
    assert not host.calls.exists()


def test_a_small_disk_is_missing_room(host: _Host) -> None:
    finding = doctor.examine_disk(1e9)
    assert finding.mark == "missing"
    assert finding.text.endswith("expected 1e+09 GiB for a kernel build")
    assert finding.package == ""


def test_the_cache_is_measured_while_it_changes(host: _Host, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    cache.mkdir()
    (cache / "file").write_bytes(bytes(2**20))
    (cache / "link").symlink_to(cache / "none")
    gone = cache / "gone"

    def with_a_gone_one(root: Path) -> list[Path]:
        return [*doctor.list_files(root), gone]

    assert doctor.examine_disk(6.0, with_a_gone_one).text.startswith(f"cache {cache}: 0.0 GiB used")


def test_kvm_is_asked_again_only_when_asked(
    host: _Host, run: Callable[..., tuple[int, list[str]]]
) -> None:
    asked = []

    def verdict(*, again: bool = False) -> KvmVerdict:
        asked.append(again)
        return KvmVerdict(True, "a boot sector ran")

    host.have("qemu-system-x86_64")
    assert run(_host(kvm=verdict))[1][1] == "ok       KVM works"
    run(_host(kvm=verdict), "--probe-kvm")
    assert asked == [False, True]
    assert Finding("ok", "KVM works") in doctor.examine(_host(kvm=verdict))


def test_what_vanishes_and_what_is_mounted_is_not_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("kept/a", "gone/b", "proc/c"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text("x")
    monkeypatch.setattr("os.path.ismount", lambda path: Path(path).name == "proc")
    found = []
    for path in doctor.list_files(tmp_path):
        found.append(path.name)
        shutil.rmtree(tmp_path / "gone", ignore_errors=True)
    assert set(found) - {"b"} == {"a"}
