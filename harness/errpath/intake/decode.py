"""Any report of the kernel, as text → failures.

The grammar is the oracles' own (`errpath.kernel.log`, `errpath.oracles`). Here is what other
people's logs have beside the kernel's words: prefixes, noise, lines of several processors mixed,
symbolised frames, cut ends. Results of errpath (JSON lines) are read as well.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import replace
from typing import BinaryIO

from errpath.errors import InfrastructureError
from errpath.intake.report_lines import LogLine, clean_line, read_lines
from errpath.kernel.log import Crash, CrashReader, is_headline
from errpath.oracles.failure import Failure
from errpath.oracles.kernel_log import log_failures
from errpath.oracles.kmemleak import Record, parse_records
from errpath.oracles.leaks import leak_failures

__all__ = ["REPORTS_MAX", "decode_file", "decode_lines", "decode_text"]

# Reports of one file that are read.
REPORTS_MAX = 1000
# Lines of one report that are kept.
_LINES_MAX = 3000
_UNREFERENCED = re.compile(
    r"^( *)unreferenced object(?: \((?:percpu|phys)\))? 0x[0-9a-f]+ \(size \d+\):"
)
_OF_RECORD = re.compile(r'^ *comm "|^ *hex dump|^ *backtrace|^ {4,}\S|^ *\[<[0-9a-f]+>\] ')
_LEAK_HEAD = re.compile(r"\bBUG: memory leak\b")
# Of symbolised text: behind a frame "fs/hfs/super.c:414", in parentheses or not, and what was
# inlined there.
_PLACE = r"\s+\(?([\w.][\w./+-]*\.[chS]:\d+)\b"
_INLINED = re.compile(r"\[inline\]\s*$")
_FRAME = re.compile(
    r"^ *((?:\[<[0-9a-f]+>\] )?)([\w.]+\+0x[0-9a-f]+)((?:/0x[0-9a-f]+)?)((?: \[[\w-]+\])?)"
)
_AGE = re.compile(r" \(age [^)]*\)$")


def decode_file(file: BinaryIO) -> tuple[Failure, ...]:
    """The failures that a log holds, in their order; REPORTS_MAX at most."""
    return decode_lines(read_lines(file))


def decode_text(text: str) -> tuple[Failure, ...]:
    """The same for text."""
    return decode_lines(map(clean_line, text.splitlines()))


def decode_lines(lines: Iterable[LogLine]) -> tuple[Failure, ...]:
    """The same for lines."""
    reader = _Reader()
    for number, line in enumerate(lines):
        if line.text.startswith("{") and (given := _results(line.text)):
            reader.add(number, given)
            continue
        reader.feed(number, line)
        if reader.full:
            break
    return reader.failures()


def _results(line: str) -> tuple[Failure, ...]:
    """The failures of a record of errpath's own results; () for any other line."""
    try:
        values = json.loads(line)
        given = values.get("failures", [values] if "title" in values else [])
        return tuple(map(Failure.from_json, given))
    except (ValueError, TypeError, AttributeError, RecursionError):
        return ()


def _placed(failure: Failure) -> Failure:
    """A failure with the place of the function that names it, where the text is symbolised."""
    name = failure.title.rpartition(" in ")[2]
    if failure.where or not failure.evidence or not re.fullmatch(r"\w+", name):
        return failure
    place = re.search(rf"(?m)\b{name}(?:\.\w+)*\+0x\S+(?: \[\w+\])?{_PLACE}", failure.evidence)
    return replace(failure, where=place[1]) if place is not None else failure


