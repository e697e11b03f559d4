"""`errpath repro`: a public reproducer, run under the oracles, before and after a patch."""

from __future__ import annotations

import argparse
import functools
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from errpath.cli.parser import add_groups
from errpath.errors import NO_ANSWER, UsageError
from errpath.intake.attempts import (
    ATTEMPTS,
    REPRO_GUEST,
    ROUNDS,
    SECONDS,
    SLOW_GUEST,
    reproduce,
)
from errpath.intake.config_file import ReportedConfig, read_config
from errpath.intake.known import issues_of
from errpath.intake.reproducer import Reproducer, load_reproducer
from errpath.intake.reproduction import (
    Answer,
    Outcome,
    Reproduction,
    attempts_after,
    judge_patch,
)
from errpath.kernel import BuiltKernel
from errpath.oracles.failure import Failure
from errpath.results.session import run_directory
from errpath.runner.options import (
    Choice,
    GuestOptions,
    KernelOptions,
    LogOptions,
    ResultOptions,
    RunOptions,
    choices,
)
from errpath.util.progress import Progress

__all__ = ["add_parser"]

Reproduce = Callable[..., Reproduction]

# Titles of what only a kernel with these checks reports.
_CHECKED = ("KASAN:", "UBSAN:")
# What the status says, of one kernel and of a patch.
_STATUS = {
    Outcome.SAME: 0,
    Outcome.NOT_REPRODUCED: 3,
    Outcome.OTHER: 4,
    Outcome.ERROR: NO_ANSWER,
    Answer.FIXED: 0,
    Answer.STILL: 1,
    Answer.REGRESSED: 1,
    Answer.NOT_REPRODUCED: 3,
    Answer.ERROR: NO_ANSWER,
}


def add_parser(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
    *,
    reproduce: Reproduce = reproduce,
) -> None:
    """Add the `repro` command; `reproduce` runs a reproducer on one kernel."""
    parser = commands.add_parser(
        "repro",
        help="run a reproducer under errpath's oracles, before and after a patch",
        description="Exit status: 0 SAME, 3 NOT REPRODUCED, 4 OTHER, 125 ERROR; with a patch 0 "
        "FIXED, 1 STILL FAILS or REGRESSED, 3 NOT REPRODUCED, 125 ERROR.",
    )
    parser.add_argument(
        "path", type=Path, metavar="FILE|DIRECTORY", help="repro.c, or a bug page's files"
    )
    parser.add_argument(
        "--title", default="", metavar="TEXT", help="what it should show, in syzbot's words"
    )
    parser.add_argument(
        "--before-patch",
        action="append",
        default=[],
        metavar="FILE",
        help="applied to the kernel before only, such as to put an old bug back",
    )
    parser.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help="the report's own kernel configuration, with what errpath needs over it; the first "
        "time a kernel is built",
    )
    parser.add_argument(
        "--lean",
        action="store_true",
        help="of --config only the lines on filesystems, memory and checks",
    )
    parser.add_argument(
        "--attempts", type=int, default=ATTEMPTS, metavar="N", help=f"runs (default {ATTEMPTS})"
    )
    parser.add_argument(
        "--seconds",
        type=int,
        default=SECONDS,
        metavar="S",
        help=f"of each run, at most (default {SECONDS})",
    )
    parser.add_argument(
        "--rounds",
        type=int,
        default=ROUNDS,
        metavar="N",
        help=f"rounds of a reproducer that repeats itself for ever (default {ROUNDS})",
    )
    parser.add_argument("--json", action="store_true", help="one JSON object instead of lines")
    parser.add_argument("--output", action="store_true", help="show what the program printed")
    add_groups(parser, KernelOptions, GuestOptions, ResultOptions, LogOptions, without=("results",))
    parser.set_defaults(handler=functools.partial(_repro, reproduce), guest=REPRO_GUEST)


@dataclass(frozen=True)
class _Asked:
    """One reproducer, and how it is run."""

    reproducer: Reproducer
    attempts: int
    seconds: int
    output: bool
    directory: Path
    progress: Progress
    reproduce: Reproduce
    config: ReportedConfig | None = None


