"""The life of an object from changes of memory: who held it, who gave it up, who lost it."""

from __future__ import annotations

import re
import struct
from pathlib import Path
from xml.etree import ElementTree

from errpath.guest.holders import Change, read_changes
from errpath.oracles.timeline import Timeline, make_reference_timeline, make_timeline
from errpath.results.reports.lifetime_svg import lifetime_svg
from errpath.results.reports.text import lifetime_lines
from suites.selftest.oracles.source_frames import SourceFrame

_AT, _SIZE = 0xFFFF888000001000, 64
_FC, _SB = 0xFFFF888000002008, 0xFFFF888000003010


# What stands where, by address: innermost first, inlined functions before those that hold them.
_CODE = {
    1: ("kmemleak_alloc mm/kmemleak.c:1", "slab_alloc include/linux/kmemleak.h:44"),
    2: ("__kmalloc_cache mm/slub.c:2",),
    3: ("x_init_fs_context fs/x/super.c:10",),
    4: ("alloc_fs_context fs/fs_context.c:11",),
    5: ("x_init_fs_context fs/x/super.c:12",),
    6: ("sget_fc fs/super.c:20",),
    7: ("sget_fc fs/super.c:21",),
    8: ("memset arch/x86/lib/memset_64.S:1", "init_object mm/slub.c:3"),
    9: ("kfree mm/slub.c:4",),
    10: ("destroy_super_work fs/super.c:30",),
    11: ("other fs/y/y.c:1",),
    12: ("x_kill_sb fs/x/super.c:40",),
    13: ("__list_add include/linux/list.h:1", "x_link fs/x/super.c:50"),
}
_TEXT = {
    "fs/x/super.c:12": "fc->s_fs_info = info;",
    "fs/super.c:20": "s->s_fs_info = fc->s_fs_info;",
    "fs/super.c:21": "fc->s_fs_info = NULL;",
    "fs/x/super.c:50": "list_add(&info->list, &head);",
}
_BIRTH = Change(True, 1, 0xFFFF888000009000, _AT, 1, (2, 3, 4))
_ALLOCATOR = ("__kmalloc_cache", "x_init_fs_context", "alloc_fs_context")


def _resolve(address: int) -> tuple[SourceFrame, ...]:
    frames = []
    for text in _CODE[address]:
        function, place = text.split()
        file, line = place.split(":")
        frames.append(SourceFrame(function, file, int(line)))
    return tuple(frames)


def _timeline(*changes: Change) -> Timeline | None:
    def source(file: str, line: int) -> str:
        return _TEXT.get(f"{file}:{line}", "")

    return make_timeline(changes, _AT, _SIZE, _ALLOCATOR, _resolve, source)


_STORY = (
    # Another object at the same place, before.
    Change(True, 1, 0xFFFF888000009000, _AT, 1, (2, 11)),
    Change(True, 11, 0xFFFF888000004000, _AT, 1, ()),
    _BIRTH,
    Change(True, 5, _FC, _AT, 1, (4,)),
    Change(True, 6, _SB, _AT, 1, ()),
    Change(False, 7, _FC, 0, 1, ()),
    Change(False, 8, _SB, 0x6B6B6B6B6B6B6B6B, 7, (9, 10)),
)


def test_the_last_reference_goes_with_what_held_it() -> None:
    timeline = _timeline(*_STORY)
    assert timeline is not None
    assert (timeline.allocated.function, timeline.allocated.line) == ("x_init_fs_context", 10)
    assert [one.name for one in timeline.holders] == ["fc->s_fs_info", "s->s_fs_info"]
    first, second = timeline.holders
    assert (str(first.gone), first.freed) == ("sget_fc (fs/super.c:21)", False)
    assert (second.freed, second.elsewhere) == (True, True)
    assert timeline.lost.function == "destroy_super_work"
    assert lifetime_lines(timeline) == [
        "  allocated  x_init_fs_context (fs/x/super.c:10), 64 bytes",
        "  held by    fc->s_fs_info, in x_init_fs_context (fs/x/super.c:12): fc->s_fs_info = info;",
        "  held by    s->s_fs_info, in sget_fc (fs/super.c:20): s->s_fs_info = fc->s_fs_info;",
        "  given up   fc->s_fs_info, in sget_fc (fs/super.c:21): fc->s_fs_info = NULL;",
        "  freed      what held s->s_fs_info, in destroy_super_work (fs/super.c:30), later",
        "  lost       the last reference disappeared in destroy_super_work (fs/super.c:30)",
    ]


