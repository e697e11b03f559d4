"""A job: kernels × guests × suites × repeats, in one YAML file. Paths are relative to the file."""

from __future__ import annotations

import dataclasses
import hashlib
import re
from dataclasses import dataclass, field
from pathlib import Path

from errpath.errors import DefinitionError, UsageError
from errpath.guest.definition import load_guest
from errpath.results.history.prune import parse_age
from errpath.util import yamlfile
from errpath.util.resources import shipped_files, suite_path

__all__ = ["Job", "JobKernel", "harness_digest", "load_job"]

# Where suites and guests are: jobs run from a checkout.
_NAME = re.compile(r"[A-Za-z0-9][\w.-]*")


@dataclass(frozen=True)
class JobKernel:
    """One kernel of a job. The name stays while the kernel behind it changes."""

    name: str
    # As for --kernel.
    kernel: str
    patches: tuple[str, ...] = ()
    kconfig_add: tuple[str, ...] = ()
    append: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ValueError(f"name: got {self.name!r}; expected letters, digits and . _ -")


@dataclass(frozen=True)
class Job:
    """What runs every night."""

    name: str
    kernels: tuple[JobKernel, ...]
    # Suites, as paths in the checkout.
    suites: tuple[str, ...]
    guests: tuple[str, ...] = ("microvm",)
    # Filesystems whose modules are built with each kernel, so that one which does not compile is
    # reported as that and not as cases that could not run.
    filesystems: tuple[str, ...] = ()
    # How often each suite runs on each kernel.
    repeats: int = 1
    # Further attempts that must fail as well before a failure is called new.
    confirm: int = 2
    # Into how many parts each suite is divided: parts run side by side and are resumed one by one.
    parts: int = 1
    # pytest-xdist workers of each part, with a guest each; 0 for none.
    workers: int = 0
    # pytest's -m and -k.
    select: str = ""
    keyword: str = ""
    # Whether what cases leave behind is counted as well.
    conservation: bool = True
    accel: str = "auto"
    # Minutes after which a kernel's build, or a part, is given up.
    build_minutes: int = 240
    part_minutes: int = 120
    # Minutes that a run may take, builds included; 0 for as many as it needs. The best use comes
    # first: what changed, what failed, then what was not run for longest.
    minutes: int = 0
    # What may be used at once; 0 for the machine's (four fifths of the memory that is available).
    memory_mib: int = 0
    cores: int = 0
    # Known issues (harness/errpath/runner/known_issues.py); empty for none.
    known: str = ""
    # Where runs, pages and the history are.
    directory: str = "errpath-nightly"
    # The history; empty for DIRECTORY/history.sqlite.
    history: str = ""
    # Runs older than this are removed, such as "90d"; empty for never.
    keep: str = ""
    # Who is notified: mail addresses, a URL that gets a POST. Both off by default.
    mail_to: tuple[str, ...] = ()
    webhook: str = ""
    path: Path = field(default=Path(), init=False)

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ValueError(f"name: got {self.name!r}; expected letters, digits and . _ -")
        for what in ("kernels", "suites", "guests"):
            if not getattr(self, what):
                raise ValueError(f"{what}: got none; expected at least one")
        names = [kernel.name for kernel in self.kernels]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"kernels: name {name!r} twice; expected it once")
        for what, least in (("repeats", 1), ("parts", 1), ("confirm", 0), ("workers", 0)):
            if getattr(self, what) < least:
                got = getattr(self, what)
                raise ValueError(f"{what}: got {got}; expected at least {least}")
        for what in ("build_minutes", "part_minutes"):
            if getattr(self, what) < 1:
                raise ValueError(f"{what}: got {getattr(self, what)}; expected at least 1")
        if self.minutes < 0:
            raise ValueError(f"minutes: got {self.minutes}; expected 0 (no limit) or more")
        if self.webhook and not re.match(r"https?://", self.webhook):
            raise ValueError(f"webhook: got {self.webhook!r}; expected http:// or https://")

    @property
    def root(self) -> Path:
        """The directory of runs and pages, absolute."""
        return (self.path.parent / self.directory).absolute()

    @property
    def history_path(self) -> Path:
        """The store, absolute: the job's own `history`, else one in its `root`."""
        chosen = self.path.parent / self.history if self.history else self.root / "history.sqlite"
        return chosen.absolute()

    @property
    def known_path(self) -> Path | None:
        """The file of known issues, absolute; None where the job names none."""
        return (self.path.parent / self.known).absolute() if self.known else None

    def patch_paths(self, kernel: JobKernel) -> tuple[Path, ...]:
        """The patches of one of its kernels, absolute, in their order."""
        return tuple((self.path.parent / patch).absolute() for patch in kernel.patches)

    def spec(self, kernel: JobKernel) -> str:
        """The kernel's spec; a tree or tarball beside the job file becomes absolute."""
        name, at, revision = kernel.kernel.partition("@")
        beside = self.path.parent / name
        if name.startswith("debian:") or not beside.exists():
            return kernel.kernel
        return f"{beside.absolute()}{at}{revision}"

    def digest(self) -> str:
        """Same digest, same job: an interrupted run may go on."""
        state = hashlib.sha256(self.path.read_bytes())
        for kernel in self.kernels:
            for patch in self.patch_paths(kernel):
                state.update(patch.read_bytes())
        return state.hexdigest()[:20]


def load_job(path: Path) -> Job:
    """The job of a file.

    Raises:
        DefinitionError: it is wrong; the text names file and line, or what it names is not there.
    """
    job = yamlfile.load(path, Job)
    job = dataclasses.replace(job)
    object.__setattr__(job, "path", path.absolute())
    for kernel in job.kernels:
        for patch in job.patch_paths(kernel):
            if not patch.is_file():
                raise DefinitionError(f"{path}: kernel {kernel.name}: no such patch: {patch}")
    for suite in job.suites:
        try:
            suite_path(suite)
        except UsageError as error:
            raise DefinitionError(f"{path}: suites: {error}") from None
    if job.known_path is not None and not job.known_path.is_file():
        raise DefinitionError(f"{path}: known: no such file: {job.known_path}")
    if job.keep:
        parse_age(job.keep)
    for guest in job.guests:
        load_guest(guest)
    return job


def harness_digest() -> str:
    """Same digest, same harness, guests and suites: then only the kernel makes a difference."""
    state = hashlib.sha256()
    for name, path in shipped_files():
        state.update(f"{name}\0".encode() + path.read_bytes() + b"\0")
    return state.hexdigest()[:20]
