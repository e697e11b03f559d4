"""The report of each case that is not a pass, with its artefacts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from errpath.errors import ErrpathError
from errpath.oracles.message_source import MessageSource
from errpath.results.artefacts import write_artefacts
from errpath.results.reports.lifetime_svg import lifetime_svg
from errpath.results.reports.text import Decoder, render
from errpath.runner.lifetime import Lifetime
from errpath.runner.origin import Measured
from errpath.runner.result import Result
from errpath.runner.verdict import Status

__all__ = ["PICTURE", "CaseReporter", "folder_name"]

# The life of what a case leaked, in the folder of its artefacts.
PICTURE = "lifetime.svg"


class CaseReporter:
    """Writes each report once."""

    def __init__(
        self,
        directory: Path,
        *,
        decoder: Callable[[str, str], Decoder],
        rerun: Callable[[str, str], str],
        lifetime: Callable[[str, Result], Lifetime | None] = lambda kernel, result: None,
        blocked: Callable[[str, Result], str] = lambda kernel, result: "",
        origin: Callable[[str, Result], Measured | None] = lambda kernel, result: None,
        message: Callable[[str, Result], MessageSource | None] = lambda kernel, result: None,
    ) -> None:
        """`decoder` takes a kernel and a filesystem; `rerun` gives the command that runs a case of
        a kernel again; `lifetime` measures what became of a leaked object, `blocked` who else waits
        in a hang, `origin` where a bad value came from, `message` who printed one. Artefacts go
        below `directory`."""
        self._directory = directory
        self._decoder = decoder
        self._rerun = rerun
        self._lifetime = lifetime
        self._blocked = blocked
        self._origin = origin
        self._message = message
        self._reports: dict[tuple[str, str], str] = {}
        self._folders: dict[tuple[str, str], Path] = {}

    def report(self, kernel: str, result: Result) -> str:
        """The text of a result that is not a pass; its artefacts are written with it."""
        key = (kernel, result.verdict.case.id)
        if key not in self._reports:
            self._reports[key] = self._render(kernel, result)
        return self._reports[key]

    def folder(self, kernel: str, case_id: str) -> Path | None:
        """Where the artefacts of a case are, once they have been written."""
        return self._folders.get((kernel, case_id))

    def _render(self, kernel: str, result: Result) -> str:
        case = result.verdict.case
        decoder = None
        folder = None
        note = ""
        try:
            if any(failure.functions for failure in result.verdict.failures):
                decoder = self._decoder(kernel, case.filesystem)
            if result.verdict.status not in (Status.PASS, Status.SKIP):
                folder = write_artefacts(result, self._directory / folder_name(kernel), decoder)
        except ErrpathError as error:
            note = f"\n  report     incomplete: {error}"
        lifetime = self._lifetime(kernel, result)
        text = render(
            result,
            decoder,
            rerun=self._rerun(kernel, case.id),
            folder=folder,
            lifetime=lifetime,
            blocked=self._blocked(kernel, result),
            origin=self._origin(kernel, result),
            message=self._message(kernel, result),
        )
        text += note
        if folder is not None:
            self._folders[kernel, case.id] = folder
            try:
                (folder / "report.txt").write_text(text + "\n")
                if lifetime is not None and lifetime.timeline is not None:
                    (folder / PICTURE).write_text(lifetime_svg(lifetime.timeline))
            except OSError as error:
                text += f"\n  report     not written: {error.strerror}"
        return text


def folder_name(kernel: str) -> str:
    """Name of the artefact folder of a kernel."""
    return "".join(c if c.isalnum() or c in ".-_" else "_" for c in kernel)
