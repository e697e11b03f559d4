"""Whether a kernel has a change, told by its code."""

from __future__ import annotations

import pytest

from errpath.kernel.features.change import Change, has_change


class _Code:
    """Code of one file, and of functions of which some may be unknown."""

    def __init__(self, *, text: str | None = None, function: bool | None = None) -> None:
        self._text, self._function = text, function

    def source(self, path: str) -> str | None:
        return self._text if path == "fs/hfs/super.c" else None

    def has_function(self, name: str) -> bool | None:
        return self._function


_PATTERN = Change("hfs: check", file="fs/hfs/super.c", pattern=r"^\treturn check\(")
_FUNCTION = Change("hfs: check", function="check")


@pytest.mark.parametrize(
    ("text", "answer"),
    [("{\n\treturn check(sb);\n}", True), ("{\n\treturn 0;\n}", False), (None, None)],
)
def test_a_pattern_in_the_source_tells(text: str | None, answer: bool | None) -> None:
    assert has_change(_Code(text=text), _PATTERN) is answer


def test_a_file_that_the_kernel_does_not_have_tells_nothing() -> None:
    change = Change("hfs: check", file="fs/hfs/gone.c", pattern="check")
    assert has_change(_Code(text="check"), change) is None


@pytest.mark.parametrize("answer", [True, False, None])
def test_a_function_tells(answer: bool | None) -> None:
    assert has_change(_Code(function=answer), _FUNCTION) is answer


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"commit": ""}, "expected the title"),
        ({"commit": "a"}, "expected either function, or file and pattern"),
        ({"commit": "a", "file": "x.c"}, "expected either"),
        ({"commit": "a", "pattern": "x"}, "expected either"),
        ({"commit": "a", "function": "f", "file": "x.c", "pattern": "x"}, "expected either"),
        ({"commit": "a", "file": "x.c", "pattern": "("}, "expected a regular expression"),
    ],
)
def test_what_tells_nothing_is_refused(values: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Change(**values)
