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
from errpath.runner.lifetime import LifetimeBed

__all__ = ["TASK_LINE", "blocked_tasks"]

_TASK = "errpath-hanging"
# What stands in front of each stack.
TASK_LINE = "task "
_SCRIPT = (
    "for p in /proc/[0-9]*; do case $(sed -n 's/^State:[[:space:]]*//p' $p/status) in D*) "
    f'echo "{TASK_LINE}$(cat $p/comm) ${{p#/proc/}}"; cat $p/stack;; esac; done 2>/dev/null'
)


def blocked_tasks(
    bed: LifetimeBed,
    filesystems: Sequence[str],
    functions: Sequence[str],
    points: Sequence[str] | None,
    case: MountCase,
) -> str:
    """The other tasks that wait while `case` hangs, in a clone: a line `task NAME PID` and a stack
    for each; "" where it does not hang there, or the guest cannot tell."""
    try:
        prepared = bed.clone(filesystems, functions, points, None)
    except ErrpathError:
        return ""
    guest = prepared.guest
    try:
        if not run_case(guest, case, _TASK).hung:
            return ""
        text = guest.run(["sh", "-c", _SCRIPT]).output
    except (ErrpathError, AgentError):
        # No shell in the guest, or the guest is gone: the case's own stack has to do.
        return ""
    finally:
        guest.close()
    return "\n".join(one for one in _stacks(text) if not one.startswith(f"{TASK_LINE}{_TASK}"))


def _stacks(text: str) -> list[str]:
    """The output of the script, task by task."""
    found: list[list[str]] = []
    for line in text.splitlines():
        if line.startswith(TASK_LINE):
            found.append([])
        if found:
            found[-1].append(line)
    return ["\n".join(lines) for lines in found]
