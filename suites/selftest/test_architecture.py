"""The documents of the structure name what is there, and nothing else."""

from __future__ import annotations

import re

import pytest

from suites.selftest.paths import ROOT
from suites.selftest.test_layers import ORDER

_DOCS = ROOT / "docs"
_AGENT = ROOT / "guests" / "agent"


def _first_column(text: str) -> list[str]:
    """The names in backquotes of the first cells of all tables, in order."""
    cells = re.findall(r"(?m)^\| ([^|]*`[^|]*) \|", text)
    return [name for cell in cells for name in re.findall(r"`([^`]+)`", cell)]


def test_architecture_names_every_package_in_order() -> None:
    names = _first_column((_DOCS / "architecture.md").read_text())
    present = {path.stem for path in (ROOT / "harness" / "errpath").iterdir()}
    assert names == [name for name in ORDER if name in present]


def test_the_protocol_names_every_verb() -> None:
    text = (_DOCS / "agent-protocol.md").read_text()
    verbs = text[text.index("## Verbs") : text.index("## case.run")]
    table = re.search(r"VERBS\[\] = \{(.*?)\n\};", (_AGENT / "main.c").read_text(), re.DOTALL)
    assert table is not None
    names = re.findall(r'\{ "([\w.]+)",', table[1])
    assert len(names) > 10
    assert sorted(_first_column(verbs)) == sorted(names)


@pytest.mark.parametrize("name", ["architecture.md", "glossary.md", "agent-protocol.md"])
def test_links_and_paths_exist(name: str) -> None:
    text = (_DOCS / name).read_text()
    links = [_DOCS / link for link in re.findall(r"\]\(([\w./-]+)\)", text)]
    paths = [ROOT / path for path in re.findall(r"`((?:harness|guests|suites)/[\w./-]*)`", text)]
    assert links or paths
    assert [str(path) for path in (*links, *paths) if not path.exists()] == []


def test_glossary_is_sorted() -> None:
    terms = re.findall(r"(?m)^\| ([^|]+) \| [A-Z`]", (_DOCS / "glossary.md").read_text())
    assert len(terms) > 30
    assert terms == sorted(terms, key=lambda term: term.lower().replace("-", " "))