def _repro(reproduce: Reproduce, arguments: argparse.Namespace) -> int:
    """See the parser's description."""
    for name in ("attempts", "seconds", "rounds"):
        if getattr(arguments, name) < 1:
            raise UsageError(f"--{name}: got {getattr(arguments, name)}; expected at least 1")
    reproducer = load_reproducer(arguments.path, rounds=arguments.rounds, title=arguments.title)
    if (
        reproducer.title.startswith(_CHECKED)
        and arguments.guest == REPRO_GUEST
        and arguments.config is None
    ):
        check = reproducer.title.partition(":")[0]
        note = f"this kernel has no {check}: --guest {SLOW_GUEST}, whose kernel is another"
        reproducer = replace(reproducer, notes=(*reproducer.notes, note))
    if arguments.lean and arguments.config is None:
        raise UsageError("--lean: of which configuration? expected --config FILE")
    asked = _Asked(
        reproducer,
        arguments.attempts,
        arguments.seconds,
        arguments.output,
        run_directory(arguments.artefacts.absolute()),
        Progress(),
        reproduce,
        read_config(arguments.config, lean=arguments.lean) if arguments.config else None,
    )
    options = RunOptions.from_namespace(arguments)
    if not arguments.json:
        _say_of(reproducer)
    if arguments.before_patch or options.kernel.patch:
        return _compare(asked, options, tuple(arguments.before_patch), as_json=arguments.json)
    found = {
        name: _on_kernel(asked, choice, reproducer.title, reproducer.expected, asked.attempts)
        for name, choice in ((choice.name, choice) for choice in choices(options))
    }
    if arguments.json:
        kernels = {name: _as_json(one) for name, one in found.items()}
        print(json.dumps({**_described(reproducer), "kernels": kernels}, ensure_ascii=False))
    else:
        for name, one in found.items():
            _say(name, one)
    order = tuple(Outcome)
    return _STATUS[min((one.outcome for one in found.values()), key=order.index)]


def _compare(
    asked: _Asked, options: RunOptions, before_patches: tuple[str, ...], *, as_json: bool
) -> int:
    if len(options.kernel.kernel) > 1:
        raise UsageError("repro: several kernels and a patch; expected one --kernel")
    reproducer = asked.reproducer
    (old,) = choices(replace(options, kernel=replace(options.kernel, patch=before_patches)))
    (new,) = choices(options)
    before = _on_kernel(asked, old, reproducer.title, reproducer.expected, asked.attempts)
    # After the patch, what the kernel before showed is looked for.
    title, expected = reproducer.title, reproducer.expected
    if before.failure is not None:
        title, expected = before.failure.title, before.failure
    if before.outcome is Outcome.ERROR:
        after = Reproduction(Outcome.ERROR, 0, 0, error="not tried")
    else:
        after = _on_kernel(asked, new, title, expected, attempts_after(before, asked.attempts))
    answer = judge_patch(before, after)
    if as_json:
        both = {"before": _as_json(before), "after": _as_json(after)}
        print(
            json.dumps(
                {**_described(reproducer), "answer": answer.value, **both}, ensure_ascii=False
            )
        )
    else:
        _say("before", before)
        _say("after", after)
        print(answer.value)
    return _STATUS[answer]


def _on_kernel(
    asked: _Asked, choice: Choice, title: str, expected: Failure | None, attempts: int
) -> Reproduction:
    """All attempts on one kernel, what they come to."""
    if asked.config is not None:
        choice = asked.config.applied(choice)
        asked.progress.say(asked.config.announcement)
    return asked.reproduce(
        choice,
        replace(asked.reproducer, title=title, expected=expected),
        asked.directory,
        asked.progress,
        attempts=attempts,
        seconds=asked.seconds,
        output=asked.output,
        built=lambda kernel: _tell_differences(asked, kernel),
    )


def _tell_differences(asked: _Asked, kernel: BuiltKernel) -> None:
    """Name what is not as the report's configuration has it."""
    for line in asked.config.differing(kernel) if asked.config is not None else ():
        asked.progress.say(f"  config     {line}")


def _say_of(reproducer: Reproducer) -> None:
    print(f"{reproducer.name}: {reproducer.title or 'nothing says what to expect (--title)'}")
    if reproducer.filesystems:
        print(f"  modules    {', '.join(reproducer.filesystems)}")
    for note in reproducer.notes:
        print(f"  note       {note}")


def _say(name: str, one: Reproduction) -> None:
    print(f"{name:<12} {one.line()}")
    for title in one.others:
        print(f"{'':<12}   also {title}")
    for issue in issues_of(one.failure) if one.failure is not None else ():
        print(f"{'':<12}   known {issue}")


def _described(reproducer: Reproducer) -> dict[str, Any]:
    return {
        "reproducer": reproducer.name,
        "title": reproducer.title,
        "filesystems": list(reproducer.filesystems),
        "notes": list(reproducer.notes),
    }


def _as_json(one: Reproduction) -> dict[str, Any]:
    others: Sequence[str] = one.others
    return {
        "outcome": one.outcome.value,
        "shown": one.shown,
        "of": one.of,
        "seconds": round(one.seconds, 1),
        **({"failure": one.failure.to_json()} if one.failure is not None else {}),
        **({"others": list(others)} if others else {}),
        **({"error": one.error} if one.error else {}),
    }
