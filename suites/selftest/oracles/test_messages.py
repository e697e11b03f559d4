"""Messages of the kernel log: what is a failure, what is expected, what belongs to a report."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from errpath.cases.case import Device, MountCase, Outcome
from errpath.cases.crafted import LogContains
from errpath.cases.steps import Mount
from errpath.filesystems import Filesystem, known_filesystems, load_filesystem
from errpath.filesystems.mkfs import use_own_image
from errpath.images.crafted.catalogue import base_image
from errpath.kernel.log import find_crashes
from errpath.oracles.messages import Message, message_failures, messages, unexpected
from errpath.util.resources import FILESYSTEMS

_CASE = MountCase("case", "hfs", Device(), (Mount("hfs", expect="EINVAL"),))
_OUTCOME = Outcome("task", 1)


def _titles(text: str, levels: str, case: MountCase = _CASE) -> list[str]:
    outcome = replace(_OUTCOME, kmsg=text, kmsg_levels=levels)
    failures = message_failures(case, outcome, find_crashes(text))
    return [failure.title for failure in failures]


@pytest.mark.parametrize(
    ("level", "text", "wrong"),
    [
        (3, "hfs: something that no file lists", True),
        (0, "hfs: something that no file lists", True),
        (4, "hfs: something that no file lists", False),
        (6, "hfs: something that no file lists", False),
        # Expected by hfs.yaml.
        (3, "hfs: unable to read tree header", False),
        # As a whole, not as a part.
        (3, "hfs: unable to read tree header of a tree that was there before", True),
        # What is wrong at any level.
        (6, "hfs: node 4:1 still has 1 user(s)!", True),
        (7, "VFS: brelse: Trying to free free buffer", True),
        (6, "kobject: (00000000): tried to init an initialized object", True),
        # Without memory a name or a directory cannot be made; anything else of the kind is wrong.
        (3, "kobject: can not set name properly!", False),
        (3, "kobject: kobject_add_internal failed for x (error: -12 parent: fs)", False),
        (4, "kobject: kobject_create_and_add: kobject_add error: -12", False),
        (4, "kobject: kobject_create_and_add: kobject_add error: -17", True),
        (3, "kobject: kobject_add_internal failed for x with -EEXIST, don't try to", True),
        (6, "sysfs: cannot create duplicate filename '/fs/x'", True),
        (6, "3 buffers leaked", True),
        # Of the block layer, for a device that is not fit.
        (3, "/dev/loop7: Can't open blockdev", False),
        (
            3,
            "I/O error, dev loop0, sector 8 op 0x0:(READ) flags 0x0 phys_seg 1 prio class 2",
            False,
        ),
        # Around a report.
        (3, "FIX kmalloc-512: Object at 0x1 not freed", False),
    ],
)
def test_what_is_wrong(level: int, text: str, wrong: bool) -> None:
    assert bool(_titles(text, str(level))) is wrong


def test_the_same_message_is_one_failure_and_loop_devices_have_no_number() -> None:
    text = "x on loop3\nx on loop3\ny on loop3\n"
    assert _titles(text, "333") == ["x on loop", "y on loop"]


def test_a_report_is_no_message() -> None:
    warning = "WARNING: one\nCall Trace:\n f+0x1/0x2\n---[ end trace ]---\n"
    assert _titles(f"{warning}after\n", "33333") == ["after"]


def test_nothing_is_said_of_a_kernel_that_reported_something_fatal() -> None:
    assert (
        _titles("BUG: unable to handle page fault\nafter\n---[ end trace 0 ]---\nlater\n", "3333")
        == []
    )


def test_a_case_expects_what_its_check_demands() -> None:
    demanding = replace(_CASE, checks=(LogContains("no file lists"),))
    assert _titles("hfs: something that no file lists (7)\n", "3", demanding) == []
    assert _titles("hfs: another\n", "3", demanding) == ["hfs: another"]


def test_whoever_expects_any_errno_expects_any_error_but_nothing_left_over() -> None:
    open_case = replace(_CASE, steps=(Mount("hfs", any_errno=True),))
    assert _titles("hfs: something\n", "3", open_case) == []
    assert _titles("hfs: node 4:1 still has 1 user(s)!\n", "3", open_case) != []


def test_without_a_list_only_what_is_left_over_is_wrong(
    define: Callable[[str], Filesystem],
) -> None:
    text = (FILESYSTEMS / "hpfs.yaml").read_text()
    own = define(re.sub(r"(?m)^log:\n(?:  .*\n)+", "", text))
    assert own.log is None
    case = replace(_CASE, filesystem=own.name)
    assert _titles("hpfs: something\n", "3", case) == []
    assert _titles("hpfs: node 4:1 still has 1 user(s)!\n", "3", case) != []


def test_every_filesystem_has_a_list() -> None:
    for name in known_filesystems():
        assert load_filesystem(name).log, name


def test_messages_have_their_levels() -> None:
    assert messages("a\nb\n", "36") == (Message(3, "a"), Message(6, "b"))
    # An agent that gives no levels.
    assert unexpected(messages("a\n", ""), (), ()) == ()
    with pytest.raises(ValueError, match="longer"):
        messages("a\nb\n", "3")


@pytest.mark.parametrize("name", known_filesystems())
def test_no_filesystem_expects_what_is_wrong(name: str) -> None:
    """A pattern that matched one of these would hide it."""
    for text in ("node 4:1 still has 1 user(s)!", "VFS: Busy inodes after unmount of loop0"):
        for pattern in load_filesystem(name).log or ():
            assert not re.fullmatch(pattern, text)
            assert not re.fullmatch(pattern, f"{name}: {text}")


def test_of_a_volume_of_the_users_nobody_knows_what_it_makes_the_kernel_print(
    tmp_path: Path,
) -> None:
    said = ("hfs: something that no file lists\nhfs: node 4:1 still has 1 user(s)!", "33")
    volume = tmp_path / "volume"
    volume.write_bytes(base_image("hfs").to_bytes())
    assert len(_titles(*said)) == 2
    use_own_image(volume)
    try:
        assert _titles(*said) == ["hfs: node 4:1 still has 1 user(s)!"]
    finally:
        use_own_image(None)
