"""The options that say what to test, shared by pytest and the `errpath` command."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from errpath.errors import UsageError
from errpath.guest.accel import ACCELS
from errpath.guest.definition import load_guest
from errpath.kernel import KernelRequest
from errpath.kernel.source.patches import given_patches
from errpath.runner.testbed import ISOLATIONS, LEAK_CHECKS, TestbedOptions

__all__ = ["Choice", "add_options", "choices", "given_words", "rerun_words"]

_DEFAULT_KERNEL = "debian:7.2"
# Wakes /proc/allocinfo in a kernel that has it; others do not mind.
_ALLOCINFO = "sysctl.vm.mem_profiling=1"


def add_options(add: Callable[..., Any]) -> None:
    """Declare the options through `add`, which takes what `argparse.add_argument` takes."""
    add(
        "--kernel",
        action="append",
        default=[],
        metavar="[NAME=]SPEC",
        help="kernel under test: debian:7.2 (default), debian:latest, a tree, tree@revision, a "
        "tarball or a build directory; repeat it to test several",
    )
    add(
        "--patch",
        action="append",
        default=[],
        metavar="FILE",
        help="mail or diff applied to a copy of the kernel under test; - reads standard input",
    )
    add(
        "--kconfig-add",
        action="append",
        default=[],
        metavar="CONFIG_X=y",
        help="line added to the kernel configuration",
    )
    add(
        "--append",
        action="append",
        default=[],
        metavar="ARGS",
        help="words added to the kernel command line",
    )
    add("--guest", default="microvm", metavar="NAME", help="guest definition under guests/")
    add("--accel", default="auto", choices=ACCELS, help="accelerator (auto proves KVM first)")
    add(
        "--isolation",
        default=ISOLATIONS[1],
        choices=ISOLATIONS,
        help="what cases share: nothing but a frozen guest (case), a clone of it for many cases "
        "(batch, the default), nothing at all (boot)",
    )
    add(
        "--leak-check",
        default=LEAK_CHECKS[0],
        choices=LEAK_CHECKS,
        help="how leaks are looked for: without kmemleak's minimum age, and slowly what is then "
        "suspected (fast, the default), or slowly at once",
    )
    add(
        "--conservation",
        action=argparse.BooleanOptionalAction,
        help="count as well what repeats of the cases leave behind: objects that something still "
        "points to, pages, references to modules (suites/killsb alone does so by default)",
    )


@dataclass(frozen=True)
class Choice:
    """One kernel that the user chose to test."""

    name: str
    testbed: TestbedOptions
    # The same choice as command line words, for a rerun.
    words: tuple[str, ...]


def choices(options: argparse.Namespace) -> tuple[Choice, ...]:
    """What `options` ask for: one choice per kernel.

    A patch from standard input becomes a file in `options` as well: it can be read only once, and a
    rerun or another process needs it too.

    Raises:
        UsageError: an option cannot be used.
    """
    guest = load_guest(options.guest)
    patches = given_patches(options.patch)
    # The rerun command and xdist's workers name what was kept of standard input.
    options.patch = [
        str(path) if word == "-" else word
        for word, path in zip(options.patch, patches, strict=True)
    ]
    append = tuple(word for words in options.append for word in _words(words))
    if options.conservation:
        append = (_ALLOCINFO, *append)
    shared = _shared_words(options)
    specs = options.kernel or [_DEFAULT_KERNEL]
    chosen: dict[str, Choice] = {}
    for given in specs:
        name, spec = _split(given)
        if name in chosen:
            raise UsageError(f"--kernel {given}: name {name!r} is taken; expected NAME=SPEC")
        request = KernelRequest(
            spec=spec,
            patches=patches,
            kconfig_add=tuple(options.kconfig_add),
            fragments=guest.fragments,
            name=name,
        )
        words = (*(("--kernel", given) if options.kernel else ()), *shared)
        testbed = TestbedOptions(
            request,
            options.guest,
            options.accel,
            append,
            options.isolation,
            options.leak_check,
            bool(options.conservation),
        )
        chosen[name] = Choice(name, testbed, words)
    return tuple(chosen.values())


def _shared_words(options: argparse.Namespace) -> list[str]:
    """All the options but --kernel, as command line words."""
    return [
        *(word for patch in options.patch for word in ("--patch", patch)),
        *(word for line in options.kconfig_add for word in ("--kconfig-add", line)),
        *(f"--append={words}" for words in options.append),
        *(("--guest", options.guest) if options.guest != "microvm" else ()),
        *(("--accel", options.accel) if options.accel != "auto" else ()),
        *(("--isolation", options.isolation) if options.isolation != ISOLATIONS[1] else ()),
        *(("--leak-check", options.leak_check) if options.leak_check != LEAK_CHECKS[0] else ()),
        *(("--conservation",) if options.conservation else ()),
    ]


def given_words(options: argparse.Namespace) -> list[str]:
    """What the user chose, as command line words."""
    kernels = [word for given in options.kernel for word in ("--kernel", given)]
    return kernels + _shared_words(options)


def _split(given: str) -> tuple[str, str]:
    """NAME=SPEC; a path may hold a `=` after a `/`."""
    name, mark, spec = given.partition("=")
    if mark and name and "/" not in name:
        return name, spec
    return given, given


def _words(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError as error:
        raise UsageError(f"--append {text}: {error}; expected kernel command line words") from None


def rerun_words(case_id: str, words: Sequence[str]) -> str:
    """The one-line command that runs one case again."""
    return shlex.join(("errpath", "run", case_id, *words))
