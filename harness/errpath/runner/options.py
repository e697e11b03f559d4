"""The options that say what to test, how, and where results go; one dataclass a group.

pytest and the `errpath` command get their arguments from these, and reruns, workers and other
processes their argv (`errpath.util.option_group`). A new option is one field of one group.

pytest imports this module in every run, of whatever project: it imports nothing slow, and what
only `choices` needs is imported there.
"""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Self

from errpath.errors import UsageError
from errpath.faults.points import POINT_KINDS, USUAL
from errpath.filesystems import EVENT_NAMES, EVENTS, SWEEP_EVENTS
from errpath.guest.accel import ACCELS
from errpath.util.option_group import (
    OptionGroup,
    choice,
    flag,
    number,
    parse_groups,
    path,
    switch,
    text,
    texts,
)

if TYPE_CHECKING:
    from errpath.runner.testbed import TestbedOptions

__all__ = [
    "DEFAULT_KERNEL",
    "ISOLATIONS",
    "LEAK_CHECKS",
    "RUN_GROUPS",
    "Choice",
    "GuestOptions",
    "ImageOptions",
    "IsolationOptions",
    "KernelOptions",
    "LogOptions",
    "MatrixOptions",
    "OracleOptions",
    "ParallelOptions",
    "ResultOptions",
    "RunOptions",
    "SelectionOptions",
    "SweepOptions",
    "choices",
    "rerun_command",
    "settled",
]

DEFAULT_KERNEL = "debian:7.2"
# "case": a clone for every case; "batch": a clone for many; "boot": a boot for every case.
ISOLATIONS = ("case", "batch", "boot")
# "fast": no minimum age, and what is suspected is looked at slowly; "slow": the kernel's own 5 s.
LEAK_CHECKS = ("fast", "slow")


@dataclass(frozen=True)
class KernelOptions(OptionGroup):
    """Which kernels are under test."""

    title: ClassVar[str] = "kernel under test"

    kernel: tuple[str, ...] = texts(
        "--kernel",
        metavar="[NAME=]SPEC",
        help="kernel under test: debian:7.2 (default), debian:latest, a tree, tree@revision, a "
        "tarball or a build directory; repeat it to test several",
    )
    patch: tuple[str, ...] = texts(
        "--patch",
        metavar="FILE",
        help="mail, mailbox or diff (patch -p1) applied to a copy of the kernel under test; - is "
        "standard input; may be repeated",
    )
    kconfig_add: tuple[str, ...] = texts(
        "--kconfig-add",
        metavar="CONFIG_X=y",
        help="line added to the kernel configuration; may be repeated",
    )


@dataclass(frozen=True)
class GuestOptions(OptionGroup):
    """What the kernel runs in."""

    title: ClassVar[str] = "guest"

    guest: str = text(
        "--guest", default="microvm", metavar="NAME", help="guest definition under guests/"
    )
    accel: str = choice(
        "--accel", default="auto", choices=ACCELS, help="accelerator (auto proves KVM first)"
    )
    append: tuple[str, ...] = texts(
        "--append", metavar="ARGS", help="words added to the kernel command line"
    )

    def append_words(self) -> tuple[str, ...]:
        """The words of every `--append`.

        Raises:
            UsageError: a quotation that is not closed.
        """
        return tuple(word for words in self.append for word in _split_words(words))


@dataclass(frozen=True)
class ImageOptions(OptionGroup):
    """What is mounted."""

    title: ClassVar[str] = "image"

    image: Path | None = path(
        "--image",
        metavar="FILE",
        help="a volume of your own in the place of the one that mkfs makes: raw, .gz, .xz, .zst or "
        "qcow2; it is read, never written, and its filesystem found by its magic number",
    )


@dataclass(frozen=True)
class IsolationOptions(OptionGroup):
    """What cases share."""

    title: ClassVar[str] = "isolation"

    isolation: str = choice(
        "--isolation",
        default=ISOLATIONS[1],
        choices=ISOLATIONS,
        help="what cases share: nothing but a frozen guest (case), a clone of it for many cases "
        "(batch, the default), nothing at all (boot)",
    )


