"""Shards → one run. Reports which shard or case is missing, and fails without them. Pure,
but for reading files."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from errpath.errors import UsageError
from errpath.results.records import CaseRecord, KernelRecord, ShardRecord
from errpath.results.reports.jsonl import ResultFile, read_results

__all__ = ["Merged", "find_results", "merge", "read_all"]


@dataclass(frozen=True)
class Merged:
    """What came out of joining."""

    results: ResultFile
    # What keeps it from being whole, one line each.
    problems: tuple[str, ...]
    # Shards that a complete later one replaced: a node had died, the scheduler ran it again.
    replaced: int = 0
    # Node ids of tests that no shard ran.
    missing: tuple[str, ...] = ()


def find_results(places: Iterable[Path]) -> tuple[Path, ...]:
    """The files of results at some places: the files themselves, or all *.jsonl below directories.

    Raises:
        UsageError: a place holds none.
    """
    found: list[Path] = []
    for place in places:
        files = [place] if place.is_file() else sorted(place.rglob("*.jsonl"))
        if not files:
            raise UsageError(f"{place}: no results there; expected files of `pytest --results`")
        found += files
    return tuple(dict.fromkeys(path.resolve() for path in found))


def merge(files: Sequence[tuple[str, ResultFile]]) -> Merged:
    """Join the results of some files, given with their names.

    Raises:
        UsageError: they are not parts of one run: another number of shards, other cases, another
            kernel behind one name.
    """
    if not files:
        raise UsageError("merge: no results; expected those of at least one shard")
    total = _same_total(files)
    chosen, replaced = _choose(files)
    collected = _same_collection(files)
    problems = [
        f"shard {index}/{total}: missing" for index in range(1, total + 1) if index not in chosen
    ]
    cases: list[tuple[str, CaseRecord]] = []
    kernels: dict[str, KernelRecord] = {}
    seen: dict[tuple[str, str, str], str] = {}
    for name, part in (chosen[index] for index in sorted(chosen)):
        if not part.whole:
            problems.append(f"shard {part.shard}: cut short ({name})")
        for kernel in part.kernels:
            known = kernels.setdefault(kernel.name, kernel)
            if known.state != kernel.state:
                raise UsageError(
                    f"{name}: kernel {kernel.name} is {kernel.description}, but another shard "
                    f"tested {known.description}; expected one kernel in all shards"
                )
        for key, record in part.cases:
            # A test of a sweep has a record for each of its points.
            place = (key, record.nodeid, record.case)
            if place in seen:
                problems.append(f"{record.nodeid}: in {seen[place]} and in {name}")
                continue
            seen[place] = name
            cases.append((key, record))
    missing = tuple(sorted(set(collected) - {record.nodeid for _, record in cases}))
    if missing:
        problems.append(f"{len(missing)} of {len(collected)} tests have no result: {missing[0]}, …")
    parts = [part for _, part in chosen.values()]
    whole = not problems
    results = ResultFile(
        shard=ShardRecord(),
        started=min(part.started for part in parts),
        ended=max(part.ended for part in parts),
        collected=collected,
        planned=collected,
        kernels=tuple(kernels.values()),
        cases=tuple(sorted(cases, key=lambda pair: (pair[0], pair[1].nodeid))),
        status=max((part.status or 0) for part in parts) if whole else None,
    )
    return Merged(results, tuple(problems), replaced, missing)


def read_all(paths: Iterable[Path]) -> list[tuple[str, ResultFile]]:
    """The files with their names."""
    return [(str(path), read_results(path)) for path in paths]


def _same_total(files: Sequence[tuple[str, ResultFile]]) -> int:
    totals = {part.shard.total for _, part in files}
    if len(totals) > 1:
        found = ", ".join(f"{name}: {part.shard}" for name, part in files[:4])
        raise UsageError(f"merge: shards of different runs ({found}); expected one number of them")
    return totals.pop()


def _same_collection(files: Sequence[tuple[str, ResultFile]]) -> tuple[str, ...]:
    """The whole suite, as every shard that came so far has seen it."""
    known: tuple[str, ...] | None = None
    for name, part in files:
        if part.collected is None:
            continue
        if known is not None and set(part.collected) != set(known):
            other = sorted(set(part.collected) ^ set(known))[0]
            raise UsageError(
                f"{name}: another suite than the other shards ({other}); expected the same cases, "
                "divided by the same --durations-from"
            )
        known = known or part.collected
    return known or ()


def _choose(
    files: Sequence[tuple[str, ResultFile]],
) -> tuple[dict[int, tuple[str, ResultFile]], int]:
    """One file per shard: a whole one before one that was cut short, then the latest."""
    chosen: dict[int, tuple[str, ResultFile]] = {}
    for name, part in files:
        index = part.shard.index
        old = chosen.get(index)
        if old is None or (part.whole, part.started) > (old[1].whole, old[1].started):
            chosen[index] = (name, part)
    return chosen, len(files) - len(chosen)
