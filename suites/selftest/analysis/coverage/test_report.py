"""Exits, what reached them, and the arguments for the rest → text."""

from __future__ import annotations

from errpath.analysis.coverage.csource import Exit
from errpath.analysis.coverage.report import judge_exits, render
from errpath.images.crafted.catalogue import Unreachable

_EXITS = (
    Exit("fs/x/super.c", 30, "fill", "goto out;", "if (error)"),
    Exit("fs/x/super.c", 10, "fill", "return -ENOMEM;", "if (!sbi)"),
    Exit("fs/x/tree.c", 5, "grow", "return -ENOSPC;", "if (full)"),
    Exit("fs/x/tree.c", 9, "other", "return -EIO;", "if (bad)"),
)
_ARGUED = (
    Unreachable("X1", "fill", "memory", "needs failslab", ("fill: if (!sbi)",)),
    Unreachable("X2", "write", "room", "a mount writes nothing", ("write:",)),
)


def test_reached_argued_and_left_are_told_apart() -> None:
    judged = judge_exits(
        _EXITS,
        {("fs/x/super.c", 30): ["one", "two"]},
        _ARGUED,
        below=lambda names: {"grow", *names} if "write" in names else set(),
    )
    assert [(item.exit.line, bool(item.cases), item.reason) for item in judged] == [
        (10, False, "needs failslab"),
        (30, True, ""),
        (5, False, "a mount writes nothing"),
        (9, False, ""),
    ]
    text = render("x", judged, cases=7, lost=["three"])
    assert text.splitlines()[:2] == [
        "x: 1 of 4 error exits of the mount path reached by 7 mounts; "
        "2 out of reach and argued, 1 left",
        "  no coverage of three: its guest died with it",
    ]
    assert "one and 1 more" in text
    assert "  ?     9 if (bad) return -EIO;" in text


def test_an_argument_for_one_statement_is_none_for_another() -> None:
    judged = judge_exits(_EXITS[:1], {}, _ARGUED[:1])
    assert judged[0].reason == ""