@dataclass(frozen=True)
class OracleOptions(OptionGroup):
    """What is looked for after a case, and how."""

    title: ClassVar[str] = "oracles"

    leak_check: str = choice(
        "--leak-check",
        default=LEAK_CHECKS[0],
        choices=LEAK_CHECKS,
        help="how leaks are looked for: without kmemleak's minimum age, and slowly what is then "
        "suspected (fast, the default), or slowly at once",
    )
    resource_leaks: bool | None = switch(
        "--resource-leaks",
        "--conservation",
        help="count what each case leaves behind, too: objects that something still points to, "
        "pages, references to modules (the default; --no-conservation leaves it out)",
    )
    repeats: int = number(
        "--repeats",
        default=2,
        metavar="N",
        help="how often a suspected leak is run again before it is called one (default 2)",
    )


@dataclass(frozen=True)
class ResultOptions(OptionGroup):
    """Where results go."""

    title: ClassVar[str] = "results"

    artefacts: Path = path(
        "--artefacts",
        default=Path("errpath-results"),
        metavar="DIR",
        help="where what is not a pass leaves its artefacts (default errpath-results)",
    )
    results: Path | None = path(
        "--results",
        metavar="FILE",
        help="write every result to this file, one JSON object per line, as soon as it is there",
    )


@dataclass(frozen=True)
class SelectionOptions(OptionGroup):
    """Which cases of a suite are run."""

    title: ClassVar[str] = "selection"

    case: tuple[str, ...] = texts("--case", metavar="ID", help="run only the case of this id")
    shard: str = text(
        "--shard",
        default="auto",
        metavar="I/N",
        help="run the I-th of N parts of what is selected; `auto` (default) asks the environment "
        "(GitLab, GitHub, Slurm, ERRPATH_SHARD), `none` runs everything",
    )
    durations_from: Path | None = path(
        "--durations-from",
        metavar="FILE",
        help="balance shards by these seconds (errpath history durations); every shard needs the "
        "same file",
    )
    cases_from: Path | None = path(
        "--cases-from",
        metavar="FILE",
        help="run only the tests whose case ids or node ids are the lines of this file",
    )
    touched: bool = flag(
        "--touched",
        help="with --patch: run only the cases that run a function which it changes, traced on the "
        "kernel without it; a patch that reaches further than a filesystem means all",
    )


@dataclass(frozen=True)
class MatrixOptions(OptionGroup):
    """A part of the life-cycle matrix."""

    title: ClassVar[str] = "life-cycle matrix"

    fs: str = text("--fs", metavar="NAME,NAME", help="only these filesystems (suites/killsb)")
    event: str = text(
        "--event",
        metavar="EVENTS",
        help="only these events (suites/killsb): "
        + "; ".join(f"{EVENT_NAMES[key]} or {key}: {text}" for key, text in EVENTS.items()),
    )


@dataclass(frozen=True)
class SweepOptions(OptionGroup):
    """A part of a sweep."""

    title: ClassVar[str] = "sweep"

    sweep_event: str = text(
        "--sweep-event",
        metavar="EVENTS",
        help="these events (suites/sweep) instead of the first six, or all: "
        + "; ".join(f"{name}: {text}" for name, text in SWEEP_EVENTS.items()),
    )
    kinds: str = text(
        "--kinds",
        metavar="KINDS",
        help=f"these kinds of points (suites/sweep) of {', '.join(POINT_KINDS)}, or all, "
        f"instead of {', '.join(USUAL)}",
    )
    volume: str = text(
        "--volume",
        metavar="NAMES",
        help="these further volumes of filesystems instead of the smallest (suites/sweep), such as "
        "mmp of ext4; all for every one",
    )
    rotation: str = text(
        "--rotation",
        metavar="I/N",
        help="of points that an earlier event has as well, the I-th of N parts (suites/sweep), or "
        "none for all; without it the part of the day, of seven, in a run over all filesystems",
    )


@dataclass(frozen=True)
class ParallelOptions(OptionGroup):
    """How much runs at once."""

    title: ClassVar[str] = "parallelism"

    jobs: int | None = number("--jobs", metavar="N", help="guests at once (default: one per CPU)")


@dataclass(frozen=True)
class LogOptions(OptionGroup):
    """What is logged of the work itself."""

    title: ClassVar[str] = "logging"

    verbose: bool = flag(
        "--verbose",
        "-v",
        help="show every exchange with guests and QEMU, and every program that is run, with times",
    )


