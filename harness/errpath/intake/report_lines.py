"""Somebody's log file → lines as the kernel printed them.

Bounded: whatever the file holds, a line has `LINE_MAX` characters at most and a file `BYTES_MAX`
bytes and `LINES_MAX` lines; what is beyond is not read.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

__all__ = ["BYTES_MAX", "LINES_MAX", "LINE_MAX", "LogLine", "clean_line", "read_lines"]

BYTES_MAX = 256 << 20
LINES_MAX = 4_000_000
LINE_MAX = 1024
# Bytes of a line of errpath's own results.
_RESULT_MAX = 1 << 20
_CHUNK = 1 << 20

_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|[\x00-\x08\x0b-\x1f\x7f]")
_QUOTED = re.compile(r"^(?:> ?)+")
# "<4>", "[   12.345678]" and "[  T123]" of the console, whatever a program or a serial line printed
# in front of it.
_STAMP = re.compile(r"^(.{0,200}?)(?:<\d{1,3}>)?\[\s*\d+\.\d{3,9}\](?:\[\s*([TC]\d+)\])? ?")
# Of dmesg -T, dmesg -x, syslog and journalctl, which have the console's behind them or have not.
_OTHERS = re.compile(
    r"^(?:<\d{1,3}>|\[[A-Z][a-z]{2} [A-Z][a-z]{2} +\d+ \d\d:\d\d:\d\d \d{4}\] ?"
    r"|[a-z]+ *:[a-z]+ *: "
    r"|(?:[A-Z][a-z]{2} +\d+ \d\d:\d\d:\d\d|\d{4}-\d\d-\d\dT\S+) \S+ kernel: )"
)


@dataclass(frozen=True)
class LogLine:
    """One line."""

    text: str
    # Who printed it, "T123" or "C0", where the kernel says so (CONFIG_PRINTK_CALLER).
    caller: str = ""
    # Whether a time stamp of the kernel was in front.
    stamped: bool = False


def clean_line(raw: str) -> LogLine:
    """A line without what consoles, loggers and mails put in front of the kernel's words."""
    if raw.startswith("{"):
        return LogLine(raw.rstrip())
    text = _ESCAPES.sub("", raw[:LINE_MAX]).rstrip()
    if text.startswith(">"):
        text = _QUOTED.sub("", text)
    other = _OTHERS.match(text)
    if other is not None:
        text = text[other.end() :]
    stamp = _STAMP.match(text) if "[" in text else None
    if stamp is not None:
        return LogLine(text[stamp.end() :], stamp[2] or "", stamped=True)
    return LogLine(text, stamped=other is not None)


def read_lines(file: BinaryIO, bytes_max: int = BYTES_MAX) -> Iterator[LogLine]:
    """The lines of a file, cleaned; of a line that is too long, its beginning."""
    return map(clean_line, itertools.islice(_raw_lines(_chunks(file, bytes_max)), LINES_MAX))


def _chunks(file: BinaryIO, bytes_max: int) -> Iterator[bytes]:
    left = bytes_max
    while left > 0 and (chunk := file.read(min(_CHUNK, left))):
        left -= len(chunk)
        yield chunk


def _raw_lines(chunks: Iterable[bytes]) -> Iterator[str]:
    rest = b""
    for chunk in chunks:
        *whole, rest = (rest + chunk).split(b"\n")
        yield from map(_decoded, whole)
        # The beginning of a line that never ends is enough.
        rest = rest[: _length(rest)]
    if rest:
        yield _decoded(rest)


def _decoded(line: bytes) -> str:
    return line[: _length(line)].decode(errors="replace")


def _length(line: bytes) -> int:
    """How many bytes of a line are read."""
    return _RESULT_MAX if line.startswith(b"{") else 4 * LINE_MAX
