"""Unexpected messages of the kernel log.

A case's messages are its own: the agent reads them by sequence number. A message of level err or
worse, or one that a subsystem prints when it finds something left over, is a failure, unless the
filesystem's YAML file (`log`) or the case itself expects it.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from errpath.cases.case import MountCase, Outcome
from errpath.filesystems import load_filesystem
from errpath.filesystems.mkfs import own_filesystems
from errpath.kernel.log import Crash, find_crashes
from errpath.oracles.failure import KERNEL_LOG, Failure
from errpath.oracles.kernel_log import log_failures

__all__ = ["Message", "late_failures", "message_failures", "messages", "plain_text", "unexpected"]

# KERN_ERR of include/linux/kern_levels.h.
_ERR = 3
# What is wrong at any level, and has no report of its own in `errpath.kernel.log`.
_SUSPICIOUS = re.compile(
    "|".join(
        (
            r"still has -?\d+ users?\b|still has \d+ user\(s\)",
            r"Busy inodes after unmount",
            r"^VFS: brelse",
            r"refcount_t: ",
            r"list_(?:add|del) corruption",
            r"^kobject(?:_add|:)? ",
            r"^sysfs: cannot",
            r"\bleaked\b",
            r"\bnot empty\b",
            r"[Oo]bjects remaining",
        )
    )
)
# Of the block layer, the VFS and the library, when a case's device is not fit for a mount or memory
# is short.
_COMMON = (
    # A device of zero sectors, a node without a driver, a device cut short.
    r"/dev/[\w-]+: Can't open blockdev",
    r"/dev/[\w-]+: Can't lookup blockdev",
    r"I/O error, dev loop\d+, sector \d+ op 0x\d:\((?:READ|WRITE)\) .*",
    r"Buffer I/O error on dev loop\d+, logical block \d+, (?:async page read|lost \w+ page write)",
    r"attempt to access beyond end of device",
    # Of lib/kobject.c, without memory.
    r"kobject: can not set name properly!",
    r"kobject: kobject_add_internal failed for .* \(error: -12 parent: .*\)",
    r"kobject: kobject_create_and_add: kobject_add error: -12",
)
# Around a report, and not a part of it.
_DECORATION = re.compile(
    r"^(?:=+|-+|)$|^FIX \S+: |^-+\[ cut here \]-+$|^Disabling lock debugging|^note: .* exited with"
)


@dataclass(frozen=True)
class Message:
    """One record of the kernel log."""

    # 0 (emergency) to 7 (debug).
    level: int
    text: str


def messages(text: str, levels: str) -> tuple[Message, ...]:
    """Messages from lines and the digit of each. Without digits, of no level that counts."""
    lines = text.splitlines()
    digits = levels or "7" * len(lines)
    return tuple(Message(int(d), line) for d, line in zip(digits, lines, strict=True))


def unexpected(
    found: Iterable[Message],
    crashes: Iterable[Crash],
    expected: Sequence[re.Pattern[str]],
    *,
    level: int = _ERR,
) -> tuple[Message, ...]:
    """The messages that are wrong: of `level` or worse or suspicious, no part of a report, and not
    expected as a whole."""
    reported = {line for crash in crashes for line in crash.text.splitlines()}
    return tuple(
        message
        for message in found
        if (message.level <= level or _SUSPICIOUS.search(message.text))
        and message.text not in reported
        and not _DECORATION.search(message.text)
        and not any(pattern.fullmatch(message.text) for pattern in expected)
    )


def message_failures(
    case: MountCase, outcome: Outcome, crashes: Sequence[Crash]
) -> tuple[Failure, ...]:
    """A failure for each message that is wrong, the same message once. Of a kernel that reported
    something fatal, nothing: what it prints then follows from that."""
    if any(crash.fatal for crash in crashes):
        return ()
    expected = (*_expected(case.filesystem), *_own(case))
    # Who cannot say what a mount of an image gives cannot say what it prints; and nobody knows that
    # of a volume of the user's.
    listed = load_filesystem(case.filesystem).log is not None
    free = case.filesystem in own_filesystems() or any(one.any_errno for one in case.every_step)
    level = _ERR if listed and not free else -1
    found = unexpected(messages(outcome.kmsg, outcome.kmsg_levels), crashes, expected, level=level)
    return tuple(
        Failure(KERNEL_LOG, plain_text(text), detail=text if text != plain_text(text) else "")
        for text in dict.fromkeys(message.text for message in found)
    )


def late_failures(case: MountCase, outcome: Outcome) -> tuple[Failure, ...]:
    """The same for what was printed, reports too, between the case and the next one."""
    crashes = find_crashes(outcome.kmsg_after)
    if not outcome.kmsg_after:
        return ()
    after = replace(outcome, kmsg=outcome.kmsg_after, kmsg_levels=outcome.kmsg_after_levels)
    found = (*log_failures(crashes), *message_failures(case, after, crashes))
    return tuple(
        replace(one, detail="; ".join(filter(None, (one.detail, "printed after the case"))))
        for one in found
    )


@functools.cache
def _expected(filesystem: str) -> tuple[re.Pattern[str], ...]:
    patterns = load_filesystem(filesystem).log or ()
    return tuple(re.compile(pattern) for pattern in (*_COMMON, *patterns))


def _own(case: MountCase) -> tuple[re.Pattern[str], ...]:
    """What a check of the case demands in the log."""
    texts = [getattr(check, "text", "") for check in case.checks]
    return tuple(re.compile(f".*{re.escape(text)}.*") for text in texts if text)


def plain_text(text: str) -> str:
    """A message without what changes from run to run: the loop device's number."""
    return re.sub(r"\bloop\d+\b", "loop", text)
