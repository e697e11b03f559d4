"""The report of each case that is not a pass, with its artefacts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from errpath.errors import ErrpathError
from errpath.results.artefacts import write_artefacts
from errpath.results.reports.text import Decoder, render
from errpath.runner.result import Result
from errpath.runner.verdict import Status

__all__ = ["CaseReporter", "folder_name"]


class CaseReporter:
    """Writes each report once."""

    def __init__(
        self,
        directory: Path,
        *,
        decoder: Callable[[str, str], Decoder],
        rerun: Callable[[str, str], str],
    ) -> None:
        """`decoder` takes a kernel and a filesystem; `rerun` gives the command that runs a case of
        a kernel again. Artefacts go below `directory`."""
        self._directory = directory
        self._decoder = decoder
        self._rerun = rerun
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
        text = render(result, decoder, rerun=self._rerun(kernel, case.id), folder=folder) + note
        if folder is not None:
            self._folders[kernel, case.id] = folder
            try:
                (folder / "report.txt").write_text(text + "\n")
            except OSError as error:
                text += f"\n  report     not written: {error.strerror}"
        return text


def folder_name(kernel: str) -> str:
    """Name of the artefact folder of a kernel."""
    return "".join(c if c.isalnum() or c in ".-_" else "_" for c in kernel)
