"""Parts of the HTML pages: frame, style, marks, small charts. No script, nothing from elsewhere.

Colours are Okabe and Ito's, which the colour-blind can tell apart; and nothing is said by colour
alone: every mark has its word, and fill and outline differ as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from errpath.util.times import duration

__all__ = ["bars", "document", "line", "link", "mark"]

_STYLE = """
:root { color-scheme: light; --ink: #1b1b1b; --soft: #5a5a5a; --line: #d0d0d0; --paper: #fff; }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 75rem; padding: 1rem; color: var(--ink);
  background: var(--paper); font: 1rem/1.45 system-ui, sans-serif; }
h1 { font-size: 1.4rem; margin: 0 0 .3rem; } h2 { font-size: 1.15rem; margin: 1.8rem 0 .5rem; }
h3 { font-size: 1rem; margin: 1rem 0 .3rem; }
a { color: #00507f; } a:focus, summary:focus { outline: 3px solid #E69F00; }
.soft { color: var(--soft); } code { font: .9em/1.35 ui-monospace, monospace; }
code, .break { overflow-wrap: anywhere; }
.banner { border-left: .6rem solid #009E73; padding: .6rem .8rem; margin: .8rem 0;
  background: #f3f3f3; font-size: 1.1rem; }
.banner.bad { border-color: #D55E00; } .banner.partial { border-color: #E69F00; }
.tiles { display: flex; flex-wrap: wrap; gap: .5rem; padding: 0; margin: .8rem 0;
  list-style: none; }
.tiles li { border: 1px solid var(--line); padding: .3rem .7rem; min-width: 6.5rem; }
.tiles b { display: block; font-size: 1.3rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: .92rem; }
th, td { border: 1px solid var(--line); padding: .3rem .5rem; text-align: left;
  vertical-align: top; }
th { background: #f3f3f3; } td.n { text-align: right; font-variant-numeric: tabular-nums; }
.m { display: inline-block; padding: 0 .4rem; border: 2px solid; white-space: nowrap;
  font-size: .88rem; line-height: 1.4; }
.m.bad { background: #D55E00; border-color: #D55E00; color: #fff; font-weight: 700; }
.m.old { background: #fff; border-color: #D55E00; color: #8a3d00; font-weight: 700; }
.m.maybe { background: #fff6d6; border-color: #E69F00; color: #5c4000; border-style: dashed; }
.m.known { background: #f6e5f0; border-color: #CC79A7; color: #6b2b50; }
.m.good { background: #fff; border-color: #009E73; color: #00543d; }
.m.ok { background: #fff; border-color: #fff; color: #00543d; }
.m.new { background: #e3f1fa; border-color: #56B4E9; color: #003d5c; }
.m.infrastructure { background: #eee; border-color: #555; color: #222; border-style: dotted; }
details { margin: .3rem 0; } summary { cursor: pointer; }
.cases { padding-left: 1.1rem; margin: .3rem 0; } .cases li { margin: .25rem 0; }
.strip { letter-spacing: .05em; font: .85rem ui-monospace, monospace; white-space: nowrap; }
svg { max-width: 100%; height: auto; } svg text { font: 11px system-ui, sans-serif; }
@media (max-width: 40rem) { body { padding: .7rem; } th, td { padding: .25rem .35rem; }
  .tiles li { flex: 1 1 40%; } .scroll th:first-child { position: sticky; left: 0; }
  .stack thead { display: none; } .stack tr { display: block; border: 1px solid var(--line);
    margin-bottom: .6rem; padding: .3rem; }
  .stack td { display: inline-block; border: 0; padding: .15rem .4rem .15rem 0; }
  .stack td:first-child, .stack td:last-child { display: block; } }
@media print { details > * { display: block; } }
"""

# Class and word of each kind of judgement.
_MARKS = {
    "new failure": ("bad", "✗ NEW"),
    "unconfirmed failure": ("maybe", "? unconfirmed"),
    "still failing": ("old", "✗ still"),
    "flaky": ("maybe", "~ flaky"),
    "known": ("known", "✗ known"),
    "fixed": ("good", "✓ FIXED"),
    "new case": ("new", "+ new case"),
    "gone case": ("new", "- gone"),
    "infrastructure": ("infrastructure", "! infrastructure"),
    "not run": ("infrastructure", "… not run"),
    "skipped": ("infrastructure", "- skipped"),
    "passing": ("ok", "✓ ok"),
}


def document(title: str, body: str) -> str:
    """A whole page."""
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n"
        f"<body>\n{body}\n</body>\n</html>\n"
    )


def mark(kind: str, count: int | None = None) -> str:
    """A kind of judgement in colour and words."""
    style, word = _MARKS[kind]
    number = f" {count}" if count is not None else ""
    return f'<span class="m {style}">{escape(word)}{number}</span>'


def link(target: str, text: str) -> str:
    """A link, if there is somewhere to go. Only paths and web addresses are followed."""
    if not target or (":" in target.split("/")[0] and not target.startswith(("http", "mailto:"))):
        return escape(text)
    return f'<a href="{escape(target)}">{escape(text)}</a>'


def bars(values: Sequence[tuple[str, int, int]], *, what: str) -> str:
    """A bar per night: (name, failing, others). Failing is filled and hatched, on top."""
    if not values:
        return ""
    step, height = 18, 70
    width = max(len(values) * step, 160)
    most = max(failing + others for _, failing, others in values) or 1
    out = [
        f'<svg viewBox="0 0 {width} {height + 16}" width="{width}" height="{height + 16}" '
        f'role="img" aria-label="{escape(what)}">',
        '<defs><pattern id="h" width="5" height="5" patternUnits="userSpaceOnUse">'
        '<rect width="5" height="5" fill="#D55E00"/>'
        '<path d="M0 5L5 0" stroke="#fff" stroke-width="1"/></pattern></defs>',
    ]
    for number, (name, failing, others) in enumerate(values):
        x = number * step + 2
        low = others / most * height
        high = max(failing / most * height, 2.0 if failing else 0.0)
        title = escape(f"{name}: {failing} failing, {others} others")
        out.append(
            f"<g><title>{title}</title>"
            f'<rect x="{x}" y="{height - low:.1f}" width="{step - 4}" height="{low:.1f}" '
            'fill="#56B4E9"/>'
            f'<rect x="{x}" y="{max(height - low - high, 0):.1f}" width="{step - 4}" '
            f'height="{high:.1f}" fill="url(#h)"/></g>'
        )
    last = values[-1]
    out.append(f'<text x="2" y="{height + 13}">{last[1]} failing, {last[2]} others</text></svg>')
    return "".join(out)


def line(values: Sequence[tuple[str, float]], *, what: str) -> str:
    """A line of durations, one point per night, from zero."""
    if not values:
        return ""
    step, height = 18, 70
    width = max(len(values) * step, 160)
    most = max(seconds for _, seconds in values) or 1.0
    points = [
        (number * step + 9, height - seconds / most * (height - 8), name, seconds)
        for number, (name, seconds) in enumerate(values)
    ]
    path = " ".join(f"{x},{y:.1f}" for x, y, _, _ in points)
    dots = "".join(
        f'<circle cx="{x}" cy="{y:.1f}" r="3" fill="#00507f"><title>'
        f"{escape(f'{name}: {duration(seconds)}')}</title></circle>"
        for x, y, name, seconds in points
    )
    return (
        f'<svg viewBox="0 0 {width} {height + 16}" width="{width}" height="{height + 16}" '
        f'role="img" aria-label="{escape(what)}">'
        f'<polyline points="{path}" fill="none" stroke="#00507f" stroke-width="1.5"/>{dots}'
        f'<text x="2" y="{height + 13}">last {duration(values[-1][1])}, '
        f"most {duration(most)}</text>"
        "</svg>"
    )
