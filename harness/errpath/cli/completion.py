"""`errpath completion bash|zsh`: a completion script, made from the parser."""

from __future__ import annotations

import argparse
import functools

import shtab

from errpath.cli.walk import parsers

__all__ = ["add_parser", "script"]

SHELLS = ("bash", "zsh")
# What a shell completes, by the metavar of an argument.
_PATHS = {"FILE": shtab.FILE, "DIR": shtab.DIRECTORY, "JOB.yaml": shtab.FILE}


def add_parser(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], root: argparse.ArgumentParser
) -> None:
    """Add the `completion` command."""
    parser = commands.add_parser(
        "completion",
        help="a completion script for a shell",
        description='bash: put `eval "$(errpath completion bash)"` into ~/.bashrc. zsh: write the '
        "output to a file _errpath in a directory of $fpath.",
    )
    parser.add_argument("shell", choices=SHELLS, help="the shell that reads it")
    parser.set_defaults(handler=functools.partial(_completion, root))


def script(root: argparse.ArgumentParser, shell: str) -> str:
    """The script that completes the words of `root` in `shell`."""
    for _, parser in parsers(root):
        for action in parser._actions:
            if action.metavar in _PATHS:
                action.complete = _PATHS[action.metavar]  # type: ignore[attr-defined]
    return shtab.complete(root, shell=shell)


def _completion(root: argparse.ArgumentParser, arguments: argparse.Namespace) -> int:
    print(script(root, arguments.shell))
    return 0
