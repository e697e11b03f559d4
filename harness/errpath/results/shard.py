"""Which part of a suite this machine runs: stable by case id, balanced by past durations. Pure,
but for the environment that `from_environment` is given.

No scheduler of our own: whatever starts N machines says to each which of the N it is. Every shard
computes the same division by itself, so that nothing needs to be handed out; `errpath merge` checks
afterwards that the parts make a whole.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from errpath.errors import UsageError
from errpath.results.records import ShardRecord

__all__ = ["assign", "from_environment", "load_durations", "parse_shard"]

# A shard may hold so much more than its fair share before a case goes elsewhere than its id says:
# less would move more cases when a duration changes, more would leave machines idle.
_SLACK = 0.05
# Seconds of a case of which nothing is known where nothing is known of any.
_DEFAULT_SECONDS = 0.01


def parse_shard(text: str) -> ShardRecord:
    """`2/4` → the second of four.

    Raises:
        UsageError: it is no I/N with 1 <= I <= N.
    """
    match = re.fullmatch(r"(\d+)/(\d+)", text)
    try:
        if match is None:
            raise ValueError
        return ShardRecord(int(match[1]), int(match[2]))
    except ValueError:
        raise UsageError(f"shard {text!r}: expected I/N with 1 <= I <= N, such as 2/4") from None


def from_environment(environment: Mapping[str, str]) -> tuple[ShardRecord, str] | None:
    """The shard that a scheduler says this machine is, and by which variable; None if none does.

    ERRPATH_SHARD=I/N       ours: Buildbot, GitHub and whatever else can set a variable
    CI_NODE_INDEX, _TOTAL   GitLab, `parallel: N` (from 1)
    ERRPATH_JOB_INDEX, _TOTAL  GitHub's strategy.job-index and job-total as they are (from 0)
    SLURM_ARRAY_TASK_ID, _MIN, _COUNT, _STEP  Slurm job arrays, `--array=0-9` or `--array=1-10`

    Raises:
        UsageError: the variables contradict each other.
    """
    if text := environment.get("ERRPATH_SHARD"):
        return parse_shard(text), "ERRPATH_SHARD"
    if "CI_NODE_INDEX" in environment and "CI_NODE_TOTAL" in environment:
        return _shard(environment, "CI_NODE_INDEX", "CI_NODE_TOTAL"), "CI_NODE_INDEX"
    if "ERRPATH_JOB_INDEX" in environment:
        name = "ERRPATH_JOB_INDEX"
        return _shard(environment, name, "ERRPATH_JOB_TOTAL", first=0), name
    if "SLURM_ARRAY_TASK_ID" in environment:
        name = "SLURM_ARRAY_TASK_ID"
        first = _number(environment, "SLURM_ARRAY_TASK_MIN")
        step = _number(environment, "SLURM_ARRAY_TASK_STEP", "1")
        return _shard(environment, name, "SLURM_ARRAY_TASK_COUNT", first=first, step=step), name
    return None


def _shard(
    environment: Mapping[str, str], index: str, total: str, *, first: int = 1, step: int = 1
) -> ShardRecord:
    number, count = _number(environment, index), _number(environment, total)
    try:
        if step < 1 or (number - first) % step:
            raise ValueError("it is no member of its array")
        return ShardRecord((number - first) // step + 1, count)
    except ValueError as error:
        raise UsageError(f"{index}={number} with {total}={count}: {error}") from None


def _number(environment: Mapping[str, str], name: str, default: str = "") -> int:
    text = environment.get(name, default)
    if not text.isdigit():
        raise UsageError(f"{name}: got {text!r}; expected a number")
    return int(text)


def load_durations(path: Path) -> dict[str, float]:
    """Seconds by case id, as `errpath history durations` writes them.

    Raises:
        UsageError: the file is no such thing.
    """
    try:
        values = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise UsageError(f"--durations {path}: {error}; expected a JSON object") from None
    if not isinstance(values, dict) or not all(
        isinstance(seconds, int | float) and seconds >= 0 for seconds in values.values()
    ):
        raise UsageError(f"--durations {path}: expected a JSON object of seconds by case id")
    return {str(case): float(seconds) for case, seconds in values.items()}


def assign(
    cases: Iterable[str], total: int, durations: Mapping[str, float] | None = None
) -> dict[str, int]:
    """The shard (from 1) of each case.

    Each case ranks the shards by a hash of its id and theirs, and goes to the first that has room:
    1.05 times the fair share of all seconds. So a case that is added, removed or renamed moves few
    others, and no shard has much more to do than the mean. Without durations every case counts the
    same; a case without one counts as the mean of the others.
    """
    known = durations or {}
    ids = set(cases)
    have = [known[case] for case in ids if known.get(case, 0) > 0]
    mean = sum(have) / len(have) if have else _DEFAULT_SECONDS
    seconds = {case: known.get(case) or mean for case in ids}
    room = (1 + _SLACK) * sum(seconds.values()) / total
    loads = dict.fromkeys(range(1, total + 1), 0.0)
    placed = {}
    # The longest first: what is left to place is small when room is short.
    for case in sorted(ids, key=lambda case: (-seconds[case], _hash(case))):
        ranked = sorted(loads, key=lambda shard: _hash(f"{shard}\0{case}"))
        fitting = (shard for shard in ranked if loads[shard] + seconds[case] <= room)
        # Longer than any room: to the least loaded.
        shard = next(fitting, None) or min(loads, key=lambda shard: (loads[shard], shard))
        loads[shard] += seconds[case]
        placed[case] = shard
    return placed


def _hash(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()
