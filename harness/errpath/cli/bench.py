"""`errpath bench`: speed and detection of ways of checking, ours and others', on this machine."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from errpath.analysis.bench import PLANTED, Bench, table
from errpath.analysis.bench_bed import BenchBed
from errpath.analysis.broken import bench_broken, broken_table
from errpath.analysis.price import measure_price, price_table
from errpath.beside.protocols import DEFAULT_BOOT, PROTOCOLS, measure
from errpath.beside.protocols import table as protocol_table
from errpath.cli.parser import add_groups
from errpath.errors import UsageError
from errpath.runner.options import (
    Choice,
    GuestOptions,
    KernelOptions,
    LogOptions,
    RunOptions,
    choices,
)
from errpath.util.cache import scratch_directory
from errpath.util.progress import Progress

__all__ = ["add_parser"]


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the `bench` command."""
    parser = commands.add_parser("bench", help="measure speed and detection on this machine")
    # Isolation and leak checks are what is compared.
    add_groups(parser, KernelOptions, GuestOptions, LogOptions)
    parser.add_argument(
        "--cases", type=int, default=500, metavar="N", help="cases of the batch (default 500)"
    )
    parser.add_argument(
        "--samples", type=int, default=3, metavar="N", help="cases of each slow way (default 3)"
    )
    parser.add_argument(
        "--broken",
        action="store_true",
        help="instead: how soon suites/hfs answers on kernels on which every mount hangs, oopses "
        "or leaks, and on one that does not boot",
    )
    parser.add_argument(
        "--json", type=Path, default=Path("errpath-bench.json"), metavar="FILE", help="the figures"
    )
    parser.add_argument(
        "--protocols",
        action="store_true",
        help="compare instead how many planted leaks the protocols of other projects find, on "
        "every --kernel and with every --boot",
    )
    parser.add_argument(
        "--boot",
        action="append",
        default=[],
        metavar="ARGS",
        help="with --protocols: words at the end of the kernel command line (default: "
        f"{DEFAULT_BOOT}, which is a default boot); may be repeated",
    )
    parser.set_defaults(handler=_bench)


def _bench(arguments: argparse.Namespace) -> int:
    if arguments.cases < 1 or arguments.samples < 1:
        raise UsageError("bench: --cases and --samples: expected at least 1")
    chosen = choices(RunOptions.from_namespace(arguments))
    if arguments.protocols:
        return _protocols(arguments, chosen)
    if arguments.boot:
        raise UsageError("bench: --boot is for --protocols")
    if len(chosen) != 1:
        raise UsageError("bench: expected one --kernel")
    progress = Progress()
    if arguments.broken:
        return _bench_broken(chosen[0], arguments.json, progress)
    with scratch_directory() as scratch:
        bed = BenchBed(chosen[0], scratch, progress)
        try:
            ways, times = Bench(bed, progress).run(arguments.cases, arguments.samples)
            price = measure_price(bed, arguments.cases, progress)
        finally:
            bed.close()
        description = bed.testbed.kernel.description
    print(f"{description}, {bed.testbed.accel}, {os.cpu_count()} processors\n")
    print(f"{table(ways, times)}\n\n{price_table(price)}")
    figures = {
        "kernel": description,
        "accel": bed.testbed.accel,
        "processors": os.cpu_count(),
        "load": os.getloadavg()[0],
        "planted": PLANTED,
        "ways": [{**asdict(way), "cases_per_second": way.rate} for way in ways],
        "times": asdict(times),
        "price": {
            **asdict(price),
            "leaks_floors": price.ratio(price.leaks),
            "every_floors": price.ratio(price.every),
        },
    }
    _write(arguments.json, figures)
    return 0


def _protocols(arguments: argparse.Namespace, chosen: Sequence[Choice]) -> int:
    progress = Progress()
    with scratch_directory() as scratch:
        rows = measure(chosen, arguments.boot or [DEFAULT_BOOT], PROTOCOLS, scratch, progress)
    print(protocol_table(rows))
    figures = {
        "processors": os.cpu_count(),
        "load": os.getloadavg()[0],
        "sources": {protocol.name: protocol.source for protocol in PROTOCOLS},
        "rows": [asdict(row) for row in rows],
    }
    _write(arguments.json, figures)
    return 0


def _bench_broken(choice: Choice, path: Path, progress: Progress) -> int:
    with scratch_directory() as scratch:
        found = bench_broken(choice.argv, scratch, progress)
        print(broken_table(found), flush=True)
        _write(path, {"load": os.getloadavg()[0], "kernels": [asdict(one) for one in found]})
    return 0


def _write(path: Path, figures: Mapping[str, object]) -> None:
    try:
        path.write_text(json.dumps(figures, indent=1) + "\n")
    except OSError as error:
        raise UsageError(f"--json {path}: {error.strerror}") from None
