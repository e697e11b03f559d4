"""A verdict as text: what leaked, who allocated it, who took over, who should have freed it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from errpath.cases.case import MountCase, Outcome, SecondTask
from errpath.cases.steps import Step
from errpath.faults.model import Fault, parts
from errpath.oracles.failure import LEAK, OOPS, RESOURCE_LEAK, WARNING
from errpath.oracles.frames import is_helper
from errpath.oracles.kmemleak import Record
from errpath.oracles.message_source import MessageSource
from errpath.oracles.ownership import OwnershipTrace
from errpath.oracles.releases import Release
from errpath.oracles.steps import order_of
from errpath.oracles.timeline import Holder, Place, Timeline, is_of_filesystem
from errpath.results.reports.crash_story import (
    crash_lines,
    error_in,
    error_lines,
    origin_of,
    resource_lines,
)
from errpath.results.reports.decoding import Decoder
from errpath.runner.kept_references import counted_in
from errpath.runner.lifetime import Lifetime
from errpath.runner.origin import Measured
from errpath.runner.result import Result
from errpath.runner.verdict import Status

__all__ = ["Decoder", "decode_record", "lifetime_lines", "ownership_lines", "render"]

# Where to look, in a story.
_LOOK = "  look at "
# Frees a fs_context, and before it what `free` of its fs_context_operations does.
_CONTEXT_END = "put_fs_context"


def decode_record(record: Record, decoder: Decoder) -> str:
    """kmemleak's record with file, line and inline frames."""
    lines = record.raw.splitlines()
    start = next((i for i, line in enumerate(lines) if line.startswith("  backtrace")), len(lines))
    out = lines[: start + 1]
    for site in record.backtrace:
        frames = decoder.resolve(site.function, site.offset, site.module)
        out += [
            f"    {frame.function}  {frame.file}:{frame.line} [inline]" for frame in frames[:-1]
        ]
        where = f"  {frames[-1].file}:{frames[-1].line}" if frames else ""
        out.append(f"    {site}{where}")
    return "\n".join(out)


def render(
    result: Result,
    decoder: Decoder | None,
    *,
    rerun: str,
    folder: Path | None,
    lifetime: Lifetime | None = None,
    blocked: str = "",
    origin: Measured | None = None,
    message: MessageSource | None = None,
) -> str:
    """The whole report of one case that is not a pass."""
    verdict = result.verdict
    case = verdict.case
    lines = [f"{case.id}: {verdict.status.value.upper()}"]
    lines += [f"  {reason}" for reason in verdict.reasons]
    lines += ["", *_what_was_done(result)]
    if verdict.leak is not None and decoder is not None:
        for record in verdict.leak.records:
            lines += ["", _indent(decode_record(record, decoder))]
    leak = verdict.leak
    if verdict.status is Status.FAIL and leak is not None and leak.repeats and not leak.confirmed:
        lines += ["", f"  suspected of a leak, which none of {leak.repeats} repeats showed"]
    for failure in verdict.failures:
        if failure.evidence and failure.kind not in (LEAK, RESOURCE_LEAK):
            lines += ["", _indent(failure.evidence)]
    shown = [one for one in verdict.failures if one.evidence and not one.follows]
    measured = origin_of(origin, case) if origin is not None else None
    takers = lifetime.takers if lifetime is not None else ()
    for failure in shown:
        own, measured = (measured, None) if failure.kind in (OOPS, WARNING) else (None, measured)
        if failure.kind not in (LEAK, RESOURCE_LEAK) and (
            story := crash_lines(failure, decoder, blocked, own)
        ):
            if takers or (lifetime and lifetime.timeline and counted_in([failure])):
                # Who kept it, or lost what held it, is behind the function that found it kept.
                story = [line for line in story if not line.startswith(_LOOK)]
            lines += ["", *story]
    if message is not None:
        lines += ["", *_message_lines(message)]
    lines += (
        ["", *_taker_lines(verdict.case, lifetime)]
        if lifetime is not None and takers
        else _resource_story(result, lifetime)
    )
    if verdict.status is Status.FAIL and verdict.leak is not None and decoder is not None:
        lines += ["", *ownership_lines(case, verdict.leak.records, result.story, decoder, lifetime)]
    lines += ["", f"  rerun      {rerun}"]
    if folder is not None:
        lines.append(f"  artefacts  {folder}")
    return "\n".join(lines)


def _message_lines(message: MessageSource) -> list[str]:
    """The source of an unexpected message, and its condition."""
    lines = [f"  printed    by {message.place}: {message.place.text}"]
    if message.condition:
        lines.append(f"  because    {message.condition}")
    return [*lines, f"  look at    {message.place}"]


