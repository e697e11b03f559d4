"""The folder that a case which is not a pass leaves behind."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path

from errpath.cases.case import Outcome
from errpath.errors import InfrastructureError
from errpath.results.reports.text import Decoder, decode_record
from errpath.runner.result import Result

__all__ = ["write_artefacts", "write_files"]

_GUEST_FILES = ("console.log", "host.log", "qemu.argv", "qemu.log")


def write_artefacts(result: Result, root: Path, decoder: Decoder | None) -> Path:
    """Write what is known of a case under `root` and return its folder.

    console.log, host.log, qemu.argv and qemu.log of the guest; plan.json, the case; outcome.json,
    what it did; kmemleak.raw and kmemleak.decoded; image.img, sparse, as it was before
    the case, and image-after.img where it is known to have changed.

    Raises:
        InfrastructureError: the disk is full or the folder cannot be written.
    """
    verdict = result.verdict
    case = verdict.case
    folder = _folder(root, case.id)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if result.artefacts is not None:
            for name in _GUEST_FILES:
                with contextlib.suppress(FileNotFoundError):
                    shutil.copyfile(result.artefacts / name, folder / name)
        (folder / "plan.json").write_text(json.dumps(_plan(result), indent=2) + "\n")
        if verdict.outcome is not None:
            text = json.dumps(_outcome(verdict.outcome), indent=2, default=str)
            (folder / "outcome.json").write_text(text + "\n")
            before = case.device.content
            if before is not None and verdict.outcome.changed:
                before.patched_all(verdict.outcome.changed).write(folder / "image-after.img")
        if verdict.leak is not None:
            records = verdict.leak.records
            (folder / "kmemleak.raw").write_text("\n".join(r.raw for r in records) + "\n")
            if decoder is not None:
                decoded = "\n".join(decode_record(record, decoder) for record in records)
                (folder / "kmemleak.decoded").write_text(decoded + "\n")
        for device in case.every_device:
            if (content := device.content) is not None:
                mark = f"-{device.name}" if device.name else ""
                content.write(folder / f"image{mark}.img")
    except OSError as error:
        raise _no_room(folder, error) from None
    return folder


def write_files(files: Mapping[str, bytes], root: Path, case: str) -> Path:
    """Write files by their names into a case's folder under `root`, and return that.

    Raises:
        InfrastructureError: the disk is full or the folder cannot be written.
    """
    folder = _folder(root, case)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            (folder / name).write_bytes(content)
    except OSError as error:
        raise _no_room(folder, error) from None
    return folder


def _folder(root: Path, case: str) -> Path:
    return root / re.sub(r"[^\w.,=+-]", "_", case)


def _no_room(folder: Path, error: OSError) -> InfrastructureError:
    return InfrastructureError(f"{folder}: {error.strerror}; expected room for artefacts")


def _outcome(outcome: Outcome) -> dict[str, object]:
    """Of what has changed on the device, only where: the rest is in the image."""
    places = [[offset, len(data)] for offset, data in outcome.changed]
    return {**asdict(replace(outcome, changed=())), "changed": places}


def _plan(result: Result) -> dict[str, object]:
    case = result.verdict.case
    images = [device.image.name if device.image else None for device in case.every_device]
    return {"id": case.id, "image": images[0], **case.as_request("TASK", images)}
