"""No case is lost: what the suites ran before the matrices became one is run under a known id.

suites/selftest/golden/cases.tsv holds suite, a digest of steps, device and fault, the id before
and the id now. Cases may be added; none may vanish or come to mean something else.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest

from errpath.cases import crafted
from errpath.cases.case import Device, MountCase
from errpath.cases.lifecycle import plan
from errpath.cases.steps import FsOpen, Mount, Reconfigure, Remount, Step
from errpath.filesystems import known_filesystems, load_filesystem
from errpath.filesystems.mkfs import missing_tool
from suites.hfs import test_mount
from suites.selftest.paths import ROOT

_FILE = ROOT / "suites" / "selftest" / "golden" / "cases.tsv"
# The digest of a case that was planned and not run.
_SKIPPED = "-"


@dataclass(frozen=True)
class GoldenCase:
    suite: str
    digest: str
    old_id: str
    id: str


def golden_cases() -> Iterator[GoldenCase]:
    for line in _FILE.read_text().splitlines():
        if not line.startswith("#"):
            suite, digest, old, new = line.split("\t")
            yield GoldenCase(suite, digest, old, old if new == "=" else new)


def device_text(device: Device) -> str:
    """The image by name, as a mkfs writes other bytes on every machine."""
    name = device.image.name if device.image else ""
    pieces = hashlib.sha256(repr(device.pieces).encode()).hexdigest()[:12] if device.pieces else ""
    flags = "ro" * device.readonly, "held" * device.held
    return "|".join(
        (name, pieces, str(device.size), *flags, str(device.block_size), f"{device.node}")
    )


# What operations were called when the list was made.
_OLD_OPS = {"readback": "walk", "probe": "scribble"}


def step_text(step: Step) -> str:
    """An absent argument is an empty one."""
    mount = step if isinstance(step, Mount | FsOpen) else None
    configured = step if isinstance(step, Mount | FsOpen | Remount | Reconfigure) else None
    return "|".join(
        (
            *(_OLD_OPS.get(step.op, step.op), mount.fstype if mount else ""),
            "+".join(configured.flags) if configured else "",
            configured.data if configured else "",
            step.until if isinstance(step, FsOpen) else "",
            "served" * (mount.served if mount else False),
            *("armed" * step.armed, step.expected, "any" * step.any_errno, ""),
        )
    )


def digest(case: MountCase) -> str:
    fault = case.fault
    forced = f"{fault.function}|{fault.errno}|{fault.times}" if fault else ""
    text = "\n".join((device_text(case.device), forced, *map(step_text, case.steps)))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _cases_of_hfs() -> Iterator[MountCase]:
    yield from (*test_mount.CASES, *crafted.crafted_cases(), *crafted.forced_cases())
    yield from (case for _, case in crafted.known_issue_cases())


def _now(suite: str) -> dict[str, str]:
    """Digest by id, of the cases that can be made on this machine."""
    if suite == "hfs":
        return {case.id: digest(case) for case in _cases_of_hfs()}
    planned = plan(known_filesystems())
    return {one.id: digest(one.case) if one.case else _SKIPPED for one in planned}


def lost(golden: list[GoldenCase], now: dict[str, str]) -> list[str]:
    """One line for each case that is gone or another."""
    return [
        f"{case.old_id} ({case.id}): {'is gone' if case.id not in now else 'is another case'}"
        for case in golden
        if now.get(case.id) != case.digest
    ]


@pytest.mark.parametrize("suite", ["hfs", "killsb"])
def test_every_case_is_still_run(suite: str) -> None:
    golden = [case for case in golden_cases() if case.suite == suite]
    assert len(golden) > 2000
    assert len({case.id for case in golden}) == len(golden)
    # Without its mkfs, a filesystem has blank images, and skips that stand for many cases.
    missing = [name for name in known_filesystems() if missing_tool(load_filesystem(name))]
    unmade = tuple(f"killsb-{name}-" for name in missing)
    golden = [case for case in golden if not case.id.startswith(unmade)]
    assert lost(golden, _now(suite)) == []


def test_a_lost_and_a_changed_case_are_seen() -> None:
    case = test_mount.CASES[0]
    golden = [GoldenCase("hfs", digest(case), case.id, case.id)]
    assert lost(golden, {case.id: digest(case)}) == []
    assert lost(golden, {}) == [f"{case.id} ({case.id}): is gone"]
    changed = replace(case, device=replace(case.device, readonly=True))
    assert lost(golden, {case.id: digest(changed)}) == [f"{case.id} ({case.id}): is another case"]
