"""`errpath minimize`: the smallest case that fails the same way."""

from __future__ import annotations

import argparse
import functools
from collections.abc import Callable, Iterator
from pathlib import Path

from errpath.cases.case import MountCase
from errpath.cases.failing import failing
from errpath.cli.chosen_case import find_case
from errpath.cli.parser import add_groups
from errpath.errors import InfrastructureError, UsageError
from errpath.filesystems import load_filesystem
from errpath.filesystems.mkfs import VALID, image, image_kinds, unmade, use_own_image
from errpath.images import Image
from errpath.images.crafted.show import show
from errpath.intake.kept import find_kept, keep_case
from errpath.intake.minimize import Minimized, minimize
from errpath.intake.trial import Trials
from errpath.oracles.failure import LEAK, RESOURCE_LEAK, Failure, worst
from errpath.results.session import run_directory
from errpath.results.testbeds import Testbeds
from errpath.runner.options import (
    GuestOptions,
    ImageOptions,
    KernelOptions,
    LogOptions,
    ResultOptions,
    RunOptions,
    choices,
)
from errpath.util.progress import Progress

__all__ = ["add_parser"]

# Whose images are shown decoded.
_DECODED = ("hfs", "hfsplus")


def add_parser(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
    *,
    testbeds: Callable[..., Testbeds] = Testbeds,
    trials: Callable[..., Trials] = Trials,
) -> None:
    """Add the `minimize` command; its test beds and trials are made by these."""
    parser = commands.add_parser(
        "minimize",
        help="the fewest steps and changed bytes with which a case still fails the same way",
        description="Exit status: 0 if the case fails and was made smaller or is as small as can "
        "be, 1 if it does not fail.",
    )
    parser.add_argument(
        "what", metavar="CASE-ID|FILE.yaml", help="a case's id, or a kept case (errpath keep)"
    )
    parser.add_argument(
        "--as", dest="name", default="", metavar="NAME", help="keep the smallest under this name"
    )
    parser.add_argument(
        "--into", type=Path, default=Path("kept"), metavar="DIR", help="directory (default kept)"
    )
    add_groups(
        parser,
        *(KernelOptions, GuestOptions, ImageOptions, ResultOptions, LogOptions),
        without=("results",),
    )
    parser.set_defaults(handler=functools.partial(_minimize, testbeds, trials))


def _minimize(
    make_testbeds: Callable[..., Testbeds],
    make_trials: Callable[..., Trials],
    arguments: argparse.Namespace,
) -> int:
    options = RunOptions.from_namespace(arguments)
    chosen = choices(options)
    if len(chosen) != 1:
        raise UsageError(f"minimize: got {len(chosen)} kernels; expected one --kernel")
    case = _case(arguments.what, arguments.image)
    use_own_image(None)
    base = _base_of(case)
    progress = Progress()
    directory = run_directory(arguments.artefacts.absolute()) / "guests"
    testbeds = make_testbeds({chosen[0].name: chosen[0]}, directory, progress)
    functions, points = failing([case])
    testbed = testbeds.get(chosen[0].name, case.filesystem)
    testbed.check()
    why_not = testbed.build((case.filesystem,), points=points is not None).get(case.filesystem)
    if why_not is not None:
        raise why_not
    trials = make_trials(
        lambda: testbed.guests.prepare((case.filesystem,), functions, points=points, fast=True)
    )
    try:
        found = trials.failures(case, leaks=True)
        wanted = worst(failure for failure in found if failure.kind.bug) or worst(found)
        if wanted is None:
            print(f"{case.id}: does not fail on {testbed.kernel.description}")
            return 1
        leaks = wanted.kind in (LEAK, RESOURCE_LEAK)

        def shows(one: MountCase) -> bool:
            seen = trials.failures(one, leaks=leaks)
            return any(failure.signature == wanted.signature for failure in seen)

        if not shows(case):
            raise InfrastructureError(f"{case.id}: {wanted.title}: did not come again")
        small = minimize(case, base, shows, progress.say)
    finally:
        trials.close()
        testbeds.close()
    print("\n".join(_described(small, wanted, trials.count)))
    if arguments.name:
        file = keep_case(
            small.case, arguments.into, arguments.name, title=wanted.title, known=False
        )
        print(f"{file}: kept; pytest {arguments.into} runs it")
    return 0


def _case(what: str, image_file: Path | None) -> MountCase:
    path = Path(what)
    if path.suffix == ".yaml":
        found = find_kept(path)
        if found is None or found.case is None:
            raise UsageError(f"{what}: no kept case; expected one that errpath keep wrote")
        return found.case
    use_own_image(image_file)
    return find_case(what, image_file)


def _base_of(case: MountCase) -> Image | None:
    """A valid image of the case's filesystem; None where there is none."""
    if case.device.pieces and case.device.image is not None:
        return case.device.image
    filesystem = load_filesystem(case.filesystem)
    if filesystem.image is None or VALID not in image_kinds(filesystem) or unmade(filesystem):
        return None
    return image(case.filesystem)


def _described(small: Minimized, wanted: Failure, runs: int) -> Iterator[str]:
    case = small.case
    yield f"{wanted.line}  ({runs} runs)"
    yield f"  steps      {small.steps_before} -> {len(case.steps)}"
    for step in case.steps:
        fail = f"  fail {step.fail.text}" if step.fail is not None else ""
        yield f"    {step.op} {step.subject}{fail}".rstrip()
    if small.fault_dropped:
        yield "  fault      not needed"
    if small.base is None:
        return
    count = f"{small.bytes_before} -> {small.bytes_after}"
    yield f"  image      {count} bytes differ from {small.base.name}"
    content = case.device.content
    if small.bytes_after and case.filesystem in _DECODED and content is not None:
        lines = show(content, base=small.base, whole=False).rstrip("\n").splitlines()
        yield from (f"    {line}" for line in lines[1:])
    else:
        for offset, data in case.device.pieces[:20]:
            yield f"    {offset:#x}: {data[:32].hex(' ')}"
