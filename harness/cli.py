"""The `errpath` command. Thin: every subcommand lives beside what it drives."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from harness import __version__, bench, doctor, runcli, shell
from harness.audit import cli as audit_cli
from harness.coverage import cli as coverage_cli
from harness.errors import ErrpathError
from harness.history import cli as history_cli
from harness.images import cli as images_cli
from harness.kernel import cli as kernel_cli
from harness.killsb import bisect, compare
from harness.nightly import cli as nightly_cli
from harness.nightly import mergecli

__all__ = ["main"]

# Status of a command that a signal ended, as a shell would give it.
_INTERRUPTED = 130


def build_parser() -> argparse.ArgumentParser:
    """The parser of the whole command; each handler takes the parsed arguments."""
    parser = argparse.ArgumentParser(
        prog="errpath",
        description="Fault injection and leak checks for the mount error paths of Linux "
        "filesystems.",
    )
    parser.add_argument("--version", action="version", version=f"errpath {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for area in (
        audit_cli,
        bench,
        bisect,
        compare,
        coverage_cli,
        doctor,
        history_cli,
        images_cli,
        kernel_cli,
        mergecli,
        nightly_cli,
        runcli,
        shell,
    ):
        area.add_parser(commands)
    history_cli.add_diff_parser(commands)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command. Errors are one line on standard error; the status tells whose they are."""
    arguments = build_parser().parse_args(argv)
    try:
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
