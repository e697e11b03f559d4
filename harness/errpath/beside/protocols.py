"""How many planted leaks other projects' ways of asking kmemleak find.

Each protocol is carried out as its project does it (`PROTOCOLS` names the source). Leaks are
planted in rounds, as the tests of a runner would leave them: a check follows each round, and one
more comes six seconds after the last. What a round's own check reports is found under the right
name; what a later one reports is found under a later test's.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from errpath.beside.leakcheck import leakcheck_program
from errpath.errors import InfrastructureError
from errpath.guest.machine import Guest
from errpath.kernel import KernelStore
from errpath.kernel.features.summary import spelled
from errpath.oracles import canary, kmemleak
from errpath.oracles.kmemleak import SCAN_FILE, Record, parse_records
from errpath.oracles.modules import CANARY, PLANT
from errpath.runner.options import Choice
from errpath.runner.testbed import Testbed
from errpath.util.progress import Progress

__all__ = [
    "DEFAULT_BOOT",
    "LEAKS_A_ROUND",
    "PROTOCOLS",
    "Answer",
    "Protocol",
    "Row",
    "count",
    "measure",
    "table",
]

ROUNDS = 5
LEAKS_A_ROUND = 5
# Undoes what errpath's own guests boot with.
DEFAULT_BOOT = "slab_debug=-"
_FUNCTION = "errpath_plant_lose"
_LEAKCHECK = "/errpath-leakcheck"
_CHECK_SECONDS = 60.0
# More than kmemleak's minimum age.
_LATER_SECONDS = 6.0


@dataclass(frozen=True)
class Answer:
    """What one check said."""

    records: tuple[Record, ...]
    # Whether the check vouches for its silence.
    clean: bool


@dataclass(frozen=True)
class Protocol:
    """A way of asking kmemleak."""

    name: str
    # Where the project does so.
    source: str
    # Before the first test, and before each.
    prepare: Callable[[Guest], None]
    begin: Callable[[Guest], None]
    # After each test.
    check: Callable[[Guest], Answer]


@dataclass(frozen=True)
class Row:
    """What one protocol gave on one kernel."""

    kernel: str
    # Words of the kernel command line that were added; empty for a default boot.
    boot: str
    protocol: str
    # Of LEAKS_A_ROUND in each round: found at all, and by the check of their own round.
    found: int
    right: int
    # Records of what was not planted.
    false: int
    # Rounds with leaks of which none was reported and which were called clean.
    missed: int
    # Seconds of one check, the mean.
    seconds: float


def _scan(guest: Guest) -> None:
    guest.write_file(SCAN_FILE, "scan")


def _clear(guest: Guest) -> None:
    guest.write_file(SCAN_FILE, "clear")


def _scan_off(guest: Guest) -> None:
    guest.write_file(SCAN_FILE, "scan=off")


def _nothing(guest: Guest) -> None:
    """Not every project does something here."""


def _cat(guest: Guest) -> Answer:
    """The whole file, by a program of its own."""
    text = guest.run(["cat", SCAN_FILE], seconds=_CHECK_SECONDS).output
    return _answer(text)


def _one_read(guest: Guest) -> Answer:
    """What a single read() of 128 KiB gives."""
    words = ["dd", f"if={SCAN_FILE}", "bs=131072", "count=1"]
    # dd's own report comes after the records.
    text = guest.run(words, seconds=_CHECK_SECONDS).output
    lines = text.splitlines(keepends=True)
    while lines and not lines[-1].startswith("  "):
        lines.pop()
    return _answer("".join(lines))


def _answer(text: str) -> Answer:
    records = parse_records(text)
    return Answer(records, clean=not records)


# -- the projects' protocols ---------------------------------------------------------------------


def _flush_boot_leaks(guest: Guest) -> None:
    _scan(guest)
    guest.sleep(5)
    _scan(guest)
    _clear(guest)


def _syzkaller(guest: Guest) -> Answer:
    began = time.monotonic()
    _scan(guest)
    guest.sleep(max(0.0, 4 - (time.monotonic() - began)))
    _scan(guest)
    answer = _one_read(guest)
    if answer.records:
        guest.sleep(1)
        _scan(guest)
        answer = _one_read(guest)
    _clear(guest)
    return answer


def _capture(guest: Guest) -> Answer:
    _scan(guest)
    _cat(guest)
    _scan(guest)
    answer = _cat(guest)
    _clear(guest)
    return answer


def _capture_first(guest: Guest) -> None:
    _scan_off(guest)
    _capture(guest)


def _one_scan(guest: Guest) -> Answer:
    _scan(guest)
    return _cat(guest)


def _vsock(guest: Guest) -> Answer:
    guest.sleep(2)
    _scan(guest)
    guest.sleep(5)
    _scan(guest)
    return _cat(guest)


def _ours(guest: Guest) -> Answer:
    checked = canary.check_beside_canary(guest, kmemleak.slow_check)
    return Answer(checked.records, clean=not checked.records and not checked.blind)


def _leakcheck_begin(guest: Guest) -> None:
    done = guest.run([_LEAKCHECK, "begin", "bench"], seconds=_CHECK_SECONDS)
    if done.status != 0:
        raise InfrastructureError(f"errpath-leakcheck: {done.output.strip()}")


def _leakcheck_put(guest: Guest) -> None:
    guest.write_file(_LEAKCHECK, leakcheck_program(), mode=0o755)


def _leakcheck(guest: Guest) -> Answer:
    done = guest.run([_LEAKCHECK, "end"], seconds=_CHECK_SECONDS)
    lines = done.output.splitlines(keepends=True)
    kept = [line for line in lines[1:] if not line.startswith("allocated before")]
    records = parse_records("".join(kept)) if done.status == 1 else ()
    return Answer(records, clean=done.status == 0)


PROTOCOLS = (
    Protocol(
        "scan, 4 s, scan",
        "syzkaller, executor/common_linux.h, check_leaks",
        _flush_boot_leaks,
        _nothing,
        _syzkaller,
    ),
    Protocol(
        "scan, cat, scan, cat",
        "xfstests, common/rc, _capture_kmemleak",
        _capture_first,
        _nothing,
        _capture,
    ),
    Protocol(
        "scan, cat",
        "NIPA (netdev), contest/remote/lib/vm.py, check_health",
        _nothing,
        _nothing,
        _one_scan,
    ),
    Protocol(
        "clear; 2 s, scan, 5 s, scan, cat",
        "Linux, tools/testing/vsock/README",
        _nothing,
        _clear,
        _vsock,
    ),
    Protocol(
        "errpath, slow check",
        "harness/errpath/oracles/kmemleak.py, slow_check, with a canary",
        _nothing,
        _nothing,
        _ours,
    ),
    Protocol(
        "errpath-leakcheck",
        "guests/leakcheck/check.c",
        _leakcheck_put,
        _leakcheck_begin,
        _leakcheck,
    ),
)


# -- measuring -----------------------------------------------------------------------------------


def measure(
    choices: Sequence[Choice],
    boots: Sequence[str],
    protocols: Sequence[Protocol],
    artefacts: Path,
    progress: Progress,
    *,
    rounds: int = ROUNDS,
) -> tuple[Row, ...]:
    """A row for each kernel, boot and protocol, each in a guest of its own.

    `boots` are words for the kernel command line, in today's spelling.

    Raises:
        ErrpathError: a kernel cannot be built or does not boot: a table with a hole would mislead.
    """
    rows: list[Row] = []
    with progress.step("bench", total=len(choices) * len(boots) * len(protocols)) as step:
        for choice in choices:
            store = KernelStore(progress=progress)
            for boot in boots:
                testbed = _testbed(choice, boot, store, artefacts, progress)
                try:
                    for protocol in protocols:
                        step.update(len(rows), note=f"{choice.name}, {boot}: {protocol.name}")
                        rows.append(_row(testbed, boot, protocol, rounds))
                finally:
                    testbed.close()
    return tuple(rows)


def _testbed(
    choice: Choice, boot: str, store: KernelStore, artefacts: Path, progress: Progress
) -> Testbed:
    """A test bed whose command line ends with `boot`, as its kernel spells that."""
    plain = Testbed(choice.testbed, store=store, artefacts=artefacts, progress=progress)
    words = spelled(tuple(boot.split()), plain.features)
    options = replace(choice.testbed, append=(*choice.testbed.append, *words), plants=(PLANT.name,))
    return Testbed(options, store=store, artefacts=artefacts, progress=progress)


def _row(testbed: Testbed, boot: str, protocol: Protocol, rounds: int) -> Row:
    guest = testbed.guests.boot()
    try:
        for own, module in testbed.oracle_modules:
            if own in (CANARY, PLANT):
                guest.load_module(module.name, module.stripped.read_bytes())
        answers, seconds = _run(guest, protocol, rounds)
    finally:
        guest.close()
    found, right, false, missed = count(answers)
    return Row(
        testbed.kernel.release,
        boot,
        protocol.name,
        found,
        right,
        false,
        missed,
        seconds / len(answers),
    )


def _run(guest: Guest, protocol: Protocol, rounds: int) -> tuple[list[Answer], float]:
    """The answers of all rounds and of one without a leak, and the seconds that checks took."""
    answers = []
    seconds = 0.0
    protocol.prepare(guest)
    for round_ in range(rounds + 1):
        protocol.begin(guest)
        for leak in range(LEAKS_A_ROUND if round_ < rounds else 0):
            guest.write_file(PLANT.file, "lose", task=task_name(round_, leak))
        if round_ == rounds:
            # A later check, when all that was lost has come of age.
            guest.sleep(_LATER_SECONDS)
        began = time.monotonic()
        answers.append(protocol.check(guest))
        seconds += time.monotonic() - began
    return answers, seconds


def task_name(round_: int, leak: int) -> str:
    """Of the task that loses it."""
    return f"round-{round_}-{leak}"


def count(answers: Sequence[Answer]) -> tuple[int, int, int, int]:
    """Leaks found, found by the check of their own round, records that are no planted leak, and
    rounds with leaks that were called clean: after the last round comes a check without leaks."""
    first: dict[str, int] = {}
    false: Counter[int] = Counter()
    missed = 0
    for number, answer in enumerate(answers):
        planted = [
            record.comm
            for record in answer.records
            if any(site.function == _FUNCTION for site in record.backtrace)
        ]
        for name in planted:
            first.setdefault(name, number)
        false[number] = len(answer.records) - len(planted)
        missed += number < len(answers) - 1 and answer.clean
    right = sum(name.startswith(f"round-{number}-") for name, number in first.items())
    return len(first), right, false.total(), missed


def table(rows: Sequence[Row]) -> str:
    """As Markdown."""
    total = ROUNDS * LEAKS_A_ROUND
    lines = [
        f"| kernel | boot | protocol | found of {total} | under the right name | false "
        f"| called clean of {ROUNDS} | s/check |",
        "|---|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {row.kernel} | {row.boot} | {row.protocol} | {row.found} | {row.right} | {row.false} "
        f"| {row.missed} | {row.seconds:.1f} |"
        for row in rows
    ]
    return "\n".join(lines)
