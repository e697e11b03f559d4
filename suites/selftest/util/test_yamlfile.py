"""Strict YAML: what is wrong, where, and what was expected, on one line."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from errpath.errors import DefinitionError
from errpath.util import yamlfile


@dataclass(frozen=True)
class _Inner:
    size: int
    ratio: float = 1.0


@dataclass(frozen=True)
class _Outer:
    name: str
    count: int
    enabled: bool = False
    words: tuple[str, ...] = ()
    inner: _Inner | None = None
    table: dict[str, int] | None = None

    def __post_init__(self) -> None:
        if self.count < 0:
            raise ValueError(f"count: got {self.count}; expected at least 0")


def _load(directory: Path, text: str | bytes) -> _Outer:
    path = directory / "def.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return yamlfile.load(path, _Outer)


def test_a_whole_definition(tmp_path: Path) -> None:
    text = "name: x\ncount: 3\nenabled: yes\nwords: [a, b]\ninner: {size: 4, ratio: 2}\n"
    assert _load(tmp_path, text + "table: {k: 1}\n") == _Outer(
        "x", 3, True, ("a", "b"), _Inner(4, 2.0), {"k": 1}
    )
    assert _load(tmp_path, "name: x\ncount: 0\ninner: null\n") == _Outer("x", 0)


_GOOD = "name: x\ncount: 1\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (_GOOD + "coutn: 1\n", "3: unknown key 'coutn'; expected one of: name, count, enabled"),
        # The line of the key, not of the value below it.
        (_GOOD + "wrods:\n  - a\n", "3: unknown key 'wrods'; expected one of"),
        (_GOOD + "count: 2\n", "3: duplicate key 'count'; expected each key once"),
        (_GOOD + "inner: {size: 1, size: 2}\n", "3: duplicate key 'size'"),
        (_GOOD + "inner: {ratio: 1.5}\n", "3: inner has no key 'size'; expected an integer"),
        ("name: x\n", "1: the file has no key 'count'; expected an integer"),
        ("name: 3\ncount: 1\n", "1: name: got '3'; expected a string"),
        ("name: x\ncount: '1'\n", "2: count: got '1'; expected an integer"),
        ("name: x\ncount: yes\n", "2: count: got 'yes'; expected an integer"),
        ("name: x\ncount: 1.5\n", "2: count: got '1.5'; expected an integer"),
        ("name: x\ncount:\n", "2: count: got ''; expected an integer"),
        ("name: x\ncount: [1]\n", "2: count: got 'a list'; expected an integer"),
        (_GOOD + "enabled: 1\n", "3: enabled: got '1'; expected true or false"),
        (_GOOD + "words: a\n", "3: words: got 'a'; expected a list"),
        (_GOOD + "words:\n- a\n- 3\n", "5: words[1]: got '3'; expected a string"),
        (_GOOD + "inner: 3\n", "3: inner: got '3'; expected a mapping"),
        (_GOOD + "table: [1]\n", "3: table: got 'a list'; expected a mapping"),
        (_GOOD + "table: {a: b}\n", "3: table.a: got 'b'; expected an integer"),
        ("name: x\ncount: -1\n", "1: count: got -1; expected at least 0"),
        ("- a\n", "1: the file: got 'a list'; expected a mapping"),
        ("", "1: empty; expected a mapping"),
        ("# only words\n", "1: empty; expected a mapping"),
        ("name: x\n  count: 1\n", "2: mapping values are not allowed here; expected valid YAML"),
        ("name: [x\ncount: 1\n", "expected valid YAML"),
        ("name: x\n---\ncount: 1\n", "expected valid YAML"),
        ("name: &a x\ncount: *b\n", "2: found undefined alias 'b'; expected valid YAML"),
        ("name: x\x00\n", "1: "),
        # YAML takes it for a date, and it is none.
        ("name: 2026-13-45\ncount: 1\n", "1: name: got '2026-13-45'; expected a string"),
        ("name: x\ncount: !!int abc\n", "2: count: got 'abc'; expected an integer"),
        ("name: !color red\ncount: 1\n", "1: name: got 'red'; expected a string"),
        (_GOOD + "words: &a [*a]\n", "3: words[0]: got 'a list'; expected a string"),
    ],
)
def test_one_line_with_file_and_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DefinitionError) as caught:
        _load(tmp_path, text)
    said = str(caught.value)
    assert said.startswith(f"{tmp_path}/def.yaml:")
    assert message in said
    assert "\n" not in said
    assert "expected" in said


def test_what_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(DefinitionError, match=r"none.yaml: No such file.*; expected a YAML file"):
        yamlfile.load(tmp_path / "none.yaml", _Outer)
    with pytest.raises(DefinitionError, match="not UTF-8 text; expected a YAML file"):
        _load(tmp_path, b"name: \xff\n")


_RECORD = st.builds(
    _Outer,
    name=st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=20),
    count=st.integers(0, 2**70),
    enabled=st.booleans(),
    words=st.lists(st.text("ab:#-*&!%@ ", max_size=5), max_size=4).map(tuple),
    inner=st.none() | st.builds(_Inner, st.integers(), st.floats(allow_nan=False)),
    table=st.none() | st.dictionaries(st.text("abc", min_size=1), st.integers()),
)


@given(record=_RECORD)
def test_what_is_written_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, record: _Outer
) -> None:
    values: dict[str, object] = {**vars(record), "words": list(record.words)}
    values["inner"] = vars(record.inner) if record.inner is not None else None
    text = yaml.safe_dump(values, allow_unicode=True)
    assert _load(tmp_path_factory.getbasetemp(), text) == record


@given(text=st.text(st.sampled_from("name:count1 \n-[]{}&*!|>'\"#%@,?\t"), max_size=40))
def test_no_text_brings_a_traceback(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    said = ""
    try:
        _load(tmp_path_factory.getbasetemp(), text)
    except DefinitionError as error:
        said = str(error)
    assert "\n" not in said
