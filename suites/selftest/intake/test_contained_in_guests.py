"""Reproducers in real guests: what they show, and what hostile ones cost.

Each runs in a clone of its own; the one after it must not notice. By hand: the guest of
reproducers has a kernel of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from errpath.guest.definition import load_guest
from errpath.intake.attempts import run_attempts
from errpath.intake.contained import Attempt
from errpath.intake.reproducer import load_reproducer
from errpath.kernel import KernelRequest, KernelStore
from errpath.runner.testbed import Testbed, TestbedOptions
from errpath.util.progress import silent

pytestmark = [
    *(pytest.mark.qemu, pytest.mark.kernel_build, pytest.mark.by_hand),
    pytest.mark.xdist_group("guests"),
]

_HEAD = (
    "#define _GNU_SOURCE\n"
    + "".join(
        f"#include <{name}.h>\n"
        for name in ("fcntl", "sched", "signal", "stdio", "stdlib", "string", "sys/mount")
    )
    + "".join(f"#include <{name}.h>\n" for name in ("sys/reboot", "sys/stat", "sys/wait", "unistd"))
)

_QUIET = 'puts("here"); return 3;'
_HOSTILE = {
    "forks for ever": "for (;;) { fork(); }",
    "forks and leaves its group": "for (;;) { if (fork() == 0) { setsid(); sleep(1000); } }",
    "fills its directory": (
        'int fd = open("f", O_CREAT | O_WRONLY, 0600); static char b[1 << 20]; '
        "while (write(fd, b, sizeof(b)) > 0); sleep(1000);"
    ),
    "fills the memory": "for (;;) { char *p = malloc(1 << 20); memset(p, 1, 1 << 20); }",
    "prints for ever": 'for (;;) puts("all work and no play makes dull output");',
    "kills everybody": "kill(-1, SIGKILL); kill(1, SIGKILL); sleep(1000);",
    "restarts": "reboot(RB_AUTOBOOT); sleep(1000);",
    "mounts over everything": (
        'mount("t", "/proc", "tmpfs", 0, ""); mount("t", "/dev", "tmpfs", 0, ""); '
        'mount("t", "/", "tmpfs", 0, ""); sleep(1000);'
    ),
    "stops listening": ("for (int i = 1; i < 65; i++) signal(i, SIG_IGN); for (;;) sleep(1000);"),
}


@pytest.fixture(scope="module")
def testbed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Testbed]:
    request = KernelRequest(fragments=load_guest("repro").fragments)
    bed = Testbed(
        TestbedOptions(request, "repro"),
        store=KernelStore(progress=silent()),
        artefacts=tmp_path_factory.mktemp("guests"),
        progress=silent(),
    )
    yield bed
    bed.close()


def _run(testbed: Testbed, path: Path, body: str, seconds: int = 3) -> Attempt:
    (path / "r.c").write_text(f"{_HEAD}int main(void)\n{{\n{body}\n}}\n")
    reproducer = load_reproducer(path / "r.c", rounds=1)
    (attempt,) = run_attempts(testbed, reproducer, (), attempts=1, seconds=seconds)
    return attempt


def test_a_quiet_one(testbed: Testbed, tmp_path: Path) -> None:
    attempt = _run(testbed, tmp_path, _QUIET)
    assert (attempt.failures, attempt.error) == ((), "")
    assert attempt.output == "here\n"
    assert attempt.ended == "status 3"


@pytest.mark.parametrize("body", _HOSTILE.values(), ids=_HOSTILE.keys())
def test_a_hostile_one_costs_its_clone_alone(testbed: Testbed, tmp_path: Path, body: str) -> None:
    attempt = _run(testbed, tmp_path, body)
    # It shows nothing of the kernel, or says why it cannot tell; within bounds of time.
    assert attempt.failures == ()
    assert attempt.seconds < 120
    assert len(attempt.output) < 20_000
    assert _run(testbed, tmp_path, _QUIET).ended == "status 3"
