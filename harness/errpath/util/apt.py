"""Debian packages through apt, from the machine's own suites or from a private set of them.

apt does the fetching, so that a proxy, a mirror and the archive's signatures are handled as the
machine's owner set them up. A private root (lists, cache and sources of its own) reaches suites
that the machine does not follow, without touching its configuration and without being root.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from errpath.errors import InfrastructureError, SourceError, ToolMissingError
from errpath.util.deadline import Deadline
from errpath.util.process import ProgramError, run

__all__ = [
    "Apt",
    "Candidate",
    "archive_of",
    "compare",
    "find_mirror",
    "private_apt",
    "series_of",
]

KEYRINGS = tuple(
    Path(f"/usr/share/keyrings/debian-archive-keyring.{suffix}") for suffix in ("gpg", "pgp")
)
_UPDATE_SECONDS = 180.0
_DOWNLOAD_SECONDS = 1800.0


@dataclass(frozen=True)
class Candidate:
    """One version of a package that apt can download."""

    package: str
    version: str
    # Mirror, suite and component, as apt prints them.
    origin: str


@dataclass(frozen=True)
class Apt:
    """apt with some options; no options mean the machine's own configuration."""

    options: tuple[str, ...] = ()
    # The one suite of a private root; empty for the machine's own.
    suite: str = ""

    def update(self) -> None:
        """Fetch the package lists.

        Raises:
            ProgramError: no list could be fetched, or a signature is wrong.
        """
        deadline = Deadline.after(_UPDATE_SECONDS, "apt-get update")
        run(["apt-get", *self.options, "-qq", "update"], deadline=deadline)

    def packages(self, pattern: str) -> tuple[str, ...]:
        """Names of packages that match an anchored regular expression."""
        done = run(["apt-cache", *self.options, "search", "--names-only", pattern], check=False)
        return tuple(line.split(" - ")[0] for line in done.text.splitlines() if line)

    def newest(self, package: str) -> Candidate | None:
        """The newest version of a package, or None if apt knows none."""
        done = run(["apt-cache", *self.options, "madison", package], check=False)
        best: Candidate | None = None
        for line in done.text.splitlines():
            fields = [field.strip() for field in line.split("|")]
            if len(fields) != 3 or fields[0] != package or fields[2].endswith("Sources"):
                continue
            origin = " ".join(fields[2].split()[:2])
            candidate = Candidate(package, fields[1], origin)
            if best is None or compare(candidate, best) > 0:
                best = candidate
        return best

    def download(self, candidate: Candidate, directory: Path) -> Path:
        """Download a package into `directory`; apt checks it against the signed lists.

        Raises:
            ProgramError: apt failed.
            InfrastructureError: apt left no package.
        """
        word = f"{candidate.package}={candidate.version}"
        deadline = Deadline.after(_DOWNLOAD_SECONDS, f"the download of {word}")
        run(["apt-get", *self.options, "-qq", "download", word], cwd=directory, deadline=deadline)
        found = list(directory.glob(f"{candidate.package}_*.deb"))
        if len(found) != 1:
            raise InfrastructureError(f"apt-get download {word}: left no package behind")
        return found[0]


def private_apt(
    root: Path,
    mirror: str,
    suite: str,
    *,
    component: str = "main",
    keyrings: Sequence[Path] = KEYRINGS,
) -> Apt:
    """apt that follows one suite of `mirror` and nothing else, with its state below `root`.

    `component` is a part of the suite: main, contrib, non-free. The first of `keyrings` that
    exists is used.

    Raises:
        ToolMissingError: the archive's public keys are not installed.
    """
    keyring = next((path for path in keyrings if path.exists()), None)
    if keyring is None:
        raise ToolMissingError(f"{keyrings[0]}: not found (Debian package debian-archive-keyring)")
    for name in ("lists/partial", "cache/archives/partial", "parts"):
        (root / name).mkdir(parents=True, exist_ok=True)
    (root / "status").touch()
    sources = root / "sources.list"
    sources.write_text(f"deb [signed-by={keyring}] {mirror} {suite} {component}\n")
    settings = {
        "Dir::Etc::SourceList": sources,
        "Dir::Etc::SourceParts": root / "parts",
        "Dir::Etc::Preferences": root / "preferences",
        "Dir::Etc::PreferencesParts": root / "parts",
        "Dir::State::Lists": root / "lists",
        "Dir::State::Status": root / "status",
        "Dir::Cache": root / "cache",
        # Only an index of packages is of use here.
        "Acquire::Languages": "none",
        "Acquire::http::Timeout": "20",
        "Acquire::Retries": "1",
        # A list that could not be fetched is a failure, not a reason to use the old one.
        "APT::Update::Error-Mode": "any",
        "APT::Sandbox::User": "",
    }
    options = tuple(word for name, value in settings.items() for word in ("-o", f"{name}={value}"))
    return Apt(options, suite)


def find_mirror(etc: Path = Path("/etc/apt")) -> str:
    """The Debian mirror that the machine's own sources name, or `$ERRPATH_MIRROR`.

    apt reads the sources itself: both formats, what is switched off, options.

    Raises:
        SourceError: there is neither, or apt cannot read its sources.
    """
    chosen = os.environ.get("ERRPATH_MIRROR")
    if chosen:
        return chosen.rstrip("/")
    # Without lists too: what is there to be fetched, not what has been.
    argv = ["apt-get", "-o", f"Dir::Etc={etc}", "indextargets", "--no-release-info"]
    try:
        done = run([*argv, "--format", "$(CREATED_BY) $(REPO_URI)"])
    except ProgramError as error:
        printed = error.completed.stderr.decode(errors="replace").splitlines()
        why = next((line[3:] for line in printed if line.startswith("E: ")), str(error))
        raise SourceError(f"apt: {why}; expected sources, or ERRPATH_MIRROR=URL") from None
    for line in done.text.splitlines():
        kind, _, uri = line.partition(" ")
        if (
            kind == "Packages"
            and re.match(r"https?://", uri)
            and uri.rstrip("/").endswith("/debian")
        ):
            return uri.rstrip("/")
    raise SourceError(
        f"{etc}: no Debian mirror among the sources of apt; expected one, or ERRPATH_MIRROR=URL"
    )


def archive_of(mirror: str, suite: str) -> str:
    """The URL of the archive that has a suite: security updates have one beside the mirror's."""
    return f"{mirror}-security" if suite.endswith("-security") else mirror


def series_of(package: str) -> tuple[int, ...]:
    """`linux-source-7.2` -> (7, 2)."""
    return tuple(int(part) for part in package.rpartition("-")[2].split("."))


def compare(left: Candidate, right: Candidate) -> int:
    """Negative, 0 or positive, as `left` is older than, as old as, or newer than `right`."""
    if left.package != right.package:
        return 1 if series_of(left.package) > series_of(right.package) else -1
    if left.version == right.version:
        return 0
    argv = ["dpkg", "--compare-versions", left.version, "gt", right.version]
    return 1 if run(argv, check=False).returncode == 0 else -1
