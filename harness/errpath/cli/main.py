"""The `errpath` command. Thin: every subcommand is a module of this package."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from errpath import __version__
from errpath.cli import (
    audit,
    bench,
    bisect,
    compare,
    completion,
    coverage,
    debug,
    decode,
    doctor,
    fuzz,
    history,
    images,
    keep,
    kernel,
    leakcheck,
    mail,
    man,
    merge,
    minimize,
    mutate,
    nightly,
    repro,
    run,
    shell,
    story,
    suite,
    sweep,
    trace,
)
from errpath.cli.parser import USAGE_STATUS, Parser
from errpath.errors import ErrpathError, UsageError
from errpath.runner.options import LogOptions
from errpath.util.logs import show_logs
from errpath.util.signals import sigterm_interrupts

__all__ = ["main"]

# Status of a command that a signal ended, as a shell would give it.
_INTERRUPTED = 130


def build_parser() -> argparse.ArgumentParser:
    """The parser of the whole command; each handler takes the parsed arguments."""
    parser = Parser(
        prog="errpath",
        description="Fault injection and leak checks for the mount error paths of Linux "
        "filesystems.",
    )
    parser.add_argument("--version", action="version", version=f"errpath {__version__}")
    commands: argparse._SubParsersAction[argparse.ArgumentParser] = parser.add_subparsers(  # type: ignore[assignment]
        dest="command", required=True, metavar="COMMAND"
    )
    for area in (
        audit,
        bench,
        bisect,
        compare,
        coverage,
        debug,
        decode,
        doctor,
        fuzz,
        history,
        images,
        keep,
        kernel,
        leakcheck,
        mail,
        merge,
        minimize,
        mutate,
        nightly,
        repro,
        run,
        shell,
        story,
        suite,
        sweep,
        trace,
    ):
        area.add_parser(commands)
    history.add_diff_parser(commands)
    run.add_test_parser(commands)
    # Made from the parser, which has all commands by the time that they run.
    completion.add_parser(commands, parser)
    man.add_parser(commands, parser)
    return parser


def _parse(parser: argparse.ArgumentParser, argv: Sequence[str] | None) -> argparse.Namespace:
    """The arguments of a command.

    Raises:
        UsageError: a word that the command does not take.
    """
    arguments, others = parser.parse_known_args(argv)
    if others:
        words = (arguments.command, getattr(arguments, "action", None))
        command = " ".join(word for word in words if isinstance(word, str))
        error = UsageError(
            f"{command}: {others[0]}: unrecognized argument (see `errpath {command} --help`)"
        )
        error.exit_status = getattr(arguments, USAGE_STATUS, error.exit_status)
        raise error
    return arguments


@sigterm_interrupts()
def main(
    argv: Sequence[str] | None = None, *, parser: argparse.ArgumentParser | None = None
) -> int:
    """Run one command. An error is one line on standard error, with the status of its kind.

    `parser` is that of the whole command unless given.
    """
    try:
        arguments = _parse(parser or build_parser(), argv)
        if LogOptions.from_namespace(arguments).verbose:
            show_logs()
        status = int(arguments.handler(arguments))
        # Here, where a reader that has gone is an answer and not a traceback at exit.
        sys.stdout.flush()
        return status
    except ErrpathError as error:
        print(f"errpath: {error}", file=sys.stderr)
        return error.exit_status
    except KeyboardInterrupt:
        print("errpath: interrupted", file=sys.stderr)
        return _INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has gone; Python must not complain about it at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


if __name__ == "__main__":
    sys.exit(main())
