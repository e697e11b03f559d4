"""The life of a lost object as a picture: a lane for each holder, time downwards. Pure.

Time runs down and not across so that it can be read on a telephone: a lane is narrow, a line of
text is not.
"""

from __future__ import annotations

from dataclasses import dataclass
from html import escape

from errpath.oracles.timeline import Holder, Place, Timeline

__all__ = ["lifetime_svg"]

# Pixels.
_WIDTH = 420
_LANE = 16
_ROW = 46
_TOP = 26
_BAR = 8
# Characters of a line of text at the picture's width.
_CHARACTERS = 46

_STYLE = """
svg { font: 12px system-ui, sans-serif; fill: #1b1f24; background: #fff; }
.code { font: 11px ui-monospace, monospace; fill: #57606a; }
.bar { fill: #0969da; } .freed { fill: #cf222e; } .birth { fill: #1a7f37; }
.move { stroke: #0969da; stroke-width: 1.5; fill: none; marker-end: url(#arrow); }
.lost { font-weight: 600; fill: #cf222e; }
@media (prefers-color-scheme: dark) {
  svg { fill: #e6edf3; background: #0d1117; } .code { fill: #8b949e; }
  .bar { fill: #58a6ff; } .freed, .lost { fill: #ff7b72; } .birth { fill: #56d364; }
  .move { stroke: #58a6ff; }
}
"""


@dataclass(frozen=True)
class _Row:
    """One moment."""

    order: int
    words: str
    place: Place
    # Lane that begins or ends here; None for the allocation.
    lane: int | None
    kind: str


def lifetime_svg(timeline: Timeline) -> str:
    """An SVG document; its text says all that the picture does."""
    rows = _rows(timeline)
    left = 14 + _LANE * max(len(timeline.holders), 1)
    height = _TOP + _ROW * (len(rows) + 1)
    at = {row.order: _TOP + _ROW * number for number, row in enumerate(rows)}
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" '
        f'width="100%" style="max-width:{_WIDTH}px" role="img" aria-labelledby="t">',
        f'<title id="t">{escape(_summary(timeline))}</title>',
        f"<style>{_STYLE}</style>",
        '<defs><marker id="arrow" viewBox="0 0 6 6" refX="5" refY="3" markerWidth="6" '
        'markerHeight="6" orient="auto"><path class="bar" d="M0 0L6 3L0 6z"/></marker></defs>',
    ]
    bottom = _TOP + _ROW * len(rows)
    for lane, holder in enumerate(timeline.holders):
        top = at[holder.began]
        end = at[holder.ended] if holder.gone is not None else bottom
        name = escape(f"{holder.name}: {holder.stored} to {holder.gone or 'the end'}")
        parts.append(
            f'<rect class="bar" x="{_x(lane)}" y="{top}" width="{_BAR}" rx="3" '
            f'height="{max(end - top, 4)}"><title>{name}</title></rect>'
        )
        if holder.freed:
            parts.append(_mark("freed", lane, end))
    parts += _moves(timeline, at)
    for row in rows:
        parts += _text(row, left, at[row.order])
    parts += _last_line(timeline, left, bottom)
    return "\n".join([*parts, "</svg>", ""])


def _rows(timeline: Timeline) -> list[_Row]:
    rows = [_Row(-1, f"allocated, {timeline.size} bytes", timeline.allocated, None, "birth")]
    for lane, one in enumerate(timeline.holders):
        rows.append(_Row(one.began, f"held by {one.name}", one.stored, lane, "bar"))
        if one.gone is not None:
            words = f"what held {one.name} is freed" if one.freed else f"given up: {one.name}"
            kind = "freed" if one.freed else "bar"
            rows.append(_Row(one.ended, words, one.gone, lane, kind))
    return sorted(rows, key=lambda row: row.order)


def _x(lane: int) -> int:
    return 10 + _LANE * lane


def _mark(kind: str, lane: int, y: int) -> str:
    return f'<circle class="{kind}" cx="{_x(lane) + _BAR // 2}" cy="{y}" r="5"/>'


def _moves(timeline: Timeline, at: dict[int, int]) -> list[str]:
    """An arrow where one holder's function gives it up to another."""
    parts = []
    for lane, one in enumerate(timeline.holders):
        for to, other in enumerate(timeline.holders):
            if _handed_over(one, other):
                y = at[other.began]
                start, end = _x(lane) + _BAR, _x(to)
                if start > end:
                    start, end = _x(lane), _x(to) + _BAR
                parts.append(f'<path class="move" d="M{start} {y}L{end} {y}"/>')
    return parts


def _handed_over(one: Holder, other: Holder) -> bool:
    """Whether the function that took the pointer from one holder had given it to the other."""
    return (
        one.gone is not None
        and not one.freed
        and one.began < other.began < one.ended
        and one.gone.function == other.stored.function
    )


def _text(row: _Row, left: int, y: int) -> list[str]:
    lines = [f'<text x="{left}" y="{y}">{_cut(row.words)}</text>']
    lines.append(f'<text x="{left}" y="{y + 14}">{_cut(str(row.place))}</text>')
    if row.place.text:
        lines.append(f'<text class="code" x="{left}" y="{y + 28}">{_cut(row.place.text)}</text>')
    if row.kind == "birth":
        lines.append(f'<circle class="birth" cx="14" cy="{y - 4}" r="5"/>')
    return lines


def _last_line(timeline: Timeline, left: int, y: int) -> list[str]:
    if timeline.remaining:
        words = ("unreachable, and still held by", timeline.remaining[0].name)
    else:
        words = ("the last reference disappeared in", str(timeline.lost))
    return [
        f'<text class="lost" x="{left}" y="{y + 14 * number}">{_cut(text)}</text>'
        for number, text in enumerate(words)
    ]


def _summary(timeline: Timeline) -> str:
    return f"{timeline.size} bytes from {timeline.allocated.function}: {timeline.lost}"


def _cut(text: str) -> str:
    return escape(text if len(text) <= _CHARACTERS else f"{text[: _CHARACTERS - 1]}…")
