"""QEMU's argv, as made from a guest definition."""

from __future__ import annotations

from pathlib import Path

import pytest

from errpath.guest.definition import load_guest
from errpath.guest.qemu import Launch, qemu_argv
from suites.selftest import golden


@golden.golden_cases("argv")
def test_argv(path: Path, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    case = golden.load(path, headers=["Accel", "Append", "Gdb"])
    definition = tmp_path / "guest.yaml"
    definition.write_text(case.input)
    gdb = case.headers.get("Gdb")
    launch = Launch(
        Path("/cache/bzImage"),
        Path("/cache/init.cpio"),
        case.headers["Accel"],
        console_fd=11,
        agent_fd=12,
        append=tuple(case.headers.get("Append", "").split()),
        gdb_port=int(gdb) if gdb else None,
    )
    argv = qemu_argv(load_guest(str(definition)), launch)
    golden.check(case, "".join(f"{word}\n" for word in argv), request)
