"""Binary layouts as tables: fields by name, at stated offsets, big endian.

The engine under `errpath.images.hfs.formats`. A structure decodes into a flat mapping from a
field's path (`catalogFile.extents[0].startBlock`) to its value, and the same mapping encodes back.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from errpath.errors import UsageError

__all__ = ["Leaf", "Row", "Struct", "Value", "decode", "encode"]

# An unsigned or signed integer, or raw bytes.
Value = int | bytes

# One line of a table: offset in bytes, the field's name, and its type: an integer ("u16", "s8"),
# raw bytes ("28s"), a nested structure, or an array of either as (type, count).
Row = tuple[int, str, "str | Struct | tuple[str | Struct, int]"]

_INTEGER = re.compile(r"([us])(8|16|32|64)")
_BYTES = re.compile(r"(\d+)s")


def _width(kind: str) -> int:
    if match := _INTEGER.fullmatch(kind):
        return int(match[2]) // 8
    if match := _BYTES.fullmatch(kind):
        return int(match[1])
    raise UsageError(f"unknown field type {kind!r}: expected like u16, s8 or 28s")


def decode(kind: str, data: bytes) -> Value:
    """The value of a scalar field from its bytes."""
    if kind.endswith("s"):
        return data
    return int.from_bytes(data, "big", signed=kind[0] == "s")


def encode(kind: str, value: Value) -> bytes:
    """The bytes of a scalar field.

    Raises:
        UsageError: the value does not fit the field.
    """
    width = _width(kind)
    if kind.endswith("s"):
        if not isinstance(value, bytes) or len(value) != width:
            raise UsageError(f"{value!r} does not fit {kind}: expected {width} bytes")
        return value
    if not isinstance(value, int):
        raise UsageError(f"{value!r} does not fit {kind}: expected an integer")
    try:
        return value.to_bytes(width, "big", signed=kind[0] == "s")
    except OverflowError:
        raise UsageError(f"{value:#x} does not fit {kind}") from None


@dataclass(frozen=True)
class Leaf:
    """One scalar field of a structure, nested structures flattened."""

    # Path inside the structure, e.g. `catalogFile.extents[0].startBlock`.
    path: str
    # Bytes from the structure's start.
    offset: int
    # Bytes.
    width: int
    # As in the table: u8 to u64, s8, or "28s".
    kind: str


@dataclass(frozen=True)
class Struct:
    """A structure on disk: a name and a table of fields without holes."""

    name: str
    rows: tuple[Row, ...]
    # Other names of fields (alias, path), such as the kernel's.
    aliases: tuple[tuple[str, str], ...] = ()
    # Name of the bytes that follow up to the record's or key's end, such as a name's characters.
    tail: str = ""

    def __post_init__(self) -> None:
        at = 0
        for offset, name, kind in self.rows:
            if offset != at:
                raise UsageError(
                    f"{self.name}.{name} stands at {offset:#x}: expected {at:#x}, where the "
                    "field before it ends"
                )
            element, count = kind if isinstance(kind, tuple) else (kind, 1)
            at += count * (element.size if isinstance(element, Struct) else _width(element))

    @cached_property
    def size(self) -> int:
        """Bytes."""
        last = self.leaves[-1]
        return last.offset + last.width

    @cached_property
    def leaves(self) -> tuple[Leaf, ...]:
        """Every scalar field, in the order of the offsets."""
        return tuple(self._leaves())

    @cached_property
    def by_path(self) -> Mapping[str, Leaf]:
        """Scalar fields by path; aliases included."""
        table = {leaf.path: leaf for leaf in self.leaves}
        return table | {alias: table[path] for alias, path in self.aliases}

    def _leaves(self) -> Iterator[Leaf]:
        for offset, name, kind in self.rows:
            element, count = kind if isinstance(kind, tuple) else (kind, 1)
            for index in range(count):
                path = f"{name}[{index}]" if isinstance(kind, tuple) else name
                if isinstance(element, Struct):
                    for leaf in element.leaves:
                        start = offset + index * element.size + leaf.offset
                        yield Leaf(f"{path}.{leaf.path}", start, leaf.width, leaf.kind)
                else:
                    width = _width(element)
                    yield Leaf(path, offset + index * width, width, element)

    def fields(self, length: int) -> tuple[Leaf, ...]:
        """The fields of an instance that has `length` bytes: whole ones, and what follows them."""
        if length >= self.size:
            rest = length - self.size
            tail = (Leaf(self.tail, self.size, rest, f"{rest}s"),) if self.tail and rest else ()
            return (*self.leaves, *tail)
        return tuple(leaf for leaf in self.leaves if leaf.offset + leaf.width <= length)

    def find(self, path: str) -> Leaf:
        """The field of this path.

        Raises:
            UsageError: there is none; the text names those that come near.
        """
        leaf = self.by_path.get(path)
        if leaf is None:
            raise UsageError(
                f"{self.name} has no field {path!r}: expected one of {', '.join(self.by_path)}"
            )
        return leaf

    def unpack(self, data: bytes) -> dict[str, Value]:
        """Values by path. Of a structure that is cut short, only the fields that are whole."""
        return {
            leaf.path: decode(leaf.kind, data[leaf.offset : leaf.offset + leaf.width])
            for leaf in self.fields(len(data))
        }

    def pack(self, values: Mapping[str, Value]) -> bytes:
        """The structure's bytes; a field that is not given is zero.

        Raises:
            UsageError: an unknown field, or a value that does not fit.
        """
        out = bytearray(self.size)
        for path, value in values.items():
            leaf = self.find(path)
            out[leaf.offset : leaf.offset + leaf.width] = encode(leaf.kind, value)
        return bytes(out)
