"""Strict YAML: a file becomes a frozen dataclass, or one line says what is wrong and where.

Plain YAML keeps the last of two equal keys and takes any type. A definition that is silently half
read would test something else than what its author meant, so unknown keys, missing keys, duplicate
keys and wrong types are errors that name file and line.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from pathlib import Path
from typing import Any, TypeVar

import yaml

from errpath.errors import DefinitionError

__all__ = ["load"]

T = TypeVar("T")

_NAMES = {str: "a string", int: "an integer", bool: "true or false", float: "a number"}


def load(path: Path, kind: type[T]) -> T:
    """Read `path` as one mapping whose keys are the fields of the dataclass `kind`.

    Field types may be str, int, bool, float, `X | None`, `tuple[X, ...]`, `X | tuple[X, ...]`,
    `dict[str, X]` and nested dataclasses. A field with a default may be left out.

    Raises:
        DefinitionError: the file cannot be read or is not what `kind` says.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise DefinitionError(f"{path}: {error.strerror}; expected a YAML file") from None
    except UnicodeDecodeError:
        raise DefinitionError(f"{path}: not UTF-8 text; expected a YAML file") from None
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        raise DefinitionError(f"{path}:{line}: {error.problem}; expected valid YAML") from None
    except yaml.YAMLError as error:
        reason = " ".join(str(error).split())
        raise DefinitionError(f"{path}:1: {reason}; expected valid YAML") from None
    if node is None:
        raise DefinitionError(f"{path}:1: empty; expected a mapping")
    value: T = _Reader(path).read(node, kind, "the file")
    return value


class _Reader:
    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self, node: yaml.Node, kind: Any, what: str) -> Any:
        origin = typing.get_origin(kind)
        if origin in (typing.Union, types.UnionType):
            inner = [part for part in typing.get_args(kind) if part is not type(None)]
            if node.tag == "tag:yaml.org,2002:null":
                return None
            # One of a kind, or a list of them.
            lists = [part for part in inner if typing.get_origin(part) is tuple]
            if lists and isinstance(node, yaml.SequenceNode):
                return self.read(node, lists[0], what)
            return self.read(node, inner[0], what)
        if dataclasses.is_dataclass(kind):
            return self._record(node, kind, what)
        if origin is tuple:
            if not isinstance(node, yaml.SequenceNode):
                raise self._wrong(node, what, "a list")
            item = typing.get_args(kind)[0]
            return tuple(
                self.read(child, item, f"{what}[{i}]") for i, child in enumerate(node.value)
            )
        if origin is dict:
            item = typing.get_args(kind)[1]
            return {
                key.value: self.read(child, item, f"{what}.{key.value}")
                for key, child in self._pairs(node, what)
            }
        return self._scalar(node, kind, what)

    def _record(self, node: yaml.Node, kind: Any, what: str) -> Any:
        fields = {field.name: field for field in dataclasses.fields(kind) if field.init}
        hints = typing.get_type_hints(kind)
        values: dict[str, Any] = {}
        for key, child in self._pairs(node, what):
            name = key.value
            if name not in fields:
                expected = ", ".join(fields)
                raise self._error(key, f"unknown key {name!r}; expected one of: {expected}")
            values[name] = self.read(child, hints[name], name)
        for name, field in fields.items():
            missing = (
                field.default is dataclasses.MISSING
                and field.default_factory is dataclasses.MISSING
            )
            if name not in values and missing:
                raise self._error(
                    node, f"{what} has no key {name!r}; expected {_name(hints[name])}"
                )
        try:
            return kind(**values)
        except ValueError as error:
            raise self._error(node, str(error)) from None

    def _pairs(self, node: yaml.Node, what: str) -> list[tuple[yaml.ScalarNode, yaml.Node]]:
        if not isinstance(node, yaml.MappingNode):
            raise self._wrong(node, what, "a mapping")
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise self._wrong(key, f"a key of {what}", "a string")
            if key.value in seen:
                raise self._error(key, f"duplicate key {key.value!r}; expected each key once")
            seen.add(key.value)
        return list(node.value)

    def _scalar(self, node: yaml.Node, kind: Any, what: str) -> Any:
        if not isinstance(node, yaml.ScalarNode):
            raise self._wrong(node, what, _name(kind))
        try:
            value = yaml.SafeLoader("").construct_object(node, deep=True)
        except (yaml.YAMLError, ValueError):
            # A tag that does not exist or does not fit, such as a date that is none.
            raise self._wrong(node, what, _name(kind)) from None
        if kind is float and isinstance(value, int) and not isinstance(value, bool):
            return float(value)
        # A bool is an int to Python, and 1 is no answer to a yes-or-no question.
        if kind is Any or (isinstance(value, kind) and isinstance(value, bool) == (kind is bool)):
            return value
        raise self._wrong(node, what, _name(kind))

    def _wrong(self, node: yaml.Node, what: str, expected: str) -> DefinitionError:
        inner = "a list" if isinstance(node, yaml.SequenceNode) else "a mapping"
        got = node.value if isinstance(node, yaml.ScalarNode) else inner
        return self._error(node, f"{what}: got {got!r}; expected {expected}")

    def _error(self, node: yaml.Node, text: str) -> DefinitionError:
        return DefinitionError(f"{self._path}:{node.start_mark.line + 1}: {text}")


def _name(kind: Any) -> str:
    return _NAMES.get(kind, "a list" if typing.get_origin(kind) is tuple else "a mapping")
