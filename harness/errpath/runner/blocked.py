"""Which tasks of a guest wait when a case hangs: each with its stack.

The case's own stack says what it waits for. Where that is another task, such as a worker, only the
other's stack says why that does not come to an end.
"""

from __future__ import annotations

from collections.abc import Sequence

from errpath.cases.case import MountCase
from errpath.cases.run import run_case
from errpath.errors import ErrpathError
from errpath.guest.channel import AgentError
from errpath.guest.lock_owners import find_owners
from errpath.guest.machine import Guest
from errpath.kernel.features.probe import symbols_of
from errpath.runner.lifetime import LifetimeBed
from errpath.runner.usual import BRIEF

__all__ = ["HANGING_TASK", "OWNER_LINE", "SAMPLE_LINE", "TASK_LINE", "blocked_tasks"]

# Of the case.
HANGING_TASK = "errpath-hanging"
# What stands in front of each stack of another task, and of each look at the case's own.
TASK_LINE = "task "
SAMPLE_LINE = "sample"
# In front of the names of a task and of the one that holds the lock it waits for.
OWNER_LINE = "owner "
_NAME_LINE = "name "
_SCRIPT = (
    f'for p in /proc/[0-9]*; do echo "{_NAME_LINE}$(cat $p/comm)"; done; '
    "for p in /proc/[0-9]*; do case $(sed -n 's/^State:[[:space:]]*//p' $p/status) in D*) "
    f'echo "{TASK_LINE}$(cat $p/comm) ${{p#/proc/}}"; cat $p/stack;; '
    # A task that runs is looked at several times: it gets on between two looks.
    f"R*) case $(cat $p/comm) in {HANGING_TASK[:15]}) for n in 1 2 3 4 5 6 7 8; do "
    f"echo {SAMPLE_LINE}; cat $p/stack; sleep 0.05; done;; esac;; esac; done 2>/dev/null"
)


def blocked_tasks(
    bed: LifetimeBed,
    filesystems: Sequence[str],
    functions: Sequence[str],
    points: Sequence[str] | None,
    case: MountCase,
) -> str:
    """The other tasks that wait while `case` hangs, in a clone: a line `task NAME PID` and a stack
    for each; behind them, of a case that runs in circles, a line `sample` and its stack for each of
    several looks. "" where it does not hang there, or the guest does not know."""
    try:
        prepared = bed.clone(filesystems, functions, points, None)
    except ErrpathError:
        return ""
    guest = prepared.guest
    try:
        if not run_case(guest, case, HANGING_TASK, patience=BRIEF).hung:
            return ""
        text = guest.run(["sh", "-c", _SCRIPT]).output
        owners = _owners(guest, bed, text)
    except (ErrpathError, AgentError):
        # No shell in the guest, or the guest is gone: the case's own stack has to do.
        return ""
    finally:
        guest.close()
    found = _stacks(text)
    others = [one for one in found if one.startswith(TASK_LINE)]
    own = f"{TASK_LINE}{HANGING_TASK[:15]} "
    looks = [one for one in found if not one.startswith(TASK_LINE)]
    return "\n".join([*owners, *(one for one in others if not one.startswith(own)), *looks])


def _owners(guest: Guest, bed: LifetimeBed, text: str) -> list[str]:
    """A line for each task that waits for a lock which another, or itself, holds."""
    if guest.ram is None:
        return []
    names = [line[len(_NAME_LINE) :] for line in text.splitlines() if line.startswith(_NAME_LINE)]
    waiting = {line.split()[1] for line in text.splitlines() if line.startswith(TASK_LINE)}
    found = find_owners(guest.ram, symbols_of(bed.kernel.system_map), names)
    return [
        f"{OWNER_LINE}{one.waiter} {one.owner}"
        for one in dict.fromkeys(found)
        if one.waiter in waiting
    ]


def _stacks(text: str) -> list[str]:
    """The output of the script, stack by stack."""
    found: list[list[str]] = []
    for line in text.splitlines():
        if line.startswith(TASK_LINE) or line == SAMPLE_LINE:
            found.append([])
        if found:
            found[-1].append(line)
    return ["\n".join(lines) for lines in found]