def _resource_story(result: Result, lifetime: Lifetime | None) -> list[str]:
    """Of the first count by stack that grew, or of the module whose references did."""
    verdict = result.verdict
    lost = [one for one in verdict.failures if one.kind is RESOURCE_LEAK]
    if verdict.leak is not None or not lost:
        return []
    timeline = lifetime.timeline if lifetime is not None else None
    if timeline is not None:
        look = [] if timeline.remaining else [f"  look at    {timeline.lost}"]
        return ["", *lifetime_lines(timeline), *look]
    reason = lifetime.reason if lifetime is not None else ""
    stories = (resource_lines(one, verdict.case.filesystem) for one in lost)
    story = next((lines for lines in stories if lines), [])
    shown = [f"  lifetime   not measured: {reason}"] if reason else []
    return ["", *shown, *story] if shown or story else []


def _taker_lines(case: MountCase, lifetime: Lifetime) -> list[str]:
    """Who took and who put references to one thing, who kept most of them, and what became of the
    filesystem's pointer to it."""
    lines, takers = [], lifetime.takers
    for one in takers:
        word = "taken in" if one.taken else "put in"
        text = f": {one.place.text}" if one.place.text else ""
        counts = f"{one.taken} taken, {one.put} put"
        lines.append(f"  {word:<10} {one.place}, {counts}{text}")
    look, holder = takers[0].place, lifetime.holder
    if holder is not None and holder.gone is not None:
        lines.append(_held_line(holder))
        lines.append(_gone_line(holder, holder.gone))
        # Who let the pointer go with all that it was in had the last chance to put.
        look = holder.gone if holder.with_all and is_of_filesystem(holder.gone) else look
    if lifetime.release is not None:
        lines.append(_release_line(lifetime.release))
        look = lifetime.release.place
    return [*lines, *_error_lines(case, takers[0].way, str(look))]


def _held_line(holder: Holder) -> str:
    """Which word began to point to what was lost, and where."""
    text = f": {holder.stored.text}" if holder.stored.text else ""
    return f"  {'held by':<10} {holder.name}, in {holder.stored}{text}"


def _gone_line(holder: Holder, gone: Place) -> str:
    """How a word ceased to point to what was lost."""
    word = "freed" if holder.freed else "given up"
    what = f"what held {holder.name}" if holder.freed else holder.name
    late = ", later" if holder.freed and holder.elsewhere else ""
    text = f": {gone.text}" if gone.text and not holder.freed else ""
    return f"  {word:<10} {what}, in {gone}{late}{text}"


def _release_line(release: Release) -> str:
    """Which function should have released what was lost, by the source."""
    if not release.beside:
        return f"  released   nowhere but in {release.place}: {release.place.text}"
    names = ", ".join(release.beside)
    return (
        f"  beside     {release.place} releases {names}, which {release.stored_by} stored beside "
        f"{release.member}; nothing releases that"
    )


def _way(case: MountCase, timeline: Timeline, trace: OwnershipTrace | None) -> Sequence[str]:
    """The stack of the allocation, innermost first, where it tells more than where the last
    reference went: that was in the VFS, which frees what it has without asking what is in it, or
    the function that allocated saw the error itself, or its caller did."""
    if is_of_filesystem(timeline.lost) and not error_in(case, timeline.way[:2], trace):
        return ()
    return timeline.way


def _error_lines(
    case: MountCase, way: Sequence[str], otherwise: str, trace: OwnershipTrace | None = None
) -> list[str]:
    """Where to look: the function that saw the error, and on whose behalf the stack in question
    was; otherwise that which is given."""
    failing = error_in(case, way, trace)
    look = failing or otherwise
    return [*error_lines(failing), *([f"  look at    {look}"] if look else [])]


def _indent(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.splitlines())


def _what_was_done(result: Result) -> list[str]:
    case, outcome = result.verdict.case, result.verdict.outcome
    lines = []
    for fault in case.faults:
        fired = "not tried" if outcome is None else f"fired {_fired(case, fault, outcome)} times"
        lines.append(f"  forced     {fault.text} ({fired})")
    if case.differs:
        lines.append(f"  differs    {case.differs}")
    image = case.device.image
    lines.append(f"  device     {image.name if image is not None else 'no image'}{_traits(case)}")
    for number, step in enumerate(case.steps):
        got = "not tried"
        if outcome is not None and number < len(outcome.steps):
            got = str(outcome.steps[number])
        subject = f"{step.subject} " if step.subject else ""
        lines.append(f"  {step.op:<10} {subject}-> {got}")
        if outcome is not None and number in outcome.second_tasks:
            lines += _second_lines(step, outcome.second_tasks[number])
    return lines


def _second_lines(step: Step, second: SecondTask) -> list[str]:
    """What a second task did meanwhile, and in which order."""
    assert step.meanwhile is not None
    lines = []
    for number, other in enumerate(step.meanwhile.steps):
        got = str(second.steps[number]) if number < len(second.steps) else "not ended"
        subject = f"{other.subject} " if other.subject else ""
        lines.append(f"  meanwhile  {other.op} {subject}-> {got}")
    return [*lines, f"  order      {order_of(step, second)}"]


