"""The fields of an on-disk structure, from the C source that defines it.

Enough of C for what filesystems put on disk: integers of a fixed size and byte order, arrays,
structures and unions within others, typedefs and macros of the same text.
"""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

from errpath.errors import InfrastructureError

__all__ = ["Field", "Order", "fields_of"]

Order = Literal["little", "big"]

_COMMENT = re.compile(r"/\*.*?\*/|//[^\n]*", re.DOTALL)
_DEFINE = re.compile(r"^[ \t]*#[ \t]*define[ \t]+(\w+)(\([^)]*\))?[ \t]+(.+)$", re.MULTILINE)
_INTEGER = re.compile(r"_*(le|be|fs|u|s|uint|int)_?(8|16|32|64)(?:_t)?")
_BYTES = {"char": 1, "uuid_t": 16, "guid_t": 16, "uint8_t": 1}
_WORDS = {"short": 2, "int": 4, "long long": 8}
_ATTRIBUTE = re.compile(r"\b(?:__nonstring|__packed|PACKED|__counted_by\([^)]*\))(?!\w)")
_MEMBER = re.compile(r"((?:(?:struct|unsigned|signed|const|long)\s+)*\w+)\s+(.+)", re.DOTALL)
_NAME = re.compile(r"(\w+)\s*((?:\[[^\]]*\]\s*)*)$")
_OPERATIONS = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.floordiv,
    ast.LShift: operator.lshift,
}
# A comma that is not within a macro's arguments.
_COMMA = re.compile(r",(?![^(\[]*[)\]])")
# Of an array with more elements than this, the first and the last are fields.
_EACH = 4


@dataclass(frozen=True)
class Field:
    """An integer of a structure."""

    # With those of the structures that it is in: `dev_item.devid`, `s_hash_seed[3]`.
    name: str
    # Bytes, from the structure's beginning.
    offset: int
    size: int
    order: Order


@dataclass(frozen=True)
class _Type:
    size: int
    align: int
    fields: tuple[Field, ...]


def fields_of(text: str, name: str, order: Order = "little") -> tuple[Field, ...]:
    """The fields of a structure (its tag, or the name of a typedef) that `text` defines.

    `order` is that of integers whose type does not tell one.

    Raises:
        InfrastructureError: it is not there, or has what is not understood here.
    """
    return _Source(text, order).structure(name).fields


