"""KVM is proven by running something, once per machine, and never believed otherwise."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from errpath.errors import ToolMissingError, UsageError
from errpath.guest.accel import KvmVerdict, choose, kvm_verdict, probe_argv, probe_sector
from errpath.guest.qemu import QEMU

# What the boot sector leaves with: (0x10 << 1) | 1.
_RAN = 33


class _Machine:
    """A machine whose QEMU is a shell script that notes every start."""

    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.directory = directory
        self.kvm = directory / "kvm"
        self.kvm.touch()
        self._starts = directory / "starts"
        monkeypatch.setenv("ERRPATH_CACHE", str(directory / "cache"))
        (directory / "bin").mkdir()
        monkeypatch.setenv("PATH", f"{directory / 'bin'}:/usr/bin:/bin")
        self.qemu(f"exit {_RAN}")

    def qemu(self, does: str) -> None:
        path = self.directory / "bin" / QEMU
        path.write_text(f'#!/bin/sh\necho "$@" >> {self._starts}\n{does}\n')
        path.chmod(0o755)

    def verdict(self, **more: Any) -> KvmVerdict:
        return kvm_verdict(device=self.kvm, **more)

    def choose(self, accel: str) -> str:
        return choose(accel, device=self.kvm)

    @property
    def starts(self) -> int:
        return len(self._starts.read_text().splitlines()) if self._starts.exists() else 0


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> _Machine:
    return _Machine(tmp_path, monkeypatch)


def test_a_working_kvm_is_proven_once(machine: _Machine) -> None:
    for _ in range(3):
        assert machine.verdict() == KvmVerdict(True, "a boot sector ran")
    assert machine.starts == 1
    assert machine.choose("auto") == machine.choose("kvm") == "kvm"
    assert machine.verdict(again=True).works
    assert machine.starts == 2


def test_a_kvm_slower_than_tcg_is_not_chosen(machine: _Machine) -> None:
    """As where every exit is emulated. The sleep stands for the emulation."""
    machine.qemu(f'case "$*" in *"-accel kvm"*) sleep 1.2;; esac; exit {_RAN}')
    verdict = machine.verdict()
    assert not verdict.works
    assert verdict.reason.startswith("slower than TCG: 1.")
    assert machine.choose("auto") == "tcg"
    assert machine.starts == 2


def test_a_slow_machine_is_not_held_against_kvm(machine: _Machine) -> None:
    machine.qemu(f"sleep 0.6; exit {_RAN}")
    assert machine.verdict().works


def test_a_broken_kvm_is_found_out_once(machine: _Machine) -> None:
    machine.qemu("echo 'kvm: MSR 0x40000000 failed' >&2; exit 134")
    for _ in range(3):
        assert machine.verdict() == KvmVerdict(False, "status 134: kvm: MSR 0x40000000 failed")
    assert machine.starts == 1
    assert machine.choose("auto") == "tcg"
    with pytest.raises(UsageError, match=r"accel: kvm does not work here \(status 134: .*expected"):
        machine.choose("kvm")


def test_a_hanging_kvm_costs_its_deadline_once(
    machine: _Machine,
) -> None:
    machine.qemu("exec sleep 600")
    for _ in range(2):
        verdict = machine.verdict(seconds=0.2)
        assert not verdict.works
        assert "timed out waiting for a boot sector under kvm" in verdict.reason
    assert machine.starts == 1


def test_a_probe_that_ends_well_without_running_proves_nothing(machine: _Machine) -> None:
    machine.qemu("exit 0")
    assert machine.verdict() == KvmVerdict(False, "status 0: no output")


def test_another_qemu_is_asked_again(machine: _Machine) -> None:
    machine.verdict()
    path = machine.directory / "bin" / QEMU
    os.utime(path, ns=(1, 1))
    machine.verdict()
    assert machine.starts == 2


@pytest.mark.parametrize("text", ["", "{", "[]", '{"works": true}', '{"a": 1}'])
def test_a_memory_that_makes_no_sense_is_no_memory(machine: _Machine, text: str) -> None:
    machine.verdict()
    (memory,) = (machine.directory / "cache" / "kvm").glob("*.json")
    memory.write_text(text)
    assert machine.verdict().works
    assert machine.starts == 2
    assert json.loads(memory.read_text())["works"] is True


def test_without_the_device_nothing_is_started(machine: _Machine) -> None:
    machine.kvm.unlink()
    assert machine.verdict() == KvmVerdict(False, f"no {machine.kvm}")
    assert machine.choose("auto") == "tcg"
    assert machine.starts == 0


def test_tcg_asks_nobody(machine: _Machine) -> None:
    assert machine.choose("tcg") == "tcg"
    assert machine.starts == 0


def test_an_unknown_accelerator() -> None:
    with pytest.raises(UsageError, match=r"accel: got 'xen'; expected one of auto, kvm, tcg"):
        choose("xen")


def test_no_qemu_is_said_by_name(machine: _Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(machine.directory))
    with pytest.raises(ToolMissingError, match="qemu-system-x86_64: not found on PATH"):
        machine.verdict()


def test_the_sector_and_the_argv() -> None:
    sector = probe_sector()
    assert len(sector) == 512
    assert sector[510:] == b"\x55\xaa"
    # mov al, 0x10; out 0xf4, al; hlt; jmp back to the hlt.
    assert sector[:7] == bytes.fromhex("b010e6f4f4ebfd")
    argv = probe_argv("kvm", Path("/x"))
    assert "isa-debug-exit,iobase=0xf4,iosize=1" in argv
    assert argv[argv.index("-cpu") + 1] == "host"
    assert probe_argv("tcg", Path("/x"))[argv.index("-cpu") + 1] == "max"
