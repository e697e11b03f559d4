"""Golden cases: one file each, with headers, raw input and what must come of it.

    # why this case is here
    Name: value

    == input ==
    raw text
    == expected ==
    text

Headers are optional; a header or a section that the test does not know is an error, because a
misspelt one would silently test nothing. `pytest --update-golden` rewrites the expected part.
A line of the text that begins with `== ` is written with a backslash in front.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

__all__ = ["Golden", "GoldenError", "check", "golden_cases", "load"]

_ROOT = Path(__file__).parent / "golden"
_HEADER = re.compile(r"^([A-Z][\w-]*):(?: (.*))?$")
_SECTION = re.compile(r"^== ([a-z]+) ==$")


class GoldenError(Exception):
    """A golden file is not what its test expects; the text begins with `file:line:`."""


@dataclass(frozen=True)
class Golden:
    """One golden file."""

    path: Path
    headers: Mapping[str, str]
    # Text of each section but the last, by name; each ends in a newline unless it is empty.
    sections: Mapping[str, str]
    expected: str
    # The file up to and with the line `== expected ==`.
    head: str

    @property
    def input(self) -> str:
        return self.sections["input"]


def golden_cases(area: str) -> pytest.MarkDecorator:
    """Parametrize `path` over the golden files of one area.

    Raises:
        GoldenError: there is none: a loop over nothing would pass.
    """
    paths = sorted((_ROOT / area).glob("*.txt"))
    if not paths:
        raise GoldenError(f"{_ROOT / area}:1: no golden files; expected at least one")
    return pytest.mark.parametrize("path", paths, ids=[path.stem for path in paths])


def load(
    path: Path, *, headers: Collection[str] = (), sections: Collection[str] = ("input",)
) -> Golden:
    """Read a golden file whose headers are among `headers` and whose sections are `sections`.

    Raises:
        GoldenError: an unknown, repeated or missing part.
    """
    found: dict[str, str] = {}
    texts: dict[str, list[str]] = {}
    current: list[str] | None = None
    head = ""
    for number, line in enumerate(path.read_text().splitlines(), 1):
        where = f"{path}:{number}"
        section = _SECTION.match(line)
        if "expected" not in texts:
            head += line + "\n"
        if section is not None:
            name = section[1]
            if name not in (*sections, "expected"):
                raise GoldenError(f"{where}: unknown section {name!r}; expected {sections}")
            if name in texts:
                raise GoldenError(f"{where}: section {name!r} twice")
            current = texts.setdefault(name, [])
        elif current is not None:
            current.append(line.removeprefix("\\") if line.startswith("\\== ") else line)
        elif line and not line.startswith("#"):
            header = _HEADER.match(line)
            if header is None or header[1] not in headers:
                raise GoldenError(f"{where}: unknown header {line!r}; expected {sorted(headers)}")
            if header[1] in found:
                raise GoldenError(f"{where}: header {header[1]!r} twice")
            found[header[1]] = header[2] or ""
    missing = [name for name in (*sections, "expected") if name not in texts]
    if missing:
        raise GoldenError(f"{path}:1: no section {missing[0]!r}")
    if next(reversed(texts)) != "expected":
        raise GoldenError(f"{path}:1: expected the section 'expected' last")
    joined = {name: "".join(f"{line}\n" for line in lines) for name, lines in texts.items()}
    return Golden(path, found, joined, joined.pop("expected"), head)


def check(golden: Golden, actual: str, request: pytest.FixtureRequest) -> None:
    """Compare what came with what was expected, or rewrite the file with --update-golden."""
    actual = actual if actual.endswith("\n") or not actual else actual + "\n"
    if actual == golden.expected:
        return
    if request.config.getoption("update_golden", default=False):
        body = re.sub(r"(?m)^== ", r"\\== ", actual)
        golden.path.write_text(golden.head + body)
        return
    lines = difflib.unified_diff(
        golden.expected.splitlines(), actual.splitlines(), "expected", "actual", lineterm=""
    )
    pytest.fail(f"{golden.path}:\n" + "\n".join(lines), pytrace=False)
