"""Which statement printed a message, and under which condition: looked up in the source. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from errpath.oracles.timeline import Place

__all__ = ["MessageSource", "defined_function", "enclosing_function", "find_message"]

# Adjacent string literals, as the compiler joins them.
_LITERALS = re.compile(r'"(?:[^"\\\n]|\\.)*"(?:\s*(?:PRI\w+\s*)?"(?:[^"\\\n]|\\.)*")*')
_LITERAL = re.compile(r'"((?:[^"\\\n]|\\.)*)"')
# Kernel's own ones have letters behind: %pV, %pd2.
_DIRECTIVE = re.compile(r"%(?:%|[-+ #0]*[\d*]*(?:\.[\d*]+)?(?:hh?|ll?|[zjtLq])?(?:p\w*|[a-zA-Z]))")
_ESCAPES = {"\\n": "", "\\t": "\t", '\\"': '"', "\\\\": "\\"}
# Characters of a format that are no directives, at least: less would fit anything.
_FIXED_MIN = 8
# A definition begins in the first column, and its name stands before the first bracket.
_DEFINITION = re.compile(r"^(?:[A-Za-z_][^;={]*?\b)?([A-Za-z_]\w*) ?\(")
_CONDITION = re.compile(r"^(?:\} else )?(?:if|while|switch|for) \(|^case |^default:|^\}? ?else\b")
_CONDITION_LINES = 6


@dataclass(frozen=True)
class MessageSource:
    """A statement that prints, and what has to be so that it does."""

    place: Place
    # The innermost condition around it, such as `if (atomic_read(&node->refcnt))`; "" for none.
    condition: str


def find_message(text: str, sources: Mapping[str, str]) -> MessageSource | None:
    """The statement whose format fits a message best; None where none does. `sources` are files by
    path."""
    best: tuple[int, str, int] | None = None
    for path, source in sources.items():
        for match in _LITERALS.finditer(source):
            fixed = _fits(match[0], text)
            if fixed >= _FIXED_MIN and (best is None or fixed > best[0]):
                best = (fixed, path, match.start())
    if best is None:
        return None
    _, path, at = best
    lines = sources[path].splitlines()
    number = sources[path].count("\n", 0, at)
    start = _statement(lines, number)
    words = " ".join(line.strip() for line in lines[start : number + 1])
    place = Place(enclosing_function(lines, start) or "a macro", path, start + 1, words)
    return MessageSource(place, _condition(lines, start))


def _fits(literals: str, text: str) -> int:
    """How many characters of a format a message has, apart from what directives stand for; 0 where
    it is not of this format. Before it may stand what a macro puts there."""
    content = "".join(_LITERAL.findall(literals))
    for escape, character in _ESCAPES.items():
        content = content.replace(escape, character)
    pieces = _DIRECTIVE.split(content.strip())
    fixed = sum(len(piece.strip()) for piece in pieces)
    if fixed < _FIXED_MIN:
        return 0
    pattern = ".*?".join(map(re.escape, pieces))
    return fixed if re.search(rf"(?:^|[\s:]){pattern}$", text) else 0


def _statement(lines: list[str], number: int) -> int:
    """The line on which the statement begins that goes on to a line."""
    while number > 0 and not re.search(r"[;{}:]\s*$|\)\s*$|^\s*\}?\s*else\s*$", lines[number - 1]):
        number -= 1
    return number


def defined_function(line: str) -> str:
    """The function whose definition begins on a line; "" for any other line."""
    match = _DEFINITION.match(line)
    return match[1] if match is not None and not line.rstrip().endswith(";") else ""


def enclosing_function(lines: Sequence[str], number: int) -> str:
    """The function that a line, counted from 0, is in; "" between functions."""
    for line in reversed(lines[:number]):
        if line.startswith("}"):
            break
        if name := defined_function(line):
            return name
    return ""


def _condition(lines: list[str], number: int) -> str:
    """The nearest line before that is indented less and asks something."""
    indent = _indent(lines[number])
    for at in range(number - 1, -1, -1):
        line = lines[at]
        if not line.strip() or _indent(line) >= indent:
            continue
        if not line[0].isspace():
            return ""
        if _CONDITION.match(line.strip()):
            return _joined(lines, at)
        if line.rstrip().endswith("{") or re.search(r"[;}]\s*$", line):
            indent = _indent(line)
    return ""


def _joined(lines: list[str], at: int) -> str:
    return " ".join(_until_closed(lines, at)).removesuffix("{").strip()


def _until_closed(lines: list[str], at: int) -> Iterator[str]:
    depth = 0
    for line in lines[at : at + _CONDITION_LINES]:
        depth += line.count("(") - line.count(")")
        yield line.strip()
        if depth <= 0:
            return


def _indent(line: str) -> int:
    text = line.expandtabs(8)
    return len(text) - len(text.lstrip())
