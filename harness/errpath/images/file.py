"""People's own image files: raw, compressed or qcow2, read and never written.

Holes and runs of zeros are not kept, so that a sparse file of 100 GB costs what it holds. Nothing
parses the filesystem on an image; a qcow2 file is read by qemu-img, and only where it names no
other file.
"""

from __future__ import annotations

import bz2
import errno
import gzip
import lzma
import os
import subprocess
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from errpath.errors import InfrastructureError, UsageError
from errpath.images.image import Image
from errpath.util import process
from errpath.util.cache import scratch_directory
from errpath.util.deadline import Deadline

__all__ = ["LIMITS", "Limits", "load_image"]


@dataclass(frozen=True)
class Limits:
    """What an image may have at most, in bytes."""

    # Other than zero.
    content: int = 256 << 20
    # Of the device.
    size: int = 16 << 40
    # Of what a compressed file unpacks to: all of it is read.
    unpacked: int = 16 << 30


LIMITS = Limits()
_CHUNK = 1 << 18
_GZIP, _XZ, _ZSTD, _BZIP2 = b"\x1f\x8b", b"\xfd7zXZ\x00", b"\x28\xb5\x2f\xfd", b"BZh"
_QCOW2 = b"QFI\xfb"
_SECONDS = 300.0


def load_image(path: Path, limits: Limits = LIMITS) -> Image:
    """The image in a file, named after it; what it is packed in is known by its first bytes.

    Raises:
        UsageError: it cannot be read, is empty, too large, or not what its first bytes say.
        ToolMissingError: the program that unpacks it is not installed.
    """
    name = path.name
    try:
        if not path.is_file():
            what = "No such file" if not path.exists() else "not a file"
            raise UsageError(f"{path}: {what}; expected an image")
        with path.open("rb") as file:
            head = file.read(8)
            file.seek(0)
            if head.startswith(_QCOW2):
                return _qcow2(path, file, limits).renamed(name)
            unpacked = _unpacked(head, file, path)
            if unpacked is not None:
                return _image(name, unpacked, path, limits)
            return _raw(name, file, path, limits)
    except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UsageError(f"{path}: {reason}; expected a whole image file") from None


def _unpacked(head: bytes, file: BinaryIO, path: Path) -> Iterator[bytes] | None:
    """The content in pieces; None for what is not compressed."""
    if head.startswith(_GZIP):
        return _pieces(cast(BinaryIO, gzip.GzipFile(fileobj=file)))
    if head.startswith(_XZ):
        return _pieces(cast(BinaryIO, lzma.LZMAFile(file)))
    if head.startswith(_BZIP2):
        return _pieces(cast(BinaryIO, bz2.BZ2File(file)))
    if head.startswith(_ZSTD):
        return _zstd(path)
    return None


def _pieces(unpacked: BinaryIO) -> Iterator[bytes]:
    with unpacked:
        while chunk := unpacked.read(_CHUNK):
            yield chunk


def _zstd(path: Path) -> Iterator[bytes]:
    program = process.find_program("zstd")
    with subprocess.Popen(
        [program, "--decompress", "--stdout", "--quiet", "--memory=256MB", str(path)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as child:
        assert child.stdout is not None
        assert child.stderr is not None
        try:
            while chunk := child.stdout.read(_CHUNK):
                yield chunk
            printed = child.stderr.read(1000).decode(errors="replace").strip()
            if child.wait() != 0:
                raise UsageError(f"{path}: {printed or 'zstd failed'}; expected a whole image file")
        finally:
            child.kill()


def _image(name: str, chunks: Iterator[bytes], path: Path, limits: Limits) -> Image:
    pieces: list[tuple[int, bytes]] = []
    size = kept = 0
    for chunk in chunks:
        if chunk.count(0) != len(chunk):
            pieces.append((size, chunk))
            kept += len(chunk)
        size += len(chunk)
        _check(path, size, kept, limits.unpacked, limits)
    return _made(name, size, pieces, path)


def _raw(name: str, file: BinaryIO, path: Path, limits: Limits) -> Image:
    size = os.fstat(file.fileno()).st_size
    _check(path, size, 0, limits.size, limits)
    pieces: list[tuple[int, bytes]] = []
    kept = 0
    for start, end in _data(file.fileno(), size):
        at = start
        while at < end and (chunk := os.pread(file.fileno(), min(_CHUNK, end - at), at)):
            if chunk.count(0) != len(chunk):
                pieces.append((at, chunk))
                kept += len(chunk)
            at += len(chunk)
            _check(path, size, kept, limits.size, limits)
    return _made(name, size, pieces, path)


def _data(descriptor: int, size: int) -> Iterator[tuple[int, int]]:
    """The parts of a file that are no holes: (start, end)."""
    at = 0
    while at < size:
        try:
            start = os.lseek(descriptor, at, os.SEEK_DATA)
            end = os.lseek(descriptor, start, os.SEEK_HOLE)
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
            return
        yield start, end
        at = end


def _made(name: str, size: int, pieces: list[tuple[int, bytes]], path: Path) -> Image:
    if size == 0:
        raise UsageError(f"{path}: empty; expected an image")
    return Image.of(name, size, pieces)


def _check(path: Path, size: int, kept: int, most: int, limits: Limits) -> None:
    if size > most:
        raise UsageError(f"{path}: more than {most >> 30} GiB; expected a smaller image")
    if kept > limits.content:
        raise UsageError(
            f"{path}: holds more than {limits.content >> 20} MiB beside zeros; expected an image "
            "that fits the memory of a guest"
        )


def _qcow2(path: Path, file: BinaryIO, limits: Limits) -> Image:
    """A qcow2 file stands alone: one that names another file would have that read instead."""
    header = file.read(104)
    version = int.from_bytes(header[4:8], "big")
    if len(header) < 72 or version not in (2, 3):
        raise UsageError(f"{path}: qcow2 version {version}; expected 2 or 3, and a whole header")
    backing, features = int.from_bytes(header[8:16], "big"), int.from_bytes(header[72:80], "big")
    if backing or (version == 3 and features & 0x4):
        raise UsageError(f"{path}: its data is in another file; expected a qcow2 that stands alone")
    _check(path, int.from_bytes(header[24:32], "big"), 0, limits.size, limits)
    program = process.find_program("qemu-img")
    with scratch_directory() as scratch:
        raw = scratch / "raw"
        try:
            process.run(
                [program, "convert", "-f", "qcow2", "-O", "raw", path.absolute(), raw],
                deadline=Deadline.after(_SECONDS, "qemu-img"),
            )
        except process.ProgramError as error:
            printed = error.completed.stderr.decode(errors="replace").strip().splitlines()
            reason = printed[-1] if printed else str(error)
            raise UsageError(f"{path}: {reason}; expected a whole qcow2 image") from None
        except InfrastructureError as error:
            raise UsageError(f"{path}: {error}") from None
        with raw.open("rb") as unpacked:
            return _raw(path.name, unpacked, path, limits)