class _Source:
    def __init__(self, text: str, order: Order) -> None:
        plain = _COMMENT.sub(" ", text).replace("\\\n", " ")
        self._order: Order = order
        self._macros = {
            match[1]: (match[2] or "", match[3].strip()) for match in _DEFINE.finditer(plain)
        }
        self._text = re.sub(r"^[ \t]*#.*$", "", plain, flags=re.MULTILINE)

    def structure(self, name: str) -> _Type:
        """A structure by its tag, or by the name that a typedef gives it."""
        match = re.search(rf"\b(struct|union)\s+{name}\s*\{{", self._text)
        if match:
            at, end, tail = match.end(), *self._close(match.end())
            return self._body(self._text[at:end], tail, union=match[1] == "union")
        for match in re.finditer(r"\btypedef\s+struct\s*\w*\s*\{", self._text):
            end, tail = self._close(match.end())
            if re.search(rf"\b{name}\b", tail):
                return self._body(self._text[match.end() : end], tail, union=False)
        raise InfrastructureError(f"struct {name}: not defined in the file; expected it there")

    def _close(self, at: int) -> tuple[int, str]:
        """Where the brace closes that is open at a place, and what follows to the semicolon."""
        end = _closing(self._text, at)
        return end, self._text[end + 1 :].partition(";")[0]

    def _body(self, body: str, tail: str, *, union: bool) -> _Type:
        packed = bool(re.search(r"packed|PACKED", tail))
        fields: list[Field] = []
        at = size = 0
        align = 1
        for kind, name, dimensions in self._members(body):
            one = 1 if packed else kind.align
            at = 0 if union else -(-at // one) * one
            align = max(align, one)
            fields += _placed(kind, name, dimensions, at)
            count = 1
            for dimension in dimensions:
                count *= dimension
            at += kind.size * count
            size = max(size, at)
        return _Type(-(-size // align) * align, align, tuple(fields))

    def _members(self, body: str) -> Iterator[tuple[_Type, str, tuple[int, ...]]]:
        rest = body.strip()
        first, filled = "", 0
        while rest:
            match = re.match(r"(struct|union)\s*\w*\s*\{", rest)
            if match:
                end = _closing(rest, match.end())
                tail, _, after = rest[end + 1 :].partition(";")
                kind = self._body(rest[match.end() : end], tail, union=match[1] == "union")
                rest = after.strip()
                names = _ATTRIBUTE.sub("", tail).strip() or ""
            else:
                line, _, rest = rest.partition(";")
                rest = rest.strip()
                member = _MEMBER.fullmatch(_ATTRIBUTE.sub("", line).strip())
                if member is None:
                    raise InfrastructureError(f"structure: got {line.strip()!r}; expected a member")
                kind, names = self._type(" ".join(member[1].split())), member[2]
            bits = re.fullmatch(r"(\w*)\s*:\s*(\d+)", names)
            if bits:
                # Bit-fields of one integer are one field, named after the first.
                first = first or bits[1]
                filled += int(bits[2])
                if filled == 8 * kind.size:
                    yield kind, first, ()
                    first, filled = "", 0
                continue
            for one in _COMMA.split(names) if names else [""]:
                declared = _NAME.match(one.strip())
                dimensions = re.findall(r"\[([^\]]*)\]", declared[2]) if declared else []
                yield (
                    kind,
                    declared[1] if declared else "",
                    tuple(self._number(text or "0") for text in dimensions),
                )

    def _type(self, name: str) -> _Type:
        match = _INTEGER.fullmatch(name)
        if match:
            orders: dict[str, Order] = {"le": "little", "be": "big"}
            return _integer(int(match[2]) // 8, orders.get(match[1], self._order))
        plain = re.sub(r"\b(?:unsigned|signed|const|struct)\s+", "", name)
        if plain in _BYTES:
            size = _BYTES[plain]
            return _Type(size, 1, _integer(1, self._order).fields if size == 1 else ())
        if plain in _WORDS and not name.startswith("struct"):
            return _integer(_WORDS[plain], self._order)
        alias = re.search(rf"\btypedef\s+([\w ]+?)\s+{plain}\s*(\[[^\]]*\])?\s*;", self._text)
        if not alias or name.startswith("struct"):
            return self.structure(plain)
        kind = self._type(alias[1].replace("__bitwise", "").strip())
        if not alias[2]:
            return kind
        count = self._number(alias[2].strip("[]"))
        return _Type(kind.size * count, kind.align, tuple(_placed(kind, "", (count,), 0)))

    def _number(self, text: str) -> int:
        """An array's length."""
        try:
            return _evaluate(ast.parse(self._expanded(text), mode="eval").body)
        except (SyntaxError, ValueError):
            raise InfrastructureError(f"structure: got [{text}]; expected a number") from None

    def _expanded(self, text: str, depth: int = 0) -> str:
        def replaced(match: re.Match[str]) -> str:
            parameters, body = self._macros.get(match[1], ("", ""))
            if not body or depth > 8:
                return match[0]
            values = [word.strip() for word in (match[2] or "").strip("()").split(",")]
            for key, value in zip(parameters.strip("()").split(","), values, strict=False):
                body = re.sub(rf"\b{key.strip()}\b", f"({value})", body) if key.strip() else body
            return f"({self._expanded(body, depth + 1)})"

        return re.sub(r"\b([A-Za-z_]\w*)\s*(\([^()]*\))?", replaced, text)


def _integer(size: int, order: Order) -> _Type:
    return _Type(size, size, (Field("", 0, size, order),))


def _placed(kind: _Type, name: str, dimensions: tuple[int, ...], at: int) -> Iterator[Field]:
    """The fields of a member. Short arrays of bytes are taken for a number."""
    count = 1
    for dimension in dimensions:
        count *= dimension
    if dimensions and kind.size == 1 and count in (2, 4, 8) and kind.fields:
        yield replace(kind.fields[0], name=name, offset=at, size=count)
        return
    places = range(count) if count <= _EACH else (0, count - 1)
    for place in places:
        index = f"[{place}]" if dimensions else ""
        for field in kind.fields:
            inner = f"{name}{index}"
            inner += ("." if inner and field.name and field.name[0] != "[" else "") + field.name
            yield replace(field, name=inner, offset=at + place * kind.size + field.offset)


def _closing(text: str, at: int) -> int:
    """Where the brace closes that is open at `at`."""
    depth = 1
    while depth:
        match = re.compile(r"[{}]").search(text, at)
        if match is None:
            raise InfrastructureError("structure: its brace does not close; expected C source")
        depth += 1 if match[0] == "{" else -1
        at = match.end()
    return at - 1


def _evaluate(node: ast.expr) -> int:
    if isinstance(node, ast.Constant) and isinstance(node.value, int):
        return node.value
    if isinstance(node, ast.BinOp) and type(node.op) in _OPERATIONS:
        apply = _OPERATIONS[type(node.op)]
        return int(apply(_evaluate(node.left), _evaluate(node.right)))
    raise ValueError(ast.dump(node))
