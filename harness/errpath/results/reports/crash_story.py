"""What the kernel said of itself, as the steps that led there: allocated, freed, used; and where to
look. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from errpath.cases.case import MountCase
from errpath.oracles.failure import HANG, Failure
from errpath.oracles.frames import base_name, is_helper
from errpath.oracles.ownership import OwnershipTrace
from errpath.results.reports.decoding import Decoder, Frame
from errpath.runner.blocked import HANGING_TASK, OWNER_LINE, SAMPLE_LINE, TASK_LINE
from errpath.runner.origin import Measured

__all__ = [
    "OriginStory",
    "crash_lines",
    "error_in",
    "error_lines",
    "origin_of",
    "resource_lines",
]

_FRAME = re.compile(
    r"^\s*(?:\[<[0-9a-f]+>\] )?(?P<name>[A-Za-z_][\w.]*)\+0x(?P<offset>[0-9a-f]+)/0x[0-9a-f]+"
    r"(?: \[(?P<module>[\w-]+)(?: [0-9a-f]+)?\])?\s*$"
)
_RIP = re.compile(
    r"^RIP: [0-9a-f]+:(?P<name>[A-Za-z_][\w.]*)\+0x(?P<offset>[0-9a-f]+)/0x[0-9a-f]+"
    r"(?: \[(?P<module>[\w-]+)\])?",
    re.MULTILINE,
)
# Stacks that a checker of memory prints: SLUB's, and KASAN's.
_TRACKS = (
    ("allocated", re.compile(r"^(?:Allocated in |Allocated by task )")),
    ("freed", re.compile(r"^(?:Freed in |Freed by task )")),
)
_ADDRESS = re.compile(
    r"(?:address:? |non-canonical address |maybe for address )(?:0x)?([0-9a-f]{16}|0x[0-9a-f]+)"
)
# What a pointer is whose bytes are all the same, or that is next to nothing.
_POISON = {
    "6b": "memory that was freed (slab poison 0x6b)",
    "5a": "memory that was never written (slab poison 0x5a)",
    "bb": "a red zone in front of an object",
    "cc": "a red zone behind an object",
}
_NEAR_NULL = 1 << 16
# Kernel functions that only pass on what their caller did.
_PASSES_ON = re.compile(
    r"lock_buffer|mark_buffer_dirty|brelse|__brelse|iput|evict|remove_proc_entry|"
    r"(?:__)?kmap\w*|set_page_dirty\w*|__breadahead|__bread\w*|folio_\w+|filemap_\w+|"
    r"read_\w*folio\w*|do_read_cache_folio|"
    r"(?:__)?call_rcu\w*|kv?free_call_rcu|"
    r"hfs(?:plus)?_bnode_(?:read|write|copy|move|clear)\w*|"
    r"do_syscall_64|entry_SYSCALL\w*|ret_from_fork\w*|kthread"
)


# What waits for another task.
_HANDS_OVER = re.compile(
    r"_*flush_(?:work|workqueue|delayed_work)\w*|kthread_stop\w*|cancel_\w*work_sync|"
    r"_*wait_for_completion\w*|wait_for_common|_*wait_on_bit\w*|wb_wait_for_completion"
)
# Looks at a task that runs: so many that differ are a loop.
_SAMPLE_HEAD = re.compile(rf"(?m)^{SAMPLE_LINE}$")
_LOOKS_MIN = 3
_OWNER = re.compile(rf"(?m)^{OWNER_LINE}(.+) (\S+)$")
_TASK_HEAD = re.compile(rf"(?m)^{TASK_LINE}(\S+) \d+$")


@dataclass(frozen=True)
class _Site:
    """One frame of a printed stack."""

    name: str
    offset: int
    module: str | None
    exact: bool = False


@dataclass(frozen=True)
class OriginStory:
    """Where a bad value came from, in lines of a report, and whom that points to."""

    lines: tuple[str, ...]
    # Where to look; "" where the value alone does not say.
    look: str = ""


def origin_of(measured: Measured, case: MountCase) -> OriginStory:
    """What was measured of a value that a case crashed by."""
    origin = measured.origin
    if origin is None:
        return OriginStory((f"  origin     not measured: {measured.reason}",))
    text = f": {origin.loaded.text}" if origin.loaded.text else ""
    lines = [f"  loaded     {origin.value:#x}, in {origin.loaded}{text}"]
    if origin.stored is None:
        lines.append("  stored     before this case")
        return OriginStory(tuple(lines))
    word, text = "stored", f": {origin.stored.text}" if origin.stored.text else ""
    if origin.freed:
        word, text = "freed", text and f", what it was loaded from{text}"
    lines.append(f"  {word:<10} in {origin.stored}{text}")
    if len(origin.way) > 1:
        lines.append(f"  {'':<10} by {' <- '.join(origin.way)}")
    failing = error_in(case, origin.way)
    return OriginStory((*lines, *error_lines(failing)), failing)


def error_in(case: MountCase, way: Sequence[str], trace: OwnershipTrace | None = None) -> str:
    """The function of a stack, innermost first, that saw the error of what was made to fail: it is
    on that call chain, too. "" where none is. The chain is in the name of the case, or is how the
    function that fails was called in a trace."""
    failed = set(_failed(case))
    if trace is not None:
        failed |= {name for function in failed for name in trace.callers(function)}
    return next((name for name in way if name in failed), "")


def error_lines(failing: str) -> tuple[str, ...]:
    """The line of a report on what `error_in` gave; none for ""."""
    if not failing:
        return ()
    return (f"  error in   {failing}: what failed was called by it, and so was this",)


def _failed(case: MountCase) -> list[str]:
    """The functions of the call chain that was made to fail, by the name of its point."""
    names = re.findall(r"\w+(?=>)|(?<=>)\w+", case.id)
    return names or [fault.function for fault in case.faults if fault.function]


def crash_lines(
    failure: Failure,
    decoder: Decoder | None,
    blocked: str = "",
    origin: OriginStory | None = None,
) -> list[str]:
    """The steps of one failure that the kernel reported, and the line that says where to look; none
    for what has no stack. `blocked` are the other tasks that wait in a hang, with their stacks."""
    text = failure.evidence
    stacks = dict(_stacks(text))
    lines = []
    for word in ("allocated", "freed"):
        if own := _own(stacks.get(word, ())):
            lines.append(f"  {word:<10} {_place(own[0], decoder)}")
    pointer = _pointer(text)
    if pointer:
        lines.append(f"  pointer    {pointer}")
    stack = [*_instruction(text), *stacks.get("", ())]
    own = _own(stack) or _own(stacks.get("freed", ()))
    if not own:
        return []
    word = "waits in" if failure.kind is HANG else "reached"
    way = " <- ".join(dict.fromkeys(base_name(site.name) for site in own[:4]))
    lines.append(f"  {word:<10} {way}")
    lines += origin.lines if origin is not None else ()
    if "already free" in text and stacks.get("freed"):
        # The second free is often a tail call, and so in no stack: the first is of the same code.
        lines.append(f"  freed again {_place(own[0], decoder)}")
        own = _own(stacks["freed"]) or own
    if failure.kind is HANG:
        loop = _loop(blocked)
        if loop:
            lines.append(f"  loops in   {loop}, whatever it calls")
            lines.append(f"  look at    {loop}")
            return lines
        lines += _owner_lines(blocked)
        others = list(_others(blocked))
        for name, sites in others:
            way = " <- ".join(dict.fromkeys(base_name(site.name) for site in sites[:4]))
            lines.append(f"  also waits {name} in {way}")
        if others and any(_HANDS_OVER.fullmatch(base_name(site.name)) for site in stack):
            # It waits for another task, and that one for something else.
            own = others[0][1]
    cycle = _cycle(own) if failure.kind is HANG else []
    if cycle:
        lines.append(f"  look at    the cycle {' <- '.join(cycle)}")
        return lines
    look = origin.look if origin is not None else ""
    lines.append(f"  look at    {look or _place(_named(own), decoder)}")
    return lines


def resource_lines(failure: Failure, filesystem: str) -> list[str]:
    """Who took what is not given back, of a count that is kept by stack; none for others."""
    names = [name for name in failure.functions if not is_helper(name)]
    own = [name for name in names if filesystem in name][:2] or names[:2]
    if not own:
        return []
    way = " <- ".join(own)
    return [f"  taken in   {way}", f"  look at    {way}"]


def _named(own: Sequence[_Site]) -> _Site:
    """Of a stack, the function to look at: one of a module before built-in ones, as the core only
    does what it was asked for."""
    asked = [site for site in own if not _PASSES_ON.fullmatch(base_name(site.name))]
    return next((site for site in asked if site.module), next(iter(asked), own[0]))


def _cycle(own: Sequence[_Site]) -> list[str]:
    """The functions of modules through which a task called itself, innermost first: what it waits
    for it holds already."""
    names = [base_name(site.name) for site in own if site.module]
    twice = [name for name in names if names.count(name) > 1]
    return list(dict.fromkeys(twice))


def _stacks(text: str) -> Iterator[tuple[str, tuple[_Site, ...]]]:
    """The printed stacks, by what they are of; "" is that of the report itself."""
    found: dict[str, list[_Site]] = {}
    word = ""
    for line in text.splitlines():
        started = next((name for name, head in _TRACKS if head.match(line)), None)
        if started is not None:
            word = started
            continue
        match = _FRAME.match(line)
        if match is not None:
            site = _Site(match["name"], int(match["offset"], 16), match["module"])
            found.setdefault(word, []).append(site)
        elif not line.startswith(" ") or "Call Trace" in line:
            word = ""
    for name, sites in found.items():
        yield name, tuple(sites)


def _loop(blocked: str) -> str:
    """The innermost function of a module that every look at a running task found: the one that does
    not end; "" where there were not several different looks."""
    heads = _SAMPLE_HEAD.split(blocked)[1:]
    looks = [_own(dict(_stacks(text)).get("", ())) for text in heads]
    stacks = [[base_name(site.name) for site in look if site.module] for look in looks if look]
    if len(stacks) < _LOOKS_MIN or len({tuple(stack) for stack in stacks}) == 1:
        return ""
    common = [name for name in stacks[0] if all(name in stack for stack in stacks)]
    return common[0] if common else ""


def _others(blocked: str) -> Iterator[tuple[str, list[_Site]]]:
    """Names of tasks, and the frames of each that are no helpers."""
    parts = _TASK_HEAD.split(_SAMPLE_HEAD.split(blocked)[0])
    for name, text in zip(parts[1::2], parts[2::2], strict=True):
        sites = _own(dict(_stacks(text)).get("", ()))
        if sites:
            yield name, sites


def _owner_lines(blocked: str) -> list[str]:
    """Who holds the locks that tasks wait for."""
    lines = []
    for waiter, owner in _OWNER.findall(blocked):
        who = "itself" if waiter == owner else owner
        whose = "its lock is" if waiter.startswith(HANGING_TASK) else f"{waiter}'s lock is"
        lines.append(f"  owner      {whose} held by {who}")
    return lines


def _instruction(text: str) -> list[_Site]:
    match = _RIP.search(text)
    if match is None:
        return []
    return [_Site(match["name"], int(match["offset"], 16), match["module"], exact=True)]


def _own(sites: Sequence[_Site]) -> list[_Site]:
    return [site for site in sites if not is_helper(site.name)]


def _place(site: _Site, decoder: Decoder | None) -> str:
    frames = decoder.resolve(site.name, site.offset, site.module) if decoder is not None else ()
    if not frames:
        return base_name(site.name)
    # The innermost that is no helper: it may have been inlined. What a header has is everybody's.
    frame = next((one for one in frames if not _is_shared(one)), frames[-1])
    return f"{frame.function} ({frame.file}:{frame.line})"


def _is_shared(frame: Frame) -> bool:
    return is_helper(frame.function) or frame.file.startswith("include/")


def _pointer(text: str) -> str:
    """What the pointer was that could not be followed."""
    match = _ADDRESS.search(text)
    if match is None:
        return ""
    value = int(match[1], 16)
    digits = f"{value:016x}"
    for byte, meaning in _POISON.items():
        if digits.startswith(byte * 3) or digits[4:].startswith(byte * 4):
            return f"{value:#x}: {meaning}"
    if value < _NEAR_NULL:
        return f"{value:#x}: a member of NULL" if value else "NULL"
    return f"{value:#x}"
