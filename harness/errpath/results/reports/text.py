"""A verdict as text: what leaked, who allocated it, who took over, who should have freed it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from errpath.cases.case import MountCase
from errpath.oracles.failure import LEAK, RESOURCE_LEAK
from errpath.oracles.frames import is_helper
from errpath.oracles.kmemleak import Record
from errpath.oracles.ownership import OwnershipTrace
from errpath.runner.result import Result
from errpath.runner.verdict import Status

__all__ = ["Decoder", "decode_record", "ownership_lines", "render"]


class Frame(Protocol):
    """One source position; `errpath.kernel.symbols.symbolizer.Frame` is one."""

    @property
    def function(self) -> str: ...
    @property
    def file(self) -> str: ...
    @property
    def line(self) -> int: ...
    @property
    def inlined(self) -> bool: ...


class Decoder(Protocol):
    """Function and offset → source positions, innermost first; () where unknown."""

    def resolve(self, function: str, offset: int, module: str | None = None) -> Sequence[Frame]: ...


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


def render(result: Result, decoder: Decoder | None, *, rerun: str, folder: Path | None) -> str:
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
    if verdict.status is Status.FAIL and verdict.leak is not None and decoder is not None:
        lines += ["", *ownership_lines(case, verdict.leak.records, result.story, decoder)]
    lines += ["", f"  rerun      {rerun}"]
    if folder is not None:
        lines.append(f"  artefacts  {folder}")
    return "\n".join(lines)


def _indent(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.splitlines())


def _what_was_done(result: Result) -> list[str]:
    case, outcome = result.verdict.case, result.verdict.outcome
    lines = []
    if case.fault is not None:
        fired = "not tried" if outcome is None else f"fired {outcome.fired or 0} times"
        lines.append(f"  forced     {case.fault.text} ({fired})")
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
    return lines


def _traits(case: MountCase) -> str:
    device = case.device
    traits = [
        *(["read-only"] if device.readonly else []),
        *(["held exclusively by another"] if device.held else []),
        *([f"block node {device.node[0]}:{device.node[1]}"] if device.node else []),
    ]
    return f" ({', '.join(traits)})" if traits else ""


def ownership_lines(
    case: MountCase, records: Sequence[Record], story: OwnershipTrace | None, decoder: Decoder
) -> list[str]:
    """Who allocated, who took over, who should have freed; from the backtrace and the trace."""
    lines = []
    for record in records:
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
        return lines
    function = case.fault.function if case.fault is not None else ""
    forced = function or "setup_bdev_super"
    # Only what the context owned changed hands; fill_super's own allocations never did.
    from_context = any(
        site.function == "alloc_fs_context" for record in records for site in record.backtrace
    )
    movers = ("sget_fc", "sget_dev") if from_context else ()
    moved = next((name for name in movers if story.ran(name)), None)
    if moved is not None:
        lines.append(
            f"  taken over {moved} moved fc->s_fs_info to sb->s_fs_info: the superblock owns it"
        )
    # The fault replaces the function, so that it may be missing from the trace.
    anchor = next((n for n in (forced, "sget_fc", "sget_dev") if story.ran(n)), None)
    way_out = story.after(anchor) if anchor else story.calls
    names = list(dict.fromkeys(call.function for call in way_out))
    lines.append(f"  way out    {' -> '.join(names)}")
    if moved is not None and "kill_block_super" in names:
        before = names[: names.index("kill_block_super")]
        own = [name for name in before if name.endswith(("kill_sb", "kill_super"))]
        hook = own[-1] if own else "kill_block_super"
        lines.append(
            f"  not freed  {case.filesystem}'s kill_sb is {hook}, and nothing on the way out freed "
            "it: kill_sb should have"
        )
    lines += ["", "  trace"]
    lines += [f"    {'  ' * call.depth}{call.function}" for call in story.calls]
    return lines
