"""`errpath man`: the manual page, made from the parser."""

from __future__ import annotations

import argparse
import functools
import re
from collections.abc import Iterator

from errpath import __version__
from errpath.cli.walk import arguments, help_of, parsers

__all__ = ["add_parser", "manual"]

# What the parser does not know. The statuses are those of errpath.errors; commands that have others
# give them in their own description.
_STATUSES = (
    ("0", "what was asked for holds: the cases pass, the kernel is built, nothing is missing"),
    ("1", "it does not: a case fails, or the kernel under test does not build or boot"),
    ("2", "wrong words, or something that was given cannot be used"),
    ("125", "no answer: the infrastructure failed. Never a verdict on a kernel"),
    ("130", "interrupted"),
)
_ENVIRONMENT = (
    ("ERRPATH_CACHE", "directory of kernels, object trees and images (default ~/.cache/errpath)"),
    ("ERRPATH_SHARD", "I/N, the part of a suite to run, where --shard is `auto`"),
)


def add_parser(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], root: argparse.ArgumentParser
) -> None:
    """Add the `man` command."""
    parser = commands.add_parser(
        "man",
        help="the manual page, for man -l -",
        description="Prints errpath(1) as roff: `errpath man | man -l -`, or into a file "
        "man1/errpath.1 of a directory of $MANPATH.",
    )
    parser.set_defaults(handler=functools.partial(_man, root))


def manual(root: argparse.ArgumentParser) -> str:
    """The page as roff, for man(7)'s macros."""
    return "\n".join(_page(root)) + "\n"


def _man(root: argparse.ArgumentParser, _: argparse.Namespace) -> int:
    print(manual(root), end="")
    return 0


def _page(root: argparse.ArgumentParser) -> Iterator[str]:
    yield f'.TH ERRPATH 1 "" "errpath {_escaped(__version__)}" "User Commands"'
    yield ".SH NAME"
    yield "errpath \\- kernel fault injection and regression tests for filesystems"
    yield ".SH SYNOPSIS"
    yield ".B errpath"
    yield "COMMAND [ARGUMENT ...]"
    yield ".SH DESCRIPTION"
    yield from _text(root.description or "")
    yield ".SH COMMANDS"
    for text, parser in parsers(root):
        if parser is not root:
            yield from _command(text, parser)
    for heading, rows in (("EXIT STATUS", _STATUSES), ("ENVIRONMENT", _ENVIRONMENT)):
        yield f".SH {heading}"
        for name, meaning in rows:
            yield from _entry(f"\\fB{_escaped(name)}\\fR", meaning)


def _command(text: str, parser: argparse.ArgumentParser) -> Iterator[str]:
    yield f".SS {_escaped(parser.prog)}"
    usage = " ".join(parser.format_usage().split()).removeprefix("usage: ")
    yield from _text(usage)
    yield ".PP"
    sentences = ([f"{text[0].upper()}{text[1:]}."] if text else []) + (
        [parser.description] if parser.description else []
    )
    yield from _text(" ".join(sentences))
    for action in arguments(parser):
        yield from _entry(_heading(action), help_of(action, parser))


def _heading(action: argparse.Action) -> str:
    """What is typed: flags in bold, what is to be put in their place in italics."""
    value = ""
    if action.nargs != 0:
        value = f"{{{','.join(map(str, action.choices))}}}" if action.choices else ""
        value = str(action.metavar or value or action.dest.upper())
    words = [f"\\fB{_escaped(flag)}\\fR" for flag in action.option_strings]
    named = ", ".join(words)
    place = f"\\fI{_escaped(value)}\\fR" if value else ""
    return " ".join(part for part in (named, place) if part)


def _entry(heading: str, text: str) -> Iterator[str]:
    yield ".TP"
    yield heading
    yield from _text(text)


def _text(text: str) -> Iterator[str]:
    """A paragraph; a line that is empty or begins with a control character would be a request."""
    for line in re.split(r"(?<=\.) (?=[A-Z])", text.strip()):
        if line:
            escaped = _escaped(line)
            yield f"\\&{escaped}" if escaped[0] in ".'" else escaped


def _escaped(text: str) -> str:
    return text.replace("\\", "\\e").replace("-", "\\-").replace("…", "...")
