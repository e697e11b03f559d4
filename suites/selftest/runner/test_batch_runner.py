"""Batches over the simulated guest: every case gets one verdict, and it is the right one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from errpath.cases.case import MountCase
from errpath.errors import BootError, GuestLostError, InfrastructureError
from errpath.oracles.failure import OOPS
from errpath.runner.batch_runner import BatchRunner
from errpath.runner.result import Result
from errpath.runner.verdict import Status, Verdict
from errpath.util.progress import silent
from suites.selftest.runner.simguest import SimChannel, World, boot_error, make_case

_PASS, _FAIL, _ERROR = Status.PASS, Status.FAIL, Status.ERROR


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    # Whatever happened, no guest is left.
    assert made.open == 0


def _run(
    world: World, cases: Sequence[MountCase], *, repeats: int = 2, count: bool = False
) -> tuple[dict[str, Result], BatchRunner]:
    runner = BatchRunner(world.boot, repeats=repeats, progress=silent(), count=count)
    try:
        results = runner.run(cases)
    finally:
        runner.close()
    assert sorted(results) == sorted(case.id for case in cases)
    assert all(results[case.id].verdict.case == case for case in cases)
    return results, runner


def _statuses(results: dict[str, Result]) -> dict[str, Status]:
    return {name: result.verdict.status for name, result in results.items()}


def _cases(**does: str) -> list[MountCase]:
    return [make_case(name, words) for name, words in does.items()]


def test_a_batch_that_passes_needs_one_guest(world: World) -> None:
    results, runner = _run(world, _cases(a="", b="", c=""))
    assert _statuses(results) == dict.fromkeys("abc", _PASS)
    assert world.boots == 1
    assert runner.stray == []


def test_a_leak_is_confirmed_and_told_with_its_story(world: World) -> None:
    results, _ = _run(world, _cases(a="", b="leak=512", c=""), repeats=3)
    assert _statuses(results) == {"a": _PASS, "b": _FAIL, "c": _PASS}
    verdict = results["b"].verdict
    assert verdict.reasons == (
        "memory leak in hfs_init_fs_context (1 unreferenced object, 512 bytes, confirmed 3 of 3)",
    )
    assert verdict.leak is not None
    assert [record.comm for record in verdict.leak.records] == ["errpath-000002"]
    # Once for the suspicion, three times for the confirmation, once for the story.
    assert world.runs("leak=512") == 5
    story = results["b"].story
    assert story is not None
    assert story.ran("kill_block_super")
    assert results["a"].story is None


def test_every_leak_goes_to_its_own_case(world: World) -> None:
    results, _ = _run(world, _cases(a="leak=512", b="leak=96", c="leak=512"))
    sizes = {
        name: [record.size for record in result.verdict.leak.records]
        for name, result in results.items()
        if result.verdict.leak is not None
    }
    assert sizes == {"a": [512], "b": [96], "c": [512]}


def test_a_leak_that_does_not_come_again_is_no_verdict(world: World) -> None:
    results, _ = _run(world, _cases(a="", b="leak=512,once"))
    assert _statuses(results) == {"a": _PASS, "b": _ERROR}
    assert results["b"].verdict.reasons == ("a suspected leak was confirmed in 0 of 2 repeats",)


def test_a_confirmed_leak_is_announced_before_its_batch_is_judged(world: World) -> None:
    announced: list[tuple[str, str]] = []
    published: list[str] = []

    def announce(verdict: Verdict) -> None:
        assert not published
        announced.append((verdict.case.id, verdict.reasons[0]))
        # It is not traced yet.
        assert not [text for _, text in world.written if "function_graph" in text]

    runner = BatchRunner(world.boot, progress=silent(), announce=announce)
    try:
        runner.run(_cases(a="leak=512", b=""), published.extend)
    finally:
        runner.close()
    assert [name for name, _ in announced] == ["a"]
    assert "confirmed 2 of 2" in announced[0][1]
    assert published == ["a", "b"]
    assert [text for _, text in world.written if "function_graph" in text]


def test_a_leak_that_does_not_come_again_is_not_announced(world: World) -> None:
    announced: list[Verdict] = []
    runner = BatchRunner(world.boot, progress=silent(), announce=announced.append)
    try:
        runner.run(_cases(a="leak=512,once", b=""))
    finally:
        runner.close()
    assert announced == []


def test_leaks_of_different_kinds_are_traced_with_one_tracer(world: World) -> None:
    _run(world, _cases(a="leak=512", b="leak=96"))
    assert len([text for _, text in world.written if "function_graph" in text]) == 1


def test_another_leak_in_the_second_look_confirms_nothing(world: World) -> None:
    """What comes again must be the same leak: here its size changes with the boot."""

    results, _ = _run(world, _cases(a="leak=512/32"))
    assert _statuses(results) == {"a": _ERROR}


def test_a_panic_costs_one_case(world: World) -> None:
    results, _ = _run(world, _cases(a="", b="panic", c="", d="leak=64"))
    assert _statuses(results) == {"a": _PASS, "b": _FAIL, "c": _PASS, "d": _FAIL}
    verdict = results["b"].verdict
    (failure,) = verdict.failures
    assert (failure.kind, failure.title) == (OOPS, "kernel panic: Fatal exception")
    assert failure.detail == "Kernel panic - not syncing: Fatal exception"
    # The case that did it is not run again.
    assert world.runs("panic") == 1


def test_an_oops_costs_one_case(world: World) -> None:
    results, _ = _run(world, _cases(a="", b="oops", c=""))
    assert _statuses(results) == {"a": _PASS, "b": _FAIL, "c": _PASS}
    title = results["b"].verdict.failures[0].title
    assert title.startswith("BUG: unable to handle kernel NULL pointer dereference")
    assert world.runs("oops") == 1
    # Nothing is concluded from a guest after an oops.
    assert {number for words, number in world.ran if words == ""} != {1}


def test_a_warning_fails_its_case_and_spares_the_guest(world: World) -> None:
    results, _ = _run(world, _cases(a="", b="warn", c=""))
    assert _statuses(results) == {"a": _PASS, "b": _FAIL, "c": _PASS}
    assert world.boots == 1


def test_behind_a_report_that_comes_once_the_others_run_in_a_new_guest(world: World) -> None:
    cases = _cases(a="id=a", b="inversion,id=b", c="id=c", d="inversion,id=d", e="id=e")
    results, _ = _run(world, cases)
    assert _statuses(results) == {"a": _PASS, "b": _FAIL, "c": _PASS, "d": _FAIL, "e": _PASS}
    assert [number for _, number in world.ran] == [1, 1, 2, 2, 3]


def test_a_report_that_comes_late_and_once_is_the_case_before(world: World) -> None:
    """What ran when it came was not heard: it runs again."""
    world.on_case = lambda channel, request, _: (
        {"kmsg_before": "UBSAN: shift-out-of-bounds in fs/hfs/super.c:1:2"}
        if request["steps"][0].get("data") == "id=b" and channel.number == 1
        else {}
    )
    results, _ = _run(world, _cases(a="id=a", b="id=b", c="id=c"))
    assert _statuses(results) == {"a": _FAIL, "b": _PASS, "c": _PASS}
    assert world.runs("id=a") == 1
    assert world.runs("id=b") == 2


def test_a_hang_costs_one_case(world: World) -> None:
    results, _ = _run(world, _cases(a="", b="hang", c=""))
    assert _statuses(results) == {"a": _PASS, "b": _FAIL, "c": _PASS}
    assert results["b"].verdict.reasons == (
        "INFO: task hung in super_lock (the task did not end within 20 s)",
    )
    assert world.runs("hang") == 1


def test_a_guest_that_is_always_gone_without_a_word_blames_nobody(world: World) -> None:
    results, _ = _run(world, _cases(a="", b="vanish", c=""))
    assert _statuses(results) == {"a": _PASS, "b": _ERROR, "c": _PASS}
    assert "channel closed by the guest (4 times)" in results["b"].verdict.reasons[0]
    assert world.runs("vanish") == 4


def test_a_guest_that_is_lost_costs_no_verdict(world: World) -> None:
    results, _ = _run(world, _cases(a="leak=512", b="vanish,once", c="errno=EINVAL", d=""))
    assert _statuses(results) == {"a": _FAIL, "b": _PASS, "c": _FAIL, "d": _PASS}


@pytest.mark.parametrize("number", range(1, 6))
@pytest.mark.parametrize("verb", ["case.run", "file.read", "file.write", "quiesce"])
def test_a_guest_may_be_lost_at_any_moment(world: World, number: int, verb: str) -> None:
    """In a batch, its check, a confirmation of leaks and one of failures."""
    world.lost = {(number, verb)}
    does = {"a": "leak=512", "b": "", "c": "errno=EINVAL", "d": "worker=64"}
    results, _ = _run(world, _cases(**does))
    assert _statuses(results) == {"a": _FAIL, "b": _PASS, "c": _FAIL, "d": _FAIL}
    assert not world.lost, "no guest was lost"


def test_a_guest_that_is_never_to_be_had_is_an_error(world: World) -> None:
    world.failing_boots = {number: GuestLostError("guest is lost: x") for number in range(1, 99)}
    results, runner = _run(world, _cases(a="", b=""))
    assert _statuses(results) == dict.fromkeys("ab", _ERROR)
    # It says nothing of the kernel, so the run goes on.
    assert runner.no_guest is None


def test_a_boot_that_loses_its_guest_is_made_again(world: World) -> None:
    world.failing_boots = {number: GuestLostError("guest is lost: x") for number in (1, 2, 4)}
    results, _ = _run(world, _cases(a="leak=512", b=""))
    assert _statuses(results) == {"a": _FAIL, "b": _PASS}


def test_a_kernel_that_does_not_boot_is_tried_once(world: World) -> None:
    world.failing_boots = {number: boot_error() for number in range(1, 99)}
    runner = BatchRunner(world.boot, progress=silent(), batch=2)
    results = runner.run(_cases(a="", b="", c=""))
    assert _statuses(results) == dict.fromkeys("abc", _ERROR)
    assert isinstance(runner.no_guest, BootError)
    assert world.boots == 1


def test_what_the_agent_cannot_set_up_is_an_error(world: World) -> None:
    results, _ = _run(world, _cases(a="", b="refuse", c=""))
    assert _statuses(results) == {"a": _PASS, "b": _ERROR, "c": _PASS}
    (reason,) = results["b"].verdict.reasons
    assert reason == "agent case.run: loop device: No space left on device"
    assert world.boots == 1


def test_a_fault_that_did_not_fire_is_an_error(world: World) -> None:
    results, _ = _run(world, _cases(a="unfired"))
    assert _statuses(results) == {"a": _ERROR}
    assert results["a"].verdict.reasons == ("never reached: the fault in f did not fire",)


def test_an_unknown_function_is_an_error_without_a_run(world: World) -> None:
    world.unknown["g"] = "function g: inlined away"
    cases = [make_case("a"), make_case("b", "x=1", fault="g")]
    results, _ = _run(world, cases)
    assert _statuses(results) == {"a": _PASS, "b": _ERROR}
    assert results["b"].verdict.reasons == ("function g: inlined away",)
    assert world.runs("x=1") == 0


def test_a_function_that_the_kernel_does_not_have_leaves_its_cases_out(world: World) -> None:
    world.absent["g"] = "function g: not in debian:6.1"
    cases = [make_case("a"), make_case("b", "x=1", fault="g"), make_case("c")]
    results, _ = _run(world, cases)
    assert _statuses(results) == {"a": _PASS, "b": Status.SKIP, "c": _PASS}
    assert results["b"].verdict.reasons == ("function g: not in debian:6.1",)
    assert world.runs("x=1") == 0


def test_a_filesystem_that_does_not_load_costs_its_own_cases(world: World) -> None:
    world.broken["ufs"] = "filesystem ufs: ufs does not load: No such file or directory"
    cases = [make_case("a"), replace(make_case("b", "x=1"), filesystem="ufs"), make_case("c")]
    results, _ = _run(world, cases)
    assert _statuses(results) == {"a": _PASS, "b": _ERROR, "c": _PASS}
    assert results["b"].verdict.reasons == (world.broken["ufs"],)
    assert world.runs("x=1") == 0


def test_only_unknown_functions(world: World) -> None:
    world.unknown["g"] = "function g: inlined away"
    results, _ = _run(world, [make_case("a", fault="g"), make_case("b", fault="g")])
    assert _statuses(results) == {"a": _ERROR, "b": _ERROR}


def test_no_cases_no_results(world: World) -> None:
    assert _run(world, [])[0] == {}


def test_a_boot_that_shows_no_canary_gives_no_verdict(world: World) -> None:
    """As on a boot without slab_debug=U: blind, and it says so."""
    world.sheaves = True
    results, _ = _run(world, _cases(a="", b="leak=512"))
    assert _statuses(results) == {"a": _ERROR, "b": _ERROR}
    for result in results.values():
        (reason,) = result.verdict.reasons
        assert reason.startswith(
            "canary: 3 of 3 planted leaks were not found (sizes 64, 512, 2048)"
        )
    assert world.ran == []


def test_a_canary_lost_in_the_middle_gives_no_pass(world: World) -> None:
    """kmemleak goes blind while a case runs: that nothing is found at the end proves nothing."""
    results, _ = _run(world, _cases(a="", b="blind", c="leak=512"))
    # Alone, a and c are seen.
    assert _statuses(results) == {"a": _PASS, "b": _ERROR, "c": _FAIL}
    assert "canary: 3 of 3" in results["b"].verdict.reasons[0]


def test_a_leak_beside_a_hidden_canary_is_a_failure(world: World) -> None:
    """The canary gates silence, never evidence."""
    results, _ = _run(world, _cases(a="leak=512,crowd"))
    assert _statuses(results) == {"a": _FAIL}
    assert "confirmed 2 of 2" in results["a"].verdict.reasons[0]


def test_a_batch_is_halved_until_its_canary_is_seen(world: World) -> None:
    does = {f"c{number}": "" for number in range(16)} | {"c7": "leak=512,crowd"}
    results, _ = _run(world, _cases(**does))
    assert _statuses(results) == dict.fromkeys(does, _PASS) | {"c7": _FAIL}
    # One for the batch, one to confirm the leak, one for each half without it.
    assert world.boots == 4


def test_where_nothing_is_found_a_hidden_canary_is_an_error(world: World) -> None:
    """Nothing is found in the halves either: more guests would not find more."""
    does = {f"c{number}": "blind" for number in range(64)}
    results, _ = _run(world, _cases(**does))
    assert _statuses(results) == dict.fromkeys(does, _ERROR)
    assert world.boots == 3


def test_many_equal_leaks_are_confirmed_for_a_few(world: World) -> None:
    does = {f"c{number}": "leak=512" for number in range(40)} | {"d": "leak=64"}
    results, _ = _run(world, _cases(**does))
    assert _statuses(results) == dict.fromkeys(does, _FAIL)
    assert "confirmed 2 of 2" in results["c0"].verdict.reasons[0]
    # Forty in the batch, eight of them twice for confirmation, and one trace.
    assert world.runs("leak=512") == 57


def test_many_leaks_that_do_not_come_again_are_confirmed_each(world: World) -> None:
    does = {f"c{number}": "leak=512,once" for number in range(10)}
    results, _ = _run(world, _cases(**does))
    assert _statuses(results) == dict.fromkeys(does, _ERROR)


def test_a_disabled_kmemleak_gives_no_verdict(world: World) -> None:
    def disable(channel: SimChannel, number: int) -> None:
        channel.model.disabled = True

    world.on_boot = disable
    results, _ = _run(world, _cases(a=""))
    assert _statuses(results) == {"a": _ERROR}
    assert "it has disabled itself" in results["a"].verdict.reasons[0]


def test_a_failing_boot_is_an_error_of_every_case(world: World) -> None:
    world.failing_boots = {1: boot_error()}
    results, _ = _run(world, _cases(a="", b=""))
    assert _statuses(results) == {"a": _ERROR, "b": _ERROR}
    assert all("did not reach the agent" in r.verdict.reasons[0] for r in results.values())


def test_no_second_look_no_leak(world: World) -> None:
    """The guest for the confirmation does not boot: the suspects are errors, the others pass."""
    world.failing_boots = {2: boot_error()}
    results, _ = _run(world, _cases(a="", b="leak=512"))
    assert _statuses(results) == {"a": _PASS, "b": _ERROR}
    verdict = results["b"].verdict
    assert verdict.reasons[0].startswith("a suspected leak could not be confirmed: kernel bzImage")
    assert verdict.leak is not None


def test_a_second_look_that_crashes_is_an_error_of_the_suspect(world: World) -> None:
    results, _ = _run(world, _cases(a="", b="leak=512,vanish,later"))
    assert _statuses(results) == {"a": _PASS, "b": _ERROR}


def test_a_wrong_errno_is_believed_when_it_comes_again(world: World) -> None:
    results, runner = _run(world, _cases(a="", b="errno=EINVAL", c="errno=EINVAL,chance"))
    assert _statuses(results) == {"a": _PASS, "b": _FAIL, "c": _PASS}
    assert results["b"].verdict.reasons == ("mount: mount: -EINVAL; expected -EIO",)
    assert runner.notes == [
        "c failed once, among others (mount: mount: -EINVAL; expected -EIO), and passed 2 of 2 in "
        "a fresh guest"
    ]
    assert world.runs("errno=EINVAL") == 3
    assert world.boots == 2


def test_a_wrong_errno_that_cannot_be_repeated_is_an_error(world: World) -> None:
    world.failing_boots = {2: boot_error()}
    results, _ = _run(world, _cases(a="", b="errno=EINVAL"))
    assert _statuses(results) == {"a": _PASS, "b": _ERROR}
    assert "could not be repeated: kernel bzImage" in results["b"].verdict.reasons[0]


def test_a_repeat_that_says_nothing_clears_no_failure(world: World) -> None:
    results, runner = _run(world, _cases(a="", b="errno=EINVAL,chance,unfired,later"))
    assert _statuses(results) == {"a": _PASS, "b": _ERROR}
    assert "could not be repeated: never reached" in results["b"].verdict.reasons[0]
    assert runner.notes == []


def test_a_repeat_that_hangs_confirms_nothing(world: World) -> None:
    results, _ = _run(world, _cases(a="", b="leak=512,hang,later"))
    assert _statuses(results) == {"a": _PASS, "b": _ERROR}
    (reason,) = results["b"].verdict.reasons
    assert reason.startswith(
        "a suspected leak could not be confirmed: guest is unusable after b, run"
    )
    assert "INFO: task hung" in reason
    # The second of the two repeats was not tried in such a guest, nor were leaks looked for.
    assert world.runs("leak=512,hang,later") == 2


@pytest.mark.parametrize("suspicion", ["leak=512", "errno=EINVAL"])
def test_a_repeat_that_crashes_is_a_finding(world: World, suspicion: str) -> None:
    """It costs the other suspects nothing, whatever it was repeated for."""
    does = f"{suspicion},oops,later"
    results, _ = _run(world, _cases(a="", b=does, c=suspicion))
    assert _statuses(results) == {"a": _PASS, "b": _FAIL, "c": _FAIL}
    verdict = results["b"].verdict
    assert [failure.kind for failure in verdict.failures] == [OOPS]
    assert (verdict.leak is None) == (suspicion != "leak=512")
    assert world.runs(does) == 2


def test_a_search_stops_at_a_case_that_takes_its_guest_down(world: World) -> None:
    results, _ = _run(world, _cases(a="", b="worker=64", c="hang,later"))
    assert _statuses(results) == dict.fromkeys("abc", _ERROR)
    assert "could not be traced" in results["a"].verdict.reasons[0]


@pytest.mark.parametrize("culprit", ["a", "c", "e", "g"])
def test_a_workers_leak_is_traced_to_its_case(world: World, culprit: str) -> None:
    does = dict.fromkeys("abcdefg", "")
    does[culprit] = "worker=64"
    results, runner = _run(world, _cases(**does))
    expected = dict.fromkeys("abcdefg", _PASS) | {culprit: _FAIL}
    assert _statuses(results) == expected
    leak = results[culprit].verdict.leak
    assert leak is not None
    assert [record.comm for record in leak.records] == ["kworker/0:1"]
    assert runner.stray == []


def test_the_cases_that_ran_when_a_worker_allocated_are_tried_first(world: World) -> None:
    world.clock = True
    does = dict.fromkeys("abcdefg", "")
    does["c"] = does["f"] = "worker=64"
    results, _ = _run(world, _cases(**does))
    assert _statuses(results) == dict.fromkeys("abcdefg", _PASS) | {"c": _FAIL, "f": _FAIL}
    # In the batch and alone; no other case ran again.
    assert world.runs("worker=64") == 4
    assert world.runs("") == 5


def test_a_search_that_finds_nothing_alone_goes_on_among_all(world: World) -> None:
    world.clock = True
    results, runner = _run(world, _cases(a="", b="worker=64,once", c=""))
    assert _statuses(results) == dict.fromkeys("abc", _PASS)
    assert [record.size for record in runner.stray] == [64]
    assert world.runs("") == 4


@pytest.mark.parametrize("keeps", [True, False])
def test_what_is_kept_and_hides_the_canary_costs_no_other_case_its_verdict(
    world: World, keeps: bool
) -> None:
    """A lost inode that is referenced is no leak; it may point to memory that is used again."""
    does = {f"c{number:02}": "" for number in range(40)}
    does |= dict.fromkeys(("c07", "c33"), "blind,objects=1" if keeps else "blind")
    results, _ = _run(world, _cases(**does), count=True)
    blind = {name for name, status in _statuses(results).items() if status is _ERROR}
    # Nothing else says why large parts are blind: then it is not for what cases do.
    assert (blind == {"c07", "c33"}) if keeps else (len(blind) > 2)


def test_a_stray_leak_is_told_and_blames_no_case(world: World) -> None:
    results, runner = _run(world, _cases(a="", b="worker=64,once"))
    assert _statuses(results) == {"a": _PASS, "b": _PASS}
    assert [record.size for record in runner.stray] == [64]


@pytest.mark.parametrize("failing", [2, 3])
def test_a_search_that_breaks_off_keeps_every_verdict(world: World, failing: int) -> None:
    """The search for a worker's leak boots guests; one that does not boot costs no result."""
    world.failing_boots = {failing: boot_error()}
    results, runner = _run(world, _cases(a="", b="worker=64", c=""))
    # Any of them may have lost it: none is a pass.
    assert _statuses(results) == dict.fromkeys("abc", _ERROR)
    assert "could not be traced to its case: kernel bzImage" in results["a"].verdict.reasons[0]
    assert [record.size for record in runner.stray] == [64]


