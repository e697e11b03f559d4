"""`errpath kernel survey` and `errpath kernel prune`."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from errpath.analysis.survey import render, survey, to_json
from errpath.errors import UsageError
from errpath.kernel.build.built import KernelRequest
from errpath.kernel.build.prune import LIMIT_VARIABLE, cache_limit
from errpath.kernel.build.store import KernelStore
from errpath.kernel.source.spec import FORMS
from errpath.runner.testbed import Testbed, TestbedOptions
from errpath.util.cache import scratch_directory
from errpath.util.progress import Progress

__all__ = ["add_parsers"]


def add_parsers(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the two actions to those of `errpath kernel`."""
    surveying = actions.add_parser("survey", help="show what kernels can do")
    surveying.add_argument("specs", nargs="+", metavar="KERNEL", help=FORMS)
    surveying.add_argument("--json", action="store_true", help="one JSON array, for programs")
    surveying.add_argument(
        "--no-boot", action="store_true", help="boot no guest to see whether a canary is found"
    )
    surveying.set_defaults(handler=_survey)
    pruning = actions.add_parser("prune", help="remove kernels until the cache is small enough")
    pruning.add_argument(
        "--limit",
        type=float,
        metavar="GIB",
        help=f"size that the cache may have (default: ${LIMIT_VARIABLE}, or 20)",
    )
    pruning.set_defaults(handler=_prune)


def _survey(args: argparse.Namespace) -> int:
    progress = Progress(sys.stderr)
    store = KernelStore(progress=progress)
    surveys = []
    with scratch_directory() as scratch:
        for number, spec in enumerate(args.specs):
            request = KernelRequest(spec=spec)
            testbed = None
            if not args.no_boot:
                testbed = Testbed(
                    TestbedOptions(request),
                    store=store,
                    artefacts=Path(scratch) / str(number),
                    progress=progress,
                )
            try:
                surveys.append(survey(store.build(request), store, testbed))
            finally:
                if testbed is not None:
                    testbed.close()
    if args.json:
        print(json.dumps(to_json(surveys), indent=1))
    else:
        print(render(surveys))
    return 0 if all(one.canary in ("", "found") for one in surveys) else 1


def _prune(args: argparse.Namespace) -> int:
    if args.limit is not None and not 0 < args.limit < float("inf"):
        raise UsageError(f"--limit: got {args.limit:g}; expected a size in GiB, such as 20")
    limit = cache_limit() if args.limit is None else int(args.limit * 2**30)
    done = KernelStore(progress=Progress()).prune(limit)
    for kernel in done.removed:
        print(f"removed {kernel.key[:12]}  {kernel.description}")
    for kernel in done.in_use:
        print(f"in use  {kernel.key[:12]}  {kernel.description}")
    print(f"{done.before / 2**30:.1f} GiB before, {done.after / 2**30:.1f} GiB after")
    if done.after > limit:
        print(f"still over the limit of {limit / 2**30:.1f} GiB")
    return 0 if done.after <= limit else 1