def _fired(case: MountCase, fault: Fault, outcome: Outcome) -> int:
    """How often a fault hit, over neighbouring steps that it was armed in."""
    if len(case.faults) == 1:
        return outcome.fired or 0
    ran = zip(case.steps, outcome.steps, strict=False)
    # Of two faults in one step, how often both did.
    return max(
        (
            got.fired or 0
            for step, got in ran
            if step.fail is not None and fault in parts(step.fail)
        ),
        default=0,
    )


def _traits(case: MountCase) -> str:
    device = case.device
    traits = [
        *(["read-only"] if device.readonly else []),
        *(["held exclusively by another"] if device.held else []),
        *([f"block node {device.node[0]}:{device.node[1]}"] if device.node else []),
    ]
    return f" ({', '.join(traits)})" if traits else ""


def lifetime_lines(timeline: Timeline) -> list[str]:
    """Allocated, held, given up, and where the last reference disappeared; one line each."""
    # What no function allocated is a module's own.
    word = "watched" if timeline.of_references else "allocated"
    lines = [f"  {word:<10} {timeline.allocated}, {timeline.size} bytes"]
    moves = [(one.began, _held_line(one)) for one in timeline.holders]
    moves += [
        (one.ended, _gone_line(one, one.gone)) for one in timeline.holders if one.gone is not None
    ]
    lines += [line for _, line in sorted(moves, key=lambda move: move[0])]
    for holder in timeline.remaining:
        lines.append(f"  remains    {holder.name}, in memory that nothing points to")
    if not timeline.holders:
        lines.append("  held by    nothing but the stack")
    if not timeline.remaining:
        what = "what held it last" if timeline.of_references else "the last reference"
        lines.append(f"  lost       {what} disappeared in {timeline.lost}")
    return lines


def _hook(names: Sequence[str]) -> str:
    """The kill_sb that ran, of the functions of the teardown."""
    before = names[: names.index("kill_block_super")]
    own = [name for name in before if name.endswith(("kill_sb", "kill_super"))]
    return own[-1] if own else "kill_block_super"


def ownership_lines(
    case: MountCase,
    records: Sequence[Record],
    story: OwnershipTrace | None,
    decoder: Decoder,
    lifetime: Lifetime | None = None,
) -> list[str]:
    """Who allocated, who took over, who should have freed; from the measured life of the object
    where there is one, the backtrace and the trace."""
    timeline = lifetime.timeline if lifetime is not None else None
    lines = lifetime_lines(timeline) if timeline is not None else []
    if lifetime is not None and lifetime.reason:
        lines.append(f"  lifetime   not measured: {lifetime.reason}")
    look = str(timeline.lost) if timeline is not None and not timeline.remaining else ""
    if lifetime is not None and lifetime.release is not None:
        lines.append(_release_line(lifetime.release))
        look = str(lifetime.release.place)
    way = _way(case, timeline, story) if timeline is not None else ()
    # Each object in one line, but for the one that has been shown.
    for record in records[1 if timeline is not None else 0 :]:
        site = next(
            (s for s in record.backtrace if not is_helper(s.function)),
            record.backtrace[0] if record.backtrace else None,
        )
        if site is None:
            continue
        frames = decoder.resolve(site.function, site.offset, site.module)
        where = f" ({frames[-1].file}:{frames[-1].line})" if frames else ""
        lines.append(f"  allocated  {site.function}{where}, {record.size} bytes")
    if story is None:
        return [*lines, *_error_lines(case, way, look)]
    function = case.fault.function if case.fault is not None else ""
    forced = function or "setup_bdev_super"
    # Only what the context owned changed hands; fill_super's own allocations never did.
    from_context = any(
        site.function == "alloc_fs_context" for record in records for site in record.backtrace
    )
    movers = ("sget_fc", "sget_dev") if from_context else ()
    moved = next((name for name in movers if story.ran(name)), None)
    if moved is not None and timeline is None:
        lines.append(
            f"  moved      by {moved} from fc->s_fs_info to sb->s_fs_info: the superblock owns it"
        )
    # The fault replaces the function, so that it may be missing from the trace.
    anchor = next((n for n in (forced, "sget_fc", "sget_dev") if story.ran(n)), None)
    teardown = story.after(anchor) if anchor else story.calls
    names = list(dict.fromkeys(call.function for call in teardown))
    lines.append(f"  teardown   {' -> '.join(names)}")
    if timeline is not None and timeline.lost.function == _CONTEXT_END:
        lines.append(
            "  not freed  the fs_context held it last: its fs_context_operations.free should have"
        )
        look, way = f"free of {case.filesystem}'s fs_context_operations", ()
    elif moved is not None and "kill_block_super" in names:
        lines.append(
            f"  not freed  {case.filesystem}'s kill_sb is {_hook(names)}, and nothing in the "
            "teardown freed it: kill_sb should have"
        )
        look, way = f"kill_sb of {case.filesystem}", ()
    lines += [*_error_lines(case, way, look, story), "", "  trace"]
    lines += [f"    {'  ' * call.depth}{call.function}" for call in story.calls]
    return lines
