"""Kernel sources from Debian: the newest `linux-source-X.Y` that apt can reach.

Debian replaces a version when the next one arrives, so a specification names a series and never a
version; what it meant last is remembered for a day, and used for longer where apt reaches nothing.
"""

from __future__ import annotations

import re
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cmp_to_key
from pathlib import Path

from errpath.errors import ErrpathError, SourceError
from errpath.kernel.layout import Layout, read_json, write_json
from errpath.kernel.source.directory import PristineDirectory
from errpath.kernel.source.tarball import unpack
from errpath.util.apt import (
    Apt,
    Candidate,
    archive_of,
    compare,
    find_mirror,
    private_apt,
    series_of,
)
from errpath.util.locks import file_lock
from errpath.util.process import run
from errpath.util.progress import Progress

__all__ = ["DebianSource", "open_debian"]

# Suites that carry kernels newer than a release's own, most trusted first.
_SUITES = ("trixie-backports", "bookworm-security", "unstable")
# How long an answer of apt is good for, in seconds.
_FRESH_SECONDS = 86400.0
# How soon to ask again after apt reached nothing, in seconds.
_RETRY_SECONDS = 900.0

_SERIES = re.compile(r"^(?:\d+\.\d+|latest)$")
_PACKAGE = r"^linux-source-[0-9]+\.[0-9]+$"


@dataclass(frozen=True)
class DebianSource:
    """Where Debian sources come from. Tests give another clock, and another apt."""

    layout: Layout
    progress: Progress
    clock: Callable[[], float] = time.time
    apts: Callable[[Path], Iterator[Apt]] | None = None

    def open(self, series: str) -> PristineDirectory:
        """The unpacked sources of `7.2` or `latest`, downloaded if need be.

        Raises:
            SourceError: no such series, or apt reaches nothing and nothing is cached.
        """
        if not _SERIES.match(series):
            raise SourceError(f"debian:{series}: expected debian:X.Y or debian:latest")
        known = self._known(series, fresh=True)
        if known is not None:
            return known
        lock = self.layout.locks / "debian"
        with file_lock(lock, f"downloading debian:{series}", progress=self.progress):
            known = self._known(series, fresh=True)
            return known if known is not None else self._refresh(series)

    def _known(self, series: str, *, fresh: bool) -> PristineDirectory | None:
        record = read_json(self._record(series))
        if record is None or (fresh and self.clock() - record["checked"] > _FRESH_SECONDS):
            return None
        source = _source(self.layout, series, record["package"], record["version"])
        return source if source.root.is_dir() else None

    def _record(self, series: str) -> Path:
        return self.layout.sources / f"debian-{series}.json"

    def _refresh(self, series: str) -> PristineDirectory:
        reasons: list[str] = []
        for apt, candidate in self._candidates(series, reasons):
            try:
                source = self._fetch(series, apt, candidate)
            except (SourceError, OSError):
                raise
            except ErrpathError as error:
                reasons.append(str(error))
                continue
            self._remember(series, candidate)
            return source
        cached = self._known(series, fresh=False)
        if cached is None:
            why = reasons[-1] if reasons else "apt knows no such package"
            raise SourceError(f"debian:{series}: no linux-source package to be had: {why}")
        self.progress.say(f"debian:{series}: apt reaches nothing; using {cached.label}")
        record = read_json(self._record(series)) or {}
        retry = self.clock() - _FRESH_SECONDS + _RETRY_SECONDS
        write_json(self._record(series), {**record, "checked": retry})
        return cached

    def _candidates(self, series: str, reasons: list[str]) -> Iterator[tuple[Apt, Candidate]]:
        """What to try, best first: the machine's own suites, then the newest of the others."""
        found: list[tuple[Apt, Candidate]] = []
        for apt in (self.apts or _apts)(self.layout.root / "apt"):
            try:
                if apt.suite:
                    with self.progress.step(f"apt: looking for linux-source in {apt.suite}"):
                        apt.update()
                candidate = _newest(apt, series)
            except ErrpathError as error:
                reasons.append(f"{apt.suite or 'apt'}: {error}")
                continue
            if candidate is None:
                continue
            if not apt.suite and series != "latest":
                yield apt, candidate
            else:
                # The machine's own suites always have some series: only all of them say which is
                # the latest.
                found.append((apt, candidate))
        # The first of equals stays first.
        yield from sorted(found, key=cmp_to_key(_newest_first))

    def _fetch(self, series: str, apt: Apt, candidate: Candidate) -> PristineDirectory:
        source = _source(self.layout, series, candidate.package, candidate.version)
        if source.root.is_dir():
            return source
        self.layout.tmp.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self.layout.tmp, prefix="debian-") as scratch:
            what = f"{candidate.package} {candidate.version}"
            with self.progress.step(f"downloading {what} from {candidate.origin}"):
                package = apt.download(candidate, Path(scratch))
            with self.progress.step(f"unpacking {what}"):
                run(["dpkg-deb", "-x", package, f"{scratch}/root"])
                package.unlink()
                tarballs = list(Path(scratch, "root/usr/src").glob("linux-source-*.tar.*"))
                if len(tarballs) != 1:
                    raise SourceError(f"{what}: expected one tarball in /usr/src")
                unpack(self.layout, tarballs[0], source.root)
        return source

    def _remember(self, series: str, candidate: Candidate) -> None:
        record = {
            "package": candidate.package,
            "version": candidate.version,
            "origin": candidate.origin,
            "checked": self.clock(),
        }
        write_json(self._record(series), record)


def _apts(root: Path) -> Iterator[Apt]:
    yield Apt()
    try:
        mirror = find_mirror()
    except SourceError:
        # A machine of another kind: its own apt has been asked, and there is nothing more to ask.
        return
    for suite in _SUITES:
        # One root each: a suite that is gone must not hide the other.
        yield private_apt(root / suite, archive_of(mirror, suite), suite)


def _newest_first(left: tuple[Apt, Candidate], right: tuple[Apt, Candidate]) -> int:
    return compare(right[1], left[1])


def _newest(apt: Apt, series: str) -> Candidate | None:
    if series != "latest":
        return apt.newest(f"linux-source-{series}")
    names = [name for name in apt.packages(_PACKAGE) if re.match(_PACKAGE, name)]
    return apt.newest(max(names, key=series_of)) if names else None


def _source(layout: Layout, series: str, package: str, version: str) -> PristineDirectory:
    name = f"{package}_{version}"
    label = f"debian:{series} ({version})"
    return PristineDirectory(layout.sources / name, name, label)


def open_debian(layout: Layout, series: str, progress: Progress) -> PristineDirectory:
    """`DebianSource.open` with the machine's apt."""
    return DebianSource(layout, progress).open(series)
