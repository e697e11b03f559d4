"""Command line options as frozen dataclasses: the parser's arguments from them, and back the argv.

A group is a dataclass whose fields are made by `texts`, `text`, `choice`, `number`, `path`,
`switch` and `flag`. A field is all that there is to say of an option: parser, reruns and other
processes follow from it.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, NoReturn, Self

from errpath.errors import UsageError

__all__ = [
    "Option",
    "OptionGroup",
    "choice",
    "flag",
    "number",
    "parse_groups",
    "path",
    "switch",
    "text",
    "texts",
]

_KEY = "option"


@dataclass(frozen=True)
class Option:
    """One option as `argparse` wants it."""

    # The first is the one that is written; all are read.
    flags: tuple[str, ...]
    help: str
    metavar: str = ""
    convert: Callable[[str], Any] = str
    # May be given several times; the values in order.
    repeats: bool = False
    # Takes no value: on, off (`--no-…`), or not given.
    switch: bool = False
    # Takes no value: on if it is given.
    flag: bool = False
    choices: tuple[str, ...] = ()

    def keywords(self, default: Any) -> dict[str, Any]:
        """What `argparse.add_argument` takes beside the flags."""
        if self.switch:
            return {"action": argparse.BooleanOptionalAction, "default": default, "help": self.help}
        words: dict[str, Any] = {"default": default, "help": self.help}
        if self.flag:
            return {**words, "action": "store_true"}
        if self.repeats:
            words |= {"action": "append", "default": list(default)}
        if self.convert is not str:
            words["type"] = self.convert
        if self.choices:
            words["choices"] = self.choices
        if self.metavar:
            words["metavar"] = self.metavar
        return words

    def argv(self, value: Any) -> list[str]:
        """The words that give this value again."""
        if self.switch:
            return [self.flags[0] if value else f"--no-{self.flags[0].removeprefix('--')}"]
        if self.flag:
            return [self.flags[0]] if value else []
        words: list[str] = []
        for one in value if self.repeats else [value]:
            # A word that begins so would be taken for an option.
            plain = not str(one).startswith("-")
            words += [self.flags[0], str(one)] if plain else [f"{self.flags[0]}={one}"]
        return words


@dataclass(frozen=True)
class OptionGroup:
    """Base of the groups. Every field has a default, which stands for "not given"."""

    # Heading in the help.
    title: ClassVar[str] = ""

    @classmethod
    def add_to(cls, add: Callable[..., Any], *, without: Collection[str] = ()) -> None:
        """Declare the options through `add`, which takes what `argparse.add_argument` takes; those
        of the fields `without` are left out."""
        for field in dataclasses.fields(cls):
            if field.name not in without:
                option: Option = field.metadata[_KEY]
                default: Any = field.default
                add(*option.flags, dest=field.name, **option.keywords(default))

    @classmethod
    def from_namespace(cls, namespace: argparse.Namespace) -> Self:
        """The group of parsed arguments; an option that the parser did not have is not given."""
        values = {}
        for field in dataclasses.fields(cls):
            value: Any = getattr(namespace, field.name, field.default)
            if field.metadata[_KEY].repeats:
                values[field.name] = tuple(_restored(one) for one in value)
            else:
                values[field.name] = _restored(value)
        return cls(**values)

    @classmethod
    def parse(cls, argv: Sequence[str]) -> Self:
        """The group that these words give.

        Raises:
            UsageError: a word that is not of this group.
        """
        return cls.from_namespace(parse_groups(argv, (cls,)))

    def to_argv(self) -> list[str]:
        """The words that give this group again: `parse(x.to_argv()) == x`."""
        words: list[str] = []
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if value != field.default:
                words += field.metadata[_KEY].argv(value)
        return words

    def over(self, base: Self) -> Self:
        """This group where it was given, else `base`; what can be repeated comes after that of
        `base`."""
        values = {}
        for field in dataclasses.fields(self):
            mine, theirs = getattr(self, field.name), getattr(base, field.name)
            if field.metadata[_KEY].repeats:
                values[field.name] = (*theirs, *mine)
            else:
                values[field.name] = theirs if mine == field.default else mine
        return dataclasses.replace(self, **values)


def parse_groups(argv: Sequence[str], groups: Sequence[type[OptionGroup]]) -> argparse.Namespace:
    """The arguments of several groups, for `from_namespace` of each.

    Raises:
        UsageError: a word that is of none of them.
    """
    parser = _Parser(add_help=False, allow_abbrev=False)
    for group in groups:
        group.add_to(parser.add_argument)
    return parser.parse_args(argv)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(message)


def _restored(value: Any) -> Any:
    """Before 3.13, argparse makes an empty list of the value in `--option=--`."""
    return "--" if value == [] else value


def _field(default: Any, option: Option) -> Any:
    return dataclasses.field(default=default, metadata={_KEY: option})


def texts(*flags: str, metavar: str, help: str) -> Any:
    """An option that may be repeated: `tuple[str, ...]`."""
    return _field((), Option(flags, help, metavar, repeats=True))


def text(*flags: str, metavar: str, help: str, default: str = "") -> Any:
    """One word: `str`."""
    return _field(default, Option(flags, help, metavar))


def choice(*flags: str, choices: Sequence[str], help: str, default: str) -> Any:
    """One of a few words: `str`."""
    return _field(default, Option(flags, help, choices=tuple(choices)))


def number(*flags: str, metavar: str, help: str, default: int | None = None) -> Any:
    """A whole number: `int`, or `int | None` without a default."""
    return _field(default, Option(flags, help, metavar, convert=int))


def path(*flags: str, metavar: str, help: str, default: Path | None = None) -> Any:
    """A path: `Path`, or `Path | None` without a default."""
    return _field(default, Option(flags, help, metavar, convert=Path))


def switch(*flags: str, help: str) -> Any:
    """On, off or not given: `bool | None`; off is `--no-` and the name."""
    return _field(None, Option(flags, help, switch=True))


def flag(*flags: str, help: str) -> Any:
    """On if it is given: `bool`."""
    return _field(False, Option(flags, help, flag=True))
