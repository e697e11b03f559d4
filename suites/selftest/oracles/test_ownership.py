"""function_graph's text → calls."""

from __future__ import annotations

from pathlib import Path

import pytest

from errpath.oracles.ownership import Call, OwnershipTrace, case_tracer, parse_graph
from suites.selftest import golden
from suites.selftest.runner.simguest import World, make_case


@golden.golden_cases("graph")
def test_graphs(path: Path, request: pytest.FixtureRequest) -> None:
    case = golden.load(path)
    story = parse_graph(case.input)
    golden.check(case, "".join(f"{call.depth} {call.function}\n" for call in story.calls), request)


def test_a_story_is_asked_what_ran_and_what_came_after() -> None:
    story = OwnershipTrace(tuple(Call(0, name) for name in ("a", "b", "a", "c", "d")))
    assert story.ran("b")
    assert not story.ran("e")
    assert [call.function for call in story.after("a")] == ["c", "d"]
    assert story.after("d") == ()
    assert story.after("e") == ()


def test_tracing_leaves_the_tracer_off(tmp_path: Path) -> None:
    world = World(tmp_path)
    guest = world.boot().guest
    with case_tracer(guest, ["hfs"]) as trace:
        story = trace(make_case("a"), "task")
    assert story.ran("kill_block_super")
    writes = [(path.rpartition("/")[2], text.strip()) for path, text in world.written]
    assert ("set_ftrace_filter", "*:mod:hfs") in writes
    assert ("set_ftrace_filter", "deactivate_locked_super") in writes
    last = dict(writes)
    assert last["tracing_on"] == "0"
    assert last["current_tracer"] == "nop"
    assert last["set_ftrace_filter"] == ""
    # Once to begin with, and once more whatever happened.
    assert writes.count(("current_tracer", "nop")) == 2
    guest.close()