def test_an_infrastructure_error_of_another_kind_ends_the_guest(world: World) -> None:
    def broken(_: object) -> tuple[()]:
        raise InfrastructureError("kmemleak: cannot read 'x'")

    runner = BatchRunner(lambda: replace(world.boot(), check=broken), progress=silent())
    results = runner.run(_cases(a=""))
    assert _statuses(results) == {"a": _ERROR}
    runner.close()


def test_an_interrupt_leaves_no_guest(world: World) -> None:
    with pytest.raises(KeyboardInterrupt):
        _run(world, _cases(a="interrupt"))


_DOES = st.sampled_from(
    [
        "",
        "",
        "leak=512",
        "leak=64,once",
        "panic",
        "vanish",
        "vanish,once",
        "hang",
        "warn",
        "refuse",
        "unfired",
    ]
)
_STATUS = {
    "": _PASS,
    "vanish,once": _PASS,
    "leak=64,once": _ERROR,
    "vanish": _ERROR,
    "refuse": _ERROR,
    "unfired": _ERROR,
}


@settings(max_examples=15)
@given(does=st.lists(_DOES, max_size=6))
def test_every_case_gets_its_own_verdict(
    tmp_path_factory: pytest.TempPathFactory, does: list[str]
) -> None:
    """Whatever its neighbours do to the guest; a leak that came once may have lost its witness."""
    world = World(tmp_path_factory.mktemp("world"))
    cases = [make_case(f"case-{number}", words) for number, words in enumerate(does)]
    results, _ = _run(world, cases)
    for case, words in zip(cases, does, strict=True):
        got = results[case.id].verdict.status
        assert got == _STATUS.get(words, _FAIL) or (words == "leak=64,once" and got is _PASS)
    assert world.open == 0
