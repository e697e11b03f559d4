"""The hooks of docs/leakcheck.md with errpath-leakcheck itself, by the real runners, in guests
with a Debian root: a test that passes and loses an object fails, by its name, and one that loses
nothing passes.

ERRPATH_RUNNERS is a directory with checkouts `blktests`, `kirk` and `ltp`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path

import pytest

from errpath.beside.leakcheck import PROGRAM, leakcheck_program
from errpath.beside.root import RootDefinition, load_root, make_root, pack_tree
from errpath.beside.shell import ROOT_DISK, GuestShell, enter_root
from errpath.beside.suite_guests import SuiteGuests
from errpath.guest.disk import Disk
from errpath.kernel import KernelStore
from errpath.oracles.modules import PLANT
from errpath.runner.options import GuestOptions, RunOptions, choices
from errpath.runner.testbed import Testbed
from errpath.util.progress import silent
from suites.selftest.beside.hooks import hook, real_runner

pytestmark = [
    pytest.mark.by_hand,
    pytest.mark.qemu,
    pytest.mark.kernel_build,
    pytest.mark.xdist_group("kernel_build"),
]

# A guest without KVM is slow.
_SECONDS = 400.0
_LOSE = "echo -n lose > /sys/kernel/debug/errpath_plant"
_LTP_DISK = "ltp"


class _Guests:
    """Guests that have errpath-leakcheck, its canary, and a module that loses an object."""

    def __init__(self, scratch: Path, stack: ExitStack) -> None:
        self._scratch = scratch
        self._stack = stack

    def with_root(self, name: str, root: Path, *disks: Disk) -> GuestShell:
        """A guest with this root, and disks beside it."""
        chosen = choices(RunOptions(guest=GuestOptions(guest="debian")))[0].testbed
        options = replace(chosen, plants=(PLANT.name,), disks=(Disk(ROOT_DISK, path=root), *disks))
        store = KernelStore(progress=silent())
        testbed = Testbed(options, store=store, artefacts=self._scratch / name, progress=silent())
        self._stack.enter_context(closing(testbed))
        return self._enter(testbed)

    def with_kselftest(self) -> GuestShell:
        """A guest with the default kernel's selftests."""
        choice = choices(RunOptions(guest=GuestOptions(guest="debian")))[0]
        choice = replace(choice, testbed=replace(choice.testbed, plants=(PLANT.name,)))
        guests = SuiteGuests(
            "kselftest",
            choice,
            [],
            tree=None,
            disk_mib=8,
            artefacts=self._scratch / "kselftest",
            progress=silent(),
        )
        self._stack.enter_context(closing(guests))
        return self._enter(guests.testbed)

    def _enter(self, testbed: Testbed) -> GuestShell:
        prepared = testbed.guests.prepare((), (), fast=False)
        self._stack.callback(prepared.guest.close)
        shell = enter_root(prepared.guest)
        shell.write(f"/usr/local/bin/{PROGRAM}", leakcheck_program(), mode=0o755)
        return shell


@pytest.fixture
def guests(tmp_path: Path) -> Iterator[_Guests]:
    with ExitStack() as stack:
        yield _Guests(tmp_path, stack)


@pytest.fixture
def root_of(tmp_path: Path) -> Callable[[RootDefinition, str], Path]:
    """The root of a definition with a runner's checkout in it."""

    def make(definition: RootDefinition, runner: str) -> Path:
        archive = tmp_path / f"{runner}.tar"
        pack_tree(real_runner(runner), archive)
        return make_root(definition, archive, silent())

    return make


def _leak_of(name: str, output: str) -> bool:
    """Whether the report of one object that the module lost is under this name."""
    found = re.search(
        rf"BUG: memory leak in {re.escape(name)}: 1 unreferenced object\n(?s:.*)errpath_plant_lose",
        output,
    )
    return found is not None


def test_blktests(guests: _Guests, root_of: Callable[[RootDefinition, str], Path]) -> None:
    shell = guests.with_root("blktests", root_of(load_root("blktests"), "blktests"))
    shell.write("/suite/config", hook("blktests"))
    shell.check("mkdir -p /suite/tests/planted", seconds=60)
    shell.write("/suite/tests/planted/rc", ". common/rc\ngroup_requires() { :; }\n")
    for number, script in (("001", "true"), ("002", _LOSE), ("003", "true")):
        text = (
            f". tests/planted/rc\nDESCRIPTION=planted\nQUICK=1\ntest() {{ bash -c '{script}'; }}\n"
        )
        shell.write(f"/suite/tests/planted/{number}", text, mode=0o755)
        shell.write(f"/suite/tests/planted/{number}.out", "")
    done = shell.run("cd /suite && ./check -o /tmp/results planted", seconds=_SECONDS)
    results = re.findall(r"(?m)^planted/(\d+) .*\[(\w+)\]$", done.output)
    assert results == [("001", "passed"), ("002", "failed"), ("003", "passed")], done.output
    report = shell.check("cat /tmp/results/nodev/planted/002.dmesg", seconds=60)
    assert _leak_of("run blktests planted/002", report), report
    assert done.status == 1