class _Reader:
    """Lines of a log → reports and records of kmemleak.

    Lines of several callers are mixed: each caller has a reader of its own. What a caller without a
    report prints belongs to the report that is open (an NMI backtrace to the stall it explains).
    """

    def __init__(self) -> None:
        self._readers: dict[str, _CallerReader] = {}
        # The one that took the last line.
        self._open: _CallerReader | None = None
        self._crashes: list[tuple[int, Crash]] = []
        self._leaks = _LeakReader()
        self._given: list[tuple[int, Failure]] = []

    def add(self, number: int, failures: Iterable[Failure]) -> None:
        """Failures that a line gives as they are."""
        self._given += [(number, failure) for failure in failures]

    @property
    def full(self) -> bool:
        found = len(self._crashes) + self._leaks.count + len(self._given)
        return found >= REPORTS_MAX or len(self._readers) >= REPORTS_MAX

    def feed(self, number: int, line: LogLine) -> None:
        if self._leaks.takes(number, line.text):
            return
        reader = self._readers.get(line.caller)
        if (reader is None or not reader.open) and not is_headline(line.text):
            if self._open is not None and self._open.open:
                self._open.overhear(line)
            return
        if reader is None:
            reader = self._readers[line.caller] = _CallerReader()
        self._open = reader
        self._crashes += reader.feed(number, line)

    def failures(self) -> tuple[Failure, ...]:
        """Everything found, in the order of its first lines."""
        for reader in self._readers.values():
            self._crashes += reader.close()
        self._crashes.sort(key=lambda found: found[0])
        reported = log_failures(crash for _, crash in self._crashes)
        numbered = [(number, one) for (number, _), one in zip(self._crashes, reported, strict=True)]
        numbered += [*self._leaks.failures(), *self._given]
        return tuple(_placed(one) for _, one in sorted(numbered, key=lambda found: found[0]))


class _CallerReader:
    """The reports of one caller."""

    def __init__(self) -> None:
        self._reader = CrashReader()
        self._number = 0
        self._stamped = False
        self._others: list[str] = []

    @property
    def open(self) -> bool:
        return self._reader.open

    def feed(self, number: int, line: LogLine) -> list[tuple[int, Crash]]:
        """Take a line; the report that it ends."""
        if self.open and self._stamped and not line.stamped:
            # Of a program on the same console.
            return []
        was_open, before = self.open, self._number
        done = self._reader.feed(line.text)
        found = self._found(done, before if was_open else number)
        if self.open and (done is not None or not was_open):
            self._number, self._stamped = number, line.stamped
        return found

    def overhear(self, line: LogLine) -> None:
        """Keep a line of another caller."""
        if len(self._others) < _LINES_MAX and line.stamped:
            self._others.append(line.text)

    def close(self) -> list[tuple[int, Crash]]:
        return self._found(self._reader.close(), self._number)

    def _found(self, crash: Crash | None, number: int) -> list[tuple[int, Crash]]:
        if crash is None:
            return []
        text = "\n".join((crash.text, *self._others))
        self._others.clear()
        return [(number, replace(crash, text=text))]


class _LeakReader:
    """kmemleak's records among other lines, also symbolised ones and those that break off."""

    def __init__(self) -> None:
        self._number = 0
        self._block: list[str] = []
        # By signature: where the first record was, and all of them.
        self._found: dict[str, tuple[int, list[Record]]] = {}
        self.count = 0

    def takes(self, number: int, text: str) -> bool:
        """Whether a line is of a record."""
        if _LEAK_HEAD.search(text):
            self._end()
            return True
        head = _UNREFERENCED.match(text)
        if head is not None:
            self._end()
            self._number, self._block = number, [text.strip()]
            self._indent = len(head[1])
            return True
        if self._block and _OF_RECORD.match(text):
            if len(self._block) < _LINES_MAX:
                self._block.append(text[self._indent :])
            return True
        self._end()
        return False

    def failures(self) -> list[tuple[int, Failure]]:
        self._end()
        return [(number, leak_failures(records)[0]) for number, records in self._found.values()]

    def _end(self) -> None:
        block, self._block = self._block, []
        if not block:
            return
        record = _record(block)
        if record is not None:
            signature = leak_failures([record])[0].signature
            self._found.setdefault(signature, (self._number, []))[1].append(record)
            self.count += 1


def _record(block: list[str]) -> Record | None:
    """The record of these lines; None where its backtrace is missing."""
    lines = [line for line in map(_plain, block) if line]
    # Cut ends: the last lines are left out until the rest is whole.
    for end in (len(lines), len(lines) - 1):
        try:
            (record,) = parse_records("\n".join(lines[:end]) + "\n")
        except (InfrastructureError, ValueError):
            continue
        return replace(record, raw="\n".join(block)) if record.backtrace else None
    return None


def _plain(line: str) -> str:
    """A record's line as the kernel prints it; "" for one that a symboliser added."""
    if _INLINED.search(line):
        return ""
    frame = _FRAME.match(line)
    if frame is not None:
        # errpath's own reports leave out the size.
        return f"    {frame[1]}{frame[2]}{frame[3] or '/0x0'}{frame[4]}"
    return _AGE.sub("", line)