@dataclass(frozen=True)
class RunOptions:
    """What to test and how: the groups that a rerun, a worker or another process needs again."""

    kernel: KernelOptions = KernelOptions()
    guest: GuestOptions = GuestOptions()
    image: ImageOptions = ImageOptions()
    isolation: IsolationOptions = IsolationOptions()
    oracles: OracleOptions = OracleOptions()

    @classmethod
    def from_namespace(cls, namespace: argparse.Namespace) -> Self:
        """All groups of parsed arguments; a group that the parser did not have is as by default."""
        return cls(
            KernelOptions.from_namespace(namespace),
            GuestOptions.from_namespace(namespace),
            ImageOptions.from_namespace(namespace),
            IsolationOptions.from_namespace(namespace),
            OracleOptions.from_namespace(namespace),
        )

    @classmethod
    def parse(cls, argv: Sequence[str]) -> Self:
        """What these words give.

        Raises:
            UsageError: a word that is of no group.
        """
        return cls.from_namespace(parse_groups(argv, RUN_GROUPS))

    def to_argv(self) -> list[str]:
        """The words that give the same again: `parse(x.to_argv()) == x`."""
        return [word for field in fields(self) for word in getattr(self, field.name).to_argv()]

    def over(self, base: RunOptions) -> RunOptions:
        """These where they were given, else those of `base` (`OptionGroup.over`)."""
        return RunOptions(
            self.kernel.over(base.kernel),
            self.guest.over(base.guest),
            self.image.over(base.image),
            self.isolation.over(base.isolation),
            self.oracles.over(base.oracles),
        )


# The groups of `RunOptions`.
RUN_GROUPS = (KernelOptions, GuestOptions, ImageOptions, IsolationOptions, OracleOptions)


@dataclass(frozen=True)
class Choice:
    """One kernel that the user chose to test."""

    name: str
    testbed: TestbedOptions
    # The same choice as command line words, for a rerun.
    argv: tuple[str, ...]


def settled(options: RunOptions) -> RunOptions:
    """The options with a file in the place of standard input, which can be read only once.

    Raises:
        UsageError: a patch is not there, or standard input has none.
    """
    from errpath.kernel.source.patches import given_patches

    words = options.kernel.patch
    patches = tuple(
        str(kept) if word == "-" else word
        for word, kept in zip(words, given_patches(words), strict=True)
    )
    return replace(options, kernel=replace(options.kernel, patch=patches))


def choices(options: RunOptions) -> tuple[Choice, ...]:
    """What `options` ask for: one choice per kernel.

    Raises:
        UsageError: an option cannot be used.
    """
    from errpath.guest.definition import load_guest
    from errpath.kernel import KernelRequest
    from errpath.kernel.source.patches import given_patches
    from errpath.runner.testbed import TestbedOptions

    options = settled(options)
    if options.oracles.repeats < 1:
        raise UsageError(f"--repeats: got {options.oracles.repeats}; expected at least 1")
    guest = load_guest(options.guest.guest)
    append = options.guest.append_words()
    chosen: dict[str, Choice] = {}
    for given in options.kernel.kernel or [DEFAULT_KERNEL]:
        name, spec = _split(given)
        if name in chosen:
            raise UsageError(f"--kernel {given}: name {name!r} is taken; expected NAME=SPEC")
        request = KernelRequest(
            spec=spec,
            patches=given_patches(options.kernel.patch),
            kconfig_add=options.kernel.kconfig_add,
            fragments=guest.fragments,
            name=name,
        )
        testbed = TestbedOptions(
            request,
            options.guest.guest,
            options.guest.accel,
            append,
            options.isolation.isolation,
            options.oracles.leak_check,
            options.oracles.resource_leaks is not False,
        )
        own = (given,) if options.kernel.kernel else ()
        words = replace(options, kernel=replace(options.kernel, kernel=own)).to_argv()
        chosen[name] = Choice(name, testbed, tuple(words))
    return tuple(chosen.values())


def _split(given: str) -> tuple[str, str]:
    """NAME=SPEC; a path may hold a `=` after a `/`."""
    name, mark, spec = given.partition("=")
    if mark and name and "/" not in name:
        return name, spec
    return given, given


def _split_words(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError as error:
        raise UsageError(f"--append {text}: {error}; expected kernel command line words") from None


def rerun_command(case_id: str, argv: Sequence[str], *, suite: str = "") -> str:
    """The one-line command that runs one case again; `suite` is the file of a case that is in none
    of the shipped suites."""
    where = ("--suite", suite) if suite else ()
    return shlex.join(("errpath", "run", case_id, *where, *argv))