def test_kselftest(guests: _Guests) -> None:
    shell = guests.with_kselftest()
    at = "/suite/kselftest"
    shell.check(f"mkdir -p {at}/planted", seconds=60)
    shell.write(f"{at}/planted/lose", f"#!/bin/sh\n{_LOSE}\n", mode=0o755)
    names = ("filesystems:kernfs_test", "planted:lose", "filesystems:anon_inode_test")
    shell.write(f"{at}/kselftest-list.txt", "".join(f"{name}\n" for name in names))
    output = shell.run(f"cd {at}\n{hook('kselftest')}", seconds=_SECONDS).output
    # The runner's own lines say that all have passed.
    assert len(re.findall(r"(?m)^ok 1 selftests: ", output)) == len(names), output
    told = re.findall(r"(?m)^(ok|not ok) 1 (\w+:\w+)$", output)
    assert told == [("ok", names[0]), ("not ok", names[1]), ("ok", names[2])], output
    assert _leak_of(names[1], output.replace("# ", "")), output


def test_kirk_with_ltp(guests: _Guests, root_of: Callable[[RootDefinition, str], Path]) -> None:
    """Tests of LTP's own, and one that loses an object."""
    ltp = Disk(_LTP_DISK, path=root_of(load_root("ltp"), "ltp"))
    shell = guests.with_root("kirk", root_of(load_root("python"), "kirk"), ltp)
    shell.check(
        f"""mkdir -p /mnt/root /opt/ltp /tmp/new /tmp/work
mount -t squashfs -o ro {shell.disks[_LTP_DISK]} /mnt/root
mount -t overlay -o lowerdir=/mnt/root/opt/ltp,upperdir=/tmp/new,workdir=/tmp/work x /opt/ltp
cd /opt/ltp && grep -E '^(stream01|openfile01)\\b' runtest/fs > /tmp/fs
echo planted lose >> /tmp/fs && cp /tmp/fs runtest/fs""",
        seconds=60,
    )
    shell.write("/opt/ltp/testcases/bin/lose", f"#!/bin/sh\n{_LOSE}\n", mode=0o755)
    sed, run = hook("LTP, kirk").splitlines()
    script = f"export LTPROOT=/opt/ltp; cd /opt/ltp; {sed}; /suite/{run}"
    output = shell.run(script, seconds=_SECONDS).output
    plain = re.sub(r"\x1b\[[0-9;]*m", "", output)
    told = re.findall(r"(?m)^(stream01|openfile01|planted): (\w+)", plain)
    assert told == [("openfile01", "pass"), ("stream01", "pass"), ("planted", "fail")], output
    # In its report, which is JSON, the lines of a test's output are one.
    report = shell.check("cat /tmp/kirk.root/latest/*.json", seconds=60).replace("\\n", "\n")
    assert _leak_of("planted", report), report


def test_pytest(guests: _Guests, root_of: Callable[[RootDefinition, str], Path]) -> None:
    shell = guests.with_root("pytest", root_of(load_root("python"), "kirk"))
    shell.check("mkdir /tmp/mine", seconds=60)
    shell.write("/tmp/mine/conftest.py", hook("pytest"))
    tests = (
        "import subprocess\nimport pytest\n\n"
        "@pytest.mark.leakcheck\ndef test_clean():\n    pass\n\n"
        f"@pytest.mark.leakcheck\ndef test_lose():\n    subprocess.run(['sh', '-c', '{_LOSE}'])\n"
    )
    shell.write("/tmp/mine/test_it.py", tests)
    done = shell.run("cd /tmp/mine && python3 -m pytest --strict-markers", seconds=_SECONDS)
    assert done.status == 1, done.output
    assert "1 passed, 1 error" in done.output or "2 passed, 1 error" in done.output, done.output
    assert "ERROR test_it.py::test_lose" in done.output
    assert _leak_of("test_lose", done.output), done.output
