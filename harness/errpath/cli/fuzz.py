"""`errpath fuzz`: mutated images of a filesystem, guided by what code their mounts reach."""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from errpath.analysis.feedback import Corpus
from errpath.analysis.fuzz import FuzzFinding, FuzzSearch, MutatedMount
from errpath.cli.parser import add_groups
from errpath.errors import UsageError
from errpath.filesystems import known_filesystems, load_filesystem
from errpath.filesystems.mkfs import VALID, image, image_kinds, unmade, volume_image
from errpath.images.crafted.bases import base_image, sound_bases
from errpath.images.file import load_image
from errpath.images.image import Image
from errpath.kernel import KernelStore
from errpath.results.session import run_directory
from errpath.runner.known_issue_files import load_known_issues
from errpath.runner.options import (
    GuestOptions,
    KernelOptions,
    LogOptions,
    ResultOptions,
    RunOptions,
    choices,
)
from errpath.runner.testbed import Testbed
from errpath.util.files import replacing
from errpath.util.progress import Progress
from errpath.util.resources import GUESTS, SUITES

__all__ = ["add_parser"]

# A kernel with KCOV whose modules tell it what they run.
_GUEST = "coverage"
_PATCH = GUESTS / "patches" / "module-coverage.patch"
# Mutants that share one leak check.
_ROUND = 300
# How many of them are mounted read-only.
_READONLY_SHARE = 0.3
# Known bugs of mutants of a filesystem, where they have a file of their own.
_KNOWN = dict.fromkeys(("hfs", "hfsplus"), SUITES / "hfs" / "known_issues.yaml")
_KNOWN_ELSEWHERE = SUITES / "known-issues.yaml"


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the `fuzz` command."""
    parser = commands.add_parser(
        "fuzz",
        help="mount mutated images, guided by what code they reach",
        description="Mutates images, mounts, walks and writes them, and keeps what reaches new "
        "edges of the filesystem's code as images to mutate further. Every mutant is judged by the "
        "oracles. Exit status: 0 nothing new, 1 findings, each made as small as it gets, with its "
        "image in a file.",
    )
    parser.add_argument("filesystem", metavar="FS", help="whose images are mounted")
    parser.add_argument(
        "--seconds", type=int, default=300, metavar="S", help="how long, at least (default 300)"
    )
    parser.add_argument(
        "--seed", type=int, metavar="N", help="the same mutations again (default: any)"
    )
    seeds = parser.add_mutually_exclusive_group()
    seeds.add_argument(
        "--image",
        action="append",
        default=[],
        type=Path,
        metavar="FILE",
        help="begin with this volume, such as `errpath images extract` gives; may be repeated "
        "(default: every valid volume of the filesystem that is known)",
    )
    seeds.add_argument(
        "--plain", action="store_true", help="begin with the smallest valid volume alone"
    )
    parser.add_argument(
        "--no-feedback",
        action="store_true",
        help="mutate these alone, whatever is reached; for comparison",
    )
    parser.add_argument(
        "--corpus",
        type=Path,
        metavar="DIR",
        help="begin with the images in a directory too, and add what reaches new code",
    )
    add_groups(parser, KernelOptions, GuestOptions, ResultOptions, LogOptions, without=("results",))
    parser.set_defaults(handler=_fuzz, guest=_GUEST)


def _fuzz(arguments: argparse.Namespace) -> int:
    name = arguments.filesystem
    if name not in known_filesystems():
        known = ", ".join(known_filesystems())
        raise UsageError(f"fuzz: got {name}; expected one of {known}")
    if arguments.seconds < 1:
        raise UsageError(f"--seconds: got {arguments.seconds}; expected at least 1")
    options = RunOptions.from_namespace(arguments)
    patches = (*options.kernel.patch, str(_PATCH))
    chosen = choices(replace(options, kernel=replace(options.kernel, patch=patches)))
    if len(chosen) != 1:
        raise UsageError(f"fuzz: got {len(chosen)} kernels; expected one")
    seed = random.SystemRandom().getrandbits(32) if arguments.seed is None else arguments.seed
    seeds = [load_image(file) for file in arguments.image] or _volumes(name)
    if arguments.plain:
        seeds = seeds[:1]
    if arguments.corpus is not None:
        seeds += _kept(arguments.corpus)
    if not seeds:
        raise UsageError(f"fuzz: {name}: no valid volume is known; expected --image FILE")
    progress = Progress()
    directory = run_directory(arguments.artefacts.absolute())
    testbed = Testbed(
        chosen[0].testbed,
        store=KernelStore(progress=progress),
        artefacts=directory / "guests",
        progress=progress,
    )
    corpus = Corpus(seeds, random.Random(seed), feedback=not arguments.no_feedback)
    search = FuzzSearch(
        name,
        testbed.guest_source((name,), ()),
        load_known_issues(_KNOWN.get(name, _KNOWN_ELSEWHERE)),
        progress,
        testbed.options.guest,
        usual=testbed.usual,
        watch=lambda mutated, edges: corpus.saw(mutated.mutant, edges),
    )
    try:
        # The seconds begin when there is something to search.
        testbed.modules(name)
        session = _Session(corpus, search, progress, directory, arguments.corpus)
        findings = session.run(arguments.seconds)
    finally:
        testbed.close()
    print(f"{name}: {session.summary()}; --seed {seed}; {len(findings)} new")
    return 1 if findings else 0


@dataclass
class _Session:
    """A search until the time is up."""

    corpus: Corpus
    search: FuzzSearch
    progress: Progress
    # Where images of findings are written, and those that reached new code; None: nowhere.
    findings: Path
    kept: Path | None
    _began: float = field(default_factory=time.monotonic)
    # Seconds after which each known bug was first seen.
    _first_seen: dict[str, float] = field(default_factory=dict)
    _written: int = 0

    def run(self, seconds: int) -> list[FuzzFinding]:
        findings: list[FuzzFinding] = []
        while self._elapsed < seconds:
            found = self.search.run(self._mounts(seconds), _ROUND)
            for number, finding in enumerate(found, len(findings) + 1):
                self._report(number, finding)
            findings += found
            for issue in self.search.seen:
                self._first_seen.setdefault(issue, self._elapsed)
            self._keep()
            self.progress.say(f"{self._elapsed:.0f} s of {seconds} s: {self.summary()}")
        for issue, count in sorted(self.search.seen.items()):
            after = self._first_seen[issue]
            print(f"known: {issue}: {count} times, first within {after:.0f} s")
        if self.search.unjudged:
            unjudged = self.search.unjudged
            print(f"{len(unjudged)} mutants without a verdict, the first: {unjudged[0]}")
        return findings

    def summary(self) -> str:
        return (
            f"{self.search.tried} mutants, {self.search.mounted} mounted, "
            f"{len(self.corpus.edges)} edges, {len(self.corpus.kept)} kept"
        )

    @property
    def _elapsed(self) -> float:
        return time.monotonic() - self._began

    def _mounts(self, seconds: int) -> Iterator[MutatedMount]:
        """Each made when its turn has come, of what those before it have reached."""
        for _ in range(_ROUND):
            if self._elapsed >= seconds:
                return
            readonly = self.corpus.random.random() < _READONLY_SHARE
            yield MutatedMount(self.corpus.next(), readonly)

    def _report(self, number: int, finding: FuzzFinding) -> None:
        path = self.findings / f"finding-{number}.img"
        with replacing(path) as part:
            finding.mutated.mutant.image().write(part)
        self.progress.say(f"{finding}\n  image: {path}")

    def _keep(self) -> None:
        if self.kept is None:
            return
        self.kept.mkdir(parents=True, exist_ok=True)
        for mutant in self.corpus.kept[self._written :]:
            made = mutant.image()
            with replacing(self.kept / f"{self.search.filesystem}-{made.sha256[:16]}.img") as part:
                made.write(part)
        self._written = len(self.corpus.kept)


def _volumes(name: str) -> list[Image]:
    """The valid volumes of a filesystem, and the bases of its crafted images."""
    fs = load_filesystem(name)
    sound = sound_bases(name)
    found = []
    if VALID in image_kinds(fs) and not unmade(fs):
        found.append(image(name))
    for volume, recipe in fs.volumes.items():
        if not unmade(fs, volume) and recipe.base in ("", *sound):
            found.append(volume_image(name, volume))
    return [*found, *map(base_image, sound)]


def _kept(directory: Path) -> list[Image]:
    if not directory.exists():
        return []
    if not directory.is_dir():
        raise UsageError(f"--corpus {directory}: expected a directory")
    return [load_image(file) for file in sorted(directory.glob("*.img"))]
