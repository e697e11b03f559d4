"""The golden files' own reader: what it does not know, it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest

from suites.selftest import golden
from suites.selftest.golden import GoldenError

_GOOD = """\
# why
Kind: oops

== input ==
one

\\== two
== expected ==
three
"""


def _write(directory: Path, text: str) -> Path:
    path = directory / "case.txt"
    path.write_text(text)
    return path


def test_reads_headers_and_sections(tmp_path: Path) -> None:
    case = golden.load(_write(tmp_path, _GOOD), headers=["Kind"])
    assert case.headers == {"Kind": "oops"}
    assert case.input == "one\n\n== two\n"
    assert case.expected == "three\n"
    assert case.head + case.expected == _GOOD


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("Kind: oops", "Knid: oops"), r"case.txt:2: unknown header 'Knid: oops'"),
        (("Kind: oops", "just words"), r"case.txt:2: unknown header 'just words'"),
        (("Kind: oops", "Kind: oops\nKind: bug"), r"case.txt:3: header 'Kind' twice"),
        (("== input ==", "== inptu =="), r"case.txt:4: unknown section 'inptu'"),
        (("== expected ==", "three\n== input =="), r"section 'input' twice"),
        (("== expected ==", "three"), r"no section 'expected'"),
    ],
)
def test_refuses_what_it_does_not_know(
    tmp_path: Path, change: tuple[str, str], message: str
) -> None:
    path = _write(tmp_path, _GOOD.replace(*change))
    with pytest.raises(GoldenError, match=message):
        golden.load(path, headers=["Kind"])


def test_expected_stands_last(tmp_path: Path) -> None:
    path = _write(tmp_path, "== expected ==\nx\n== input ==\ny\n")
    with pytest.raises(GoldenError, match="last"):
        golden.load(path)


def test_an_area_without_files_is_an_error() -> None:
    with pytest.raises(GoldenError, match="no golden files"):
        golden.golden_cases("no-such-area")


_INNER = """
from pathlib import Path
from suites.selftest import golden

def test_it(request):
    golden.check(golden.load(Path("case.txt")), "== new\\nlines", request)
"""


def test_update_rewrites_only_what_is_expected(tmp_path: Path, pytester: pytest.Pytester) -> None:
    pytester.makeconftest("from suites.selftest.conftest import pytest_addoption")
    pytester.makepyfile(_INNER)
    path = _write(pytester.path, "# why\n== input ==\nraw\n== expected ==\nold\n")
    result = pytester.runpytest()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*-old*", "*+== new*"])
    pytester.runpytest("--update-golden").assert_outcomes(passed=1)
    assert path.read_text() == "# why\n== input ==\nraw\n== expected ==\n\\== new\nlines\n"
    pytester.runpytest().assert_outcomes(passed=1)


pytest_plugins = ["pytester"]