def test_a_function_that_ends_in_a_jump_is_reported() -> None:
    freed = Change(False, 8, _SB, 0, 1, (9, 4), (0, 12))
    timeline = _timeline(_BIRTH, Change(True, 6, _SB, _AT, 1, ()), freed)
    assert timeline is not None
    assert timeline.lost.function == "x_kill_sb"
    # A jump inside of one function is none of these.
    inside = Change(False, 8, _SB, 0, 1, (9, 4), (9, 0))
    timeline = _timeline(_BIRTH, Change(True, 6, _SB, _AT, 1, ()), inside)
    assert timeline is not None
    assert timeline.lost.function == "alloc_fs_context"


def test_what_only_a_stack_held_is_lost_where_it_was_allocated() -> None:
    timeline = _timeline(_BIRTH)
    assert timeline is not None
    assert timeline.lost.function == "x_init_fs_context"
    assert "  held by    nothing but the stack" in lifetime_lines(timeline)


def test_what_still_points_there_is_reported() -> None:
    timeline = _timeline(_BIRTH, Change(True, 13, _SB, _AT + 16, 1, ()))
    assert timeline is not None
    (holder,) = timeline.holders
    assert (holder.name, holder.gone) == ("&info->list (in list_add)", None)
    assert lifetime_lines(timeline)[-1].startswith("  remains    &info->list")


def test_the_objects_own_words_and_its_free_list_are_no_holders() -> None:
    own = Change(True, 5, _AT + 8, _AT + 8, 1, ())
    freed = Change(True, 9, 0xFFFFEA0000000020, _AT, 1, (9, 12))
    timeline = _timeline(_BIRTH, own, freed)
    assert timeline is not None
    assert timeline.holders == ()
    assert [place.function for place in timeline.frees] == ["x_kill_sb"]


def test_who_held_what_a_module_gave_out() -> None:
    held = Change(True, 5, _FC, _AT + 8, 1, (4,))
    freed = Change(False, 8, _FC, 0x6B6B6B6B6B6B6B6B, 1, (9, 12))
    told = ("module nls_x", _resolve, lambda file, line: _TEXT.get(f"{file}:{line}", ""))
    timeline = make_reference_timeline((held, freed), _AT, _SIZE, *told)
    assert timeline is not None
    assert timeline.lost.function == "x_kill_sb"
    assert lifetime_lines(timeline)[0] == "  watched    module nls_x, 64 bytes"
    assert make_reference_timeline((), _AT, _SIZE, *told) is None


def test_a_word_on_the_tasks_own_stack_is_no_holder() -> None:
    stack = Change(True, 1, 0xFFFF888000009000, _AT, 0xFFFF888000008000 >> 14, (2, 3, 4))
    word = Change(True, 11, 0xFFFF888000008008, _AT, 7, ())
    timeline = _timeline(stack, word)
    assert timeline is not None
    assert timeline.holders == ()


def test_another_objects_allocation_is_not_taken_for_it() -> None:
    assert _timeline(*_STORY[:2]) is None
    assert _timeline() is None


def test_a_record_that_was_cut_off_is_left_out(tmp_path: Path) -> None:
    words = [0] * 64
    words[0], words[32] = 4, 12
    record = struct.pack("<II4Q64Q", 1, 1, 5, _FC, _AT, 1, *words)
    file = tmp_path / "changes"
    file.write_bytes(record + record[:100])
    assert read_changes(file) == (Change(True, 5, _FC, _AT, 1, (4,), (12,)),)


def test_the_picture_says_what_the_text_says() -> None:
    timeline = _timeline(*_STORY)
    assert timeline is not None
    picture = lifetime_svg(timeline)
    root = ElementTree.fromstring(picture)
    space = "{http://www.w3.org/2000/svg}"
    text = " ".join("".join(one.itertext()) for one in root.iter(f"{space}text"))
    for words in ("x_init_fs_context", "fc->s_fs_info = NULL;", "the last reference disappeared"):
        assert words in text
    assert len(list(root.iter(f"{space}rect"))) == 2
    # The hand-over in sget_fc.
    assert sum(one.get("class") == "move" for one in root.iter(f"{space}path")) == 1
    assert re.search(r'viewBox="0 0 420 ', picture)
