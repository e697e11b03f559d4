"""C source of the kernel → functions, what they call, and their error exits. Pure.

Reads kernel style, not C: a function's name and arguments start a line, its braces stand in the
first column. That is what `fs/` looks like, and it needs no compiler.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

__all__ = [
    "Exit",
    "Function",
    "called_from",
    "definitions",
    "error_exits",
    "functions",
    "only_below",
]

_FUNCTION = re.compile(
    r"^(?P<head>[A-Za-z_][^;{}#=]*?\b(?P<name>\w+)\s*\([^;{}]*\))\s*?\n\{\n(?P<body>.*?)^\}",
    re.MULTILINE | re.DOTALL,
)
_COMMENT = re.compile(r"/\*.*?\*/|//[^\n]*", re.DOTALL)
_STRING = re.compile(r'"(?:[^"\\\n]|\\.)*"')
_DIRECTIVE = re.compile(r"\s*#\s*(?P<word>if(?:n?def)?|elif|else|endif)\b(?P<rest>.*)")
# Labels that lead out of a function with an error, by the words that the kernel uses for them.
_ERROR_LABEL = re.compile(
    r"(?:^|_)(?:out|fail(?:ed)?|err(?:or)?\d*|err\d|bail|free|release|put|invalid|kaboom|bad)(?:_|$)"
)
_ERROR_RETURN = re.compile(
    r"return\s+(?:-E\w+|ERR_\w+\(.*|PTR_ERR\(.*|NULL|false|true|error|err|ret|retval|res|result|rc)\b"
)
_LITERAL_ERROR = re.compile(r"return\s+(?:-E\w+|ERR_(?:PTR|CAST)\()")


@dataclass(frozen=True)
class Function:
    """One function's text."""

    name: str
    file: str
    # Line of the opening brace; the body follows on the next.
    line: int
    # Without comments, strings and `#if 0` parts, which are blanked out: lines stay where they are.
    body: str

    @property
    def lines(self) -> tuple[str, ...]:
        """The text's lines, without their ends."""
        return tuple(self.body.split("\n"))


@dataclass(frozen=True)
class Exit:
    """A statement that leaves what its function does because something is wrong."""

    file: str
    line: int
    function: str
    # The statement, such as `return -EIO;` or `goto out;`.
    statement: str
    # The condition or label that it stands under, as far as one line shows.
    condition: str

    def __str__(self) -> str:
        return f"{self.function}: {self.condition} {self.statement}"


def _blank(match: re.Match[str]) -> str:
    return re.sub(r"[^\n]", " ", match[0])


def _without_if_0(text: str) -> str:
    """The text with what no build compiles blanked out."""
    lines = text.split("\n")
    # By open `#if`: whether it is an `#if 0` whose part goes on.
    off: list[bool] = []
    for number, line in enumerate(lines):
        directive = _DIRECTIVE.match(line)
        if directive is None:
            if any(off):
                lines[number] = ""
        elif directive["word"].startswith("if"):
            off.append(directive["rest"].strip() == "0")
        elif off and directive["word"] == "endif":
            off.pop()
        elif off:
            off[-1] = False
    return "\n".join(lines)


def functions(file: str, text: str) -> dict[str, Function]:
    """The functions that a source file defines, by name."""
    plain = _without_if_0(_STRING.sub(_blank, _COMMENT.sub(_blank, text)))
    found = {}
    for match in _FUNCTION.finditer(plain):
        line = plain.count("\n", 0, match.start("body"))
        found[match["name"]] = Function(match["name"], file, line, match["body"])
    return found


def definitions(text: str) -> tuple[dict[str, str], str]:
    """The functions that a source file defines, by name, and all the rest of it: without comments,
    and with single blanks, so that what reads alike is equal."""
    plain = _COMMENT.sub(" ", text)
    found = {match["name"]: " ".join(match[0].split()) for match in _FUNCTION.finditer(plain)}
    return found, " ".join(_FUNCTION.sub(" ", plain).split())


def called_from(roots: Iterable[str], known: Mapping[str, Function]) -> dict[str, Function]:
    """The functions of `known` that may run below `roots`: every name that a body mentions counts,
    so that functions passed by pointer do too."""
    reached: dict[str, Function] = {}
    waiting = [name for name in roots if name in known]
    while waiting:
        name = waiting.pop()
        if name in reached:
            continue
        reached[name] = known[name]
        waiting += [word for word in re.findall(r"\w+", known[name].body) if word in known]
    return reached


def only_below(
    roots: Iterable[str], known: Mapping[str, Function], names: Iterable[str]
) -> frozenset[str]:
    """The functions that nothing but `names` leads to, those themselves included."""
    without = {name: function for name, function in known.items() if name not in set(names)}
    return frozenset(set(called_from(roots, known)) - set(called_from(roots, without)))


def error_exits(function: Function) -> tuple[Exit, ...]:
    """The exits of a function that stand under a condition and lead out of it with an error.

    A plain `return res` counts where a condition guards it; at the function's end it is its only
    way and says nothing.
    """
    found = []
    lines = function.lines
    for number, text in enumerate(lines):
        statement = re.search(r"\b(?:goto|return)\b[^;]*;?", text)
        if statement is None:
            continue
        guard = _guard(lines, number)
        nested = guard != "" and not guard.endswith(":")
        if _is_error(statement[0], nested=nested):
            line = function.line + number + 1
            found.append(
                Exit(function.file, line, function.name, statement[0].strip(), guard or "(end)")
            )
    return tuple(found)


def _is_error(statement: str, *, nested: bool) -> bool:
    if statement.startswith("goto"):
        label = statement.removeprefix("goto").strip(" ;")
        return _ERROR_LABEL.search(label) is not None
    if _LITERAL_ERROR.match(statement):
        return True
    return nested and _ERROR_RETURN.match(statement) is not None


def _depth(text: str) -> int:
    return len(text) - len(text.lstrip("\t"))


def _guard(lines: tuple[str, ...], number: int) -> str:
    """The `if`, `case` or label above a statement that is indented less than it."""
    depth = _depth(lines[number])
    own = re.match(r"\s*(?:\} )?(?:else )?(if \(.*\)) (?:goto|return)\b", lines[number])
    if own is not None:
        return own[1]
    for above in range(number - 1, -1, -1):
        text = lines[above]
        if not text.strip() or _depth(text) >= depth:
            continue
        text = text.strip().rstrip("{").strip()
        # A condition over several lines goes on below, or began above.
        down = above
        while text.count("(") > text.count(")") and down < number - 1:
            down += 1
            text = f"{text} {lines[down].strip().rstrip('{').strip()}"
        back = above
        while text.count("(") < text.count(")") and back > 0:
            back -= 1
            text = f"{lines[back].strip()} {text}"
        return re.sub(r"\s+", " ", text.removeprefix("} "))
    return ""
