"""What kernels can do: features, filesystems with the share of their code that is compiled, and
whether a guest of each finds its canary."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from errpath.errors import AbsentError, ErrpathError
from errpath.filesystems import known_filesystems, load_filesystem
from errpath.kernel import BuiltKernel, KernelStore
from errpath.kernel.features.finding import Finding, Presence
from errpath.runner.availability import check_configured
from errpath.runner.testbed import Testbed

__all__ = ["FilesystemEntry", "KernelSurvey", "render", "survey", "to_json"]


@dataclass(frozen=True)
class FilesystemEntry:
    """One filesystem on one kernel."""

    name: str
    # Why the kernel does not have it; empty where it has.
    absent: str = ""
    # Percent of the lines of its source directory that are compiled; None where it is unknown.
    compiled: int | None = None
    # Files of that directory that are not.
    left_out: tuple[str, ...] = ()

    @property
    def word(self) -> str:
        """For a table."""
        if self.absent:
            return "-"
        return "yes" if self.compiled is None else f"{self.compiled} %"


@dataclass(frozen=True)
class KernelSurvey:
    """One kernel."""

    name: str
    description: str
    release: str
    features: tuple[Finding, ...]
    filesystems: tuple[FilesystemEntry, ...]
    # Wished lines of the configuration that it did not keep.
    dropped: tuple[str, ...] = ()
    # "found", what went wrong instead, or "" where no guest was booted.
    canary: str = ""


def survey(kernel: BuiltKernel, store: KernelStore, testbed: Testbed | None) -> KernelSurvey:
    """What a built kernel can do; with a test bed of it, a guest is booted to try the canary."""
    return KernelSurvey(
        name=kernel.name,
        description=kernel.description,
        release=kernel.release,
        features=store.features(kernel),
        filesystems=tuple(_filesystem(kernel, store, name) for name in known_filesystems()),
        dropped=tuple(str(line) for line in kernel.dropped if line.loss),
        canary=_canary(testbed) if testbed is not None else "",
    )


def _filesystem(kernel: BuiltKernel, store: KernelStore, name: str) -> FilesystemEntry:
    filesystem = load_filesystem(name)
    try:
        check_configured(kernel, filesystem)
    except AbsentError as error:
        why = str(error).rpartition(": ")[2]
        if filesystem.own_kernel:
            why += f" (needs the kernel of {filesystem.own_kernel}.config)"
        return FilesystemEntry(name, absent=why)
    share = store.sources.compiled_share(kernel, Path(filesystem.source).parent.as_posix())
    if share is None:
        where = Path(filesystem.source).parent.as_posix()
        return FilesystemEntry(name, absent=f"no {where} in its source")
    return FilesystemEntry(name, compiled=share.percent, left_out=share.left_out)


def _canary(testbed: Testbed) -> str:
    try:
        testbed.guests.prepare((), ()).guest.close()
    except ErrpathError as error:
        return str(error)
    return "found"


def to_json(surveys: Sequence[KernelSurvey]) -> list[dict[str, Any]]:
    """Plain values, one object a kernel."""
    found = []
    for one in surveys:
        values = asdict(one)
        values["features"] = {
            finding.name: {"presence": finding.presence.value, "why": finding.why}
            for finding in one.features
        }
        found.append(values)
    return found


def render(surveys: Sequence[KernelSurvey]) -> str:
    """A table of every feature and filesystem by kernel, and the reasons below it."""
    rows = [["", *(one.name for one in surveys)]]
    rows.append(["release", *(one.release for one in surveys)])
    if any(one.canary for one in surveys):
        rows.append(["canary", *("found" if one.canary == "found" else "NO" for one in surveys)])
    words = {Presence.PRESENT: "yes", Presence.ABSENT: "-", Presence.BROKEN: "BROKEN"}
    for number, finding in enumerate(surveys[0].features):
        cells = [words[one.features[number].presence] for one in surveys]
        rows.append([finding.name, *cells])
    for number, entry in enumerate(surveys[0].filesystems):
        rows.append([f"fs: {entry.name}", *(one.filesystems[number].word for one in surveys)])
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [_row(row, widths) for row in rows]
    lines.insert(1, f"|{'|'.join('-' * (width + 2) for width in widths)}|")
    for one in surveys:
        lines += ["", f"{one.name}: {one.description}"]
        lines += [f"  {note}" for note in _notes(one)]
    return "\n".join(lines)


def _row(cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = (cell.ljust(width) for cell, width in zip(cells, widths, strict=True))
    return f"| {' | '.join(padded)} |"


def _notes(one: KernelSurvey) -> list[str]:
    notes = [f"not as wished: {line}" for line in one.dropped]
    if one.canary not in ("", "found"):
        notes.append(f"canary: {one.canary}")
    notes += [str(finding) for finding in one.features if not finding.present]
    notes += [f"{entry.name}: {entry.absent}" for entry in one.filesystems if entry.absent]
    return notes
