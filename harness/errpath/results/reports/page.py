"""HTML pages from the templates beside this module.

Colours are Okabe and Ito's, which the colour-blind can distinguish; and nothing is shown by colour
alone: every mark has its word, and fill and outline differ as well. The pages have no script and
take nothing from elsewhere.
"""

from __future__ import annotations

import functools
import os
from dataclasses import dataclass
from pathlib import Path

import jinja2

from errpath.results.regression import Kind
from errpath.util.times import duration, local_minute

__all__ = ["render_page"]


@dataclass(frozen=True)
class _Mark:
    """How a kind of judgement is shown."""

    # Of templates/style.css.
    style: str
    word: str


_MARKS = {
    "new failure": _Mark("bad", "✗ NEW"),
    "unconfirmed failure": _Mark("maybe", "? unconfirmed"),
    "still failing": _Mark("old", "✗ still"),
    "flaky": _Mark("maybe", "~ flaky"),
    "known": _Mark("known", "✗ known"),
    "fixed": _Mark("good", "✓ FIXED"),
    "new case": _Mark("new", "+ new case"),
    "gone case": _Mark("new", "- gone"),
    "infrastructure": _Mark("infrastructure", "! infrastructure"),
    "not run": _Mark("infrastructure", "… not run"),
    "skipped": _Mark("infrastructure", "- skipped"),
    "passing": _Mark("ok", "✓ ok"),
}


def render_page(template: str, **values: object) -> str:
    """A page; `template` is the name of a file in `templates`."""
    return _environment().get_template(template).render(values)


@functools.cache
def _environment() -> jinja2.Environment:
    made = jinja2.Environment(
        loader=jinja2.PackageLoader("errpath.results.reports"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    made.globals |= {"kinds": tuple(Kind), "marks": _MARKS}
    made.filters |= {
        "duration": duration,
        "local_minute": local_minute,
        "relative": _relative,
        "tenth": lambda value: f"{value:.1f}",
    }
    made.tests |= {"followed": _followed, "web": _web}
    return made


def _followed(target: str) -> bool:
    """Whether there is somewhere to go: only paths and web addresses are followed."""
    return bool(target) and (":" not in target.split("/")[0] or _web(target))


def _web(target: str) -> bool:
    return target.startswith(("http://", "https://", "mailto:"))


def _relative(path: str, directory: str) -> str:
    if not Path(path).is_absolute():
        return path
    return os.path.relpath(path, directory) + ("/" if path.endswith("/") else "")
