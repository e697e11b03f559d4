"""pytest: batching, and what the fixtures do. Thin: decisions are made below.

Loaded by `errpath.plugin.entry`, which has the options and the fixtures.

A test takes a `case` (parametrized with `MountCase`) and a `verdict`. The cases that a worker was
given run in batches; a test waits for its batch when it is the first of it. An infrastructure
failure is an error of the test's set-up, so that pytest reports ERROR and never FAILED for it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler import LoadGroupScheduling, LoadScheduling  # type: ignore[import-untyped]

from errpath.cases.case import MountCase
from errpath.errors import BootError, ErrpathError
from errpath.filesystems.mkfs import use_own_image
from errpath.plugin.known_issues import KnownIssueBook
from errpath.plugin.markers import mark_case, register_markers
from errpath.plugin.profiles import register
from errpath.plugin.user_guest import UserGuest
from errpath.results.session import RunSession, run_directory
from errpath.results.testbeds import make_testbed
from errpath.runner.options import (
    Choice,
    RunOptions,
    choices,
    settled,
)
from errpath.runner.scheduler import Batch, schedule
from errpath.runner.sweep_units import SweepUnit
from errpath.runner.testbed import Testbed
from errpath.runner.verdict import Status, Verdict
from errpath.util.background import processors
from errpath.util.progress import Progress
from errpath.util.resources import SUITES

__all__ = [
    "begin_batches",
    "case_of",
    "expect_pass",
    "guest",
    "issues_of",
    "kernel_choice",
    "kernel_of",
    "parametrize_kernels",
    "session_of",
    "testbed",
    "unit_of",
    "verdict",
]

_run_key = pytest.StashKey[RunSession]()
_stray_key = pytest.StashKey[list[str]]()
_problem_key = pytest.StashKey[str]()
_options_key = pytest.StashKey[RunOptions]()
_issues_key = pytest.StashKey[KnownIssueBook]()
_batches_key = pytest.StashKey[dict[tuple[str, str], Batch]]()


def pytest_configure(config: pytest.Config) -> None:
    register()
    register_markers(config)
    # A batch must reach one worker whole.
    if config.getoption("numprocesses", None) and config.getoption("dist") in ("load", "no"):
        config.option.dist = "loadgroup"
    try:
        if hasattr(config, "workerinput"):
            words = config.workerinput.get("errpath_options", [])
            options = RunOptions.parse(words)
        else:
            with _standard_input(config):
                options = settled(RunOptions.from_namespace(config.option))
        chosen = {choice.name: choice for choice in choices(options)}
        use_own_image(options.image.image)
    except ErrpathError as error:
        raise pytest.UsageError(str(error)) from None
    config.stash[_options_key] = options
    worker = _worker(config)
    config.stash[_run_key] = RunSession(
        chosen,
        run_directory(config.option.artefacts.absolute(), worker=worker),
        _progress(config, worker),
        repeats=options.oracles.repeats,
        make=config.hook.pytest_errpath_testbed_factory(config=config) or make_testbed,
        jobs=_jobs(config),
    )
    config.stash[_issues_key] = KnownIssueBook(config, config.stash[_run_key])


def pytest_sessionstart(session: pytest.Session) -> None:
    """With workers, kernels are built before the workers start: one build, one message."""
    config = session.config
    if config.getoption("numprocesses", None) and _wants_guests(config):
        _prepare(config)


def begin_batches(config: pytest.Config) -> None:
    """In xdist's controller, when workers have collected batches and nothing was shown before."""
    _prepare(config)
    running = config.pluginmanager.getplugin("dsession")
    if type(running.sched) is LoadScheduling:
        scheduler = LoadGroupScheduling(config, running.log)
        for node in running.sched.nodes:
            scheduler.add_node(node)
        running.sched = scheduler


def _prepare(config: pytest.Config) -> None:
    try:
        config.stash[_run_key].prepare()
    except ErrpathError as error:
        pytest.exit(str(error), returncode=error.exit_status)


def _wants_guests(config: pytest.Config) -> bool:
    """Whether any of the given paths may hold cases: the controller of xdist collects nothing."""
    if config.option.collectonly:
        return False
    paths = [Path(argument.split("::")[0]) for argument in config.args]
    return any("selftest" not in path.parts for path in paths)


def pytest_unconfigure(config: pytest.Config) -> None:
    session = config.stash.get(_run_key, None)
    if session is not None:
        session.close()


@contextmanager
def _standard_input(config: pytest.Config) -> Iterator[None]:
    """The real standard input, which pytest captures before anybody can read it."""
    manager = config.pluginmanager.getplugin("capturemanager")
    if manager is None or not manager.is_globally_capturing():
        yield
        return
    manager.suspend_global_capture(in_=True)
    try:
        yield
    finally:
        manager.resume_global_capture()
        # As it was: pytest captures output from the first test on.
        manager.suspend_global_capture()


def _worker(config: pytest.Config) -> str:
    """ "-gw0" in a worker of xdist, else nothing."""
    values = getattr(config, "workerinput", None)
    return f"-{values['workerid']}" if values else ""


def _progress(config: pytest.Config, worker: str) -> Progress:
    manager = config.pluginmanager.getplugin("capturemanager")
    if manager is None:
        return Progress(prefix=worker.lstrip("-"))
    return Progress(prefix=worker.lstrip("-"), guard=manager.global_and_fixture_disabled)


# -- collection ----------------------------------------------------------------------------------


def parametrize_kernels(metafunc: pytest.Metafunc) -> None:
    """Several kernels: every test that asks for a verdict runs on each."""
    names = list(metafunc.config.stash[_run_key].choices)
    ids = names if len(names) > 1 else [pytest.HIDDEN_PARAM]
    metafunc.parametrize("kernel_name", names, ids=ids)


def pytest_deselected(items: list[pytest.Item]) -> None:
    for item in items:
        case = _case(item)
        if case is not None:
            item.config.stash[_issues_key].note_deselected(item, case, _kernel(item))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    wanted = set(config.option.case)
    for item in items:
        case = _case(item)
        if case is not None:
            mark_case(item, case)
    if wanted:
        kept = [item for item in items if _holds(item, wanted)]
        missing = {name for name in wanted if not any(_holds(item, {name}) for item in kept)}
        if missing:
            problem = f"--case {min(missing)}: no such case; expected a case's id"
            if not hasattr(config, "workerinput"):
                raise pytest.UsageError(problem)
            # The controller collects nothing itself: a worker has to report it.
            config.stash[_problem_key] = problem
            kept = []
        config.hook.pytest_deselected(items=[item for item in items if item not in kept])
        items[:] = kept
    if _jobs(config) > 1:
        # Tests that drive guests themselves work while the batches do; the others only wait.
        items.sort(key=lambda item: "testbed" not in getattr(item, "fixturenames", ()))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection_finish(session: pytest.Session) -> Iterator[None]:
    """Divide what is left after all selection into batches.

    xdist keeps tests together whose ids end in the same `@group`. The ids get that only here, where
    a worker reports its collection: everywhere else the ids stay as they read.
    """
    config = session.config
    names = _divide(session)
    config.stash[_run_key].announces = partial(_is_news, session)
    if not hasattr(config, "workerinput"):
        yield
        return
    plain = [item.nodeid for item in session.items]
    for item in session.items:
        case, unit = _case(item), _unit(item)
        if case is not None:
            item._nodeid = f"{item.nodeid}@{names[_kernel(item), case.id]}"
        elif unit is not None:
            item._nodeid = f"{item.nodeid}@{_kernel(item)}-{unit.volume_id.replace('@', '_')}"
    try:
        yield
    finally:
        for item, nodeid in zip(session.items, plain, strict=True):
            item._nodeid = nodeid


def _is_news(session: pytest.Session, kernel: str, verdict: Verdict) -> bool:
    """Whether no known issue explains a failure of a case."""
    for item in session.items:
        case = _case(item)
        if case is not None and case.id == verdict.case.id and _kernel(item) == kernel:
            try:
                return not item.config.stash[_issues_key].explain(item, kernel, verdict)[0]
            except pytest.exit.Exception:
                # Its test ends the run for that.
                return False
    return False


def _divide(session: pytest.Session) -> dict[tuple[str, str], str]:
    """Note the batches; the batch's name by kernel and case id."""
    config = session.config
    kernels: dict[str, dict[str, MountCase]] = {}
    for item in session.items:
        case = _case(item)
        if case is not None:
            cases = kernels.setdefault(_kernel(item), {})
            if case.id in cases:
                raise pytest.UsageError(f"case {case.id}: twice; expected every id once")
            cases[case.id] = case
            if not item.path.is_relative_to(SUITES):
                place = os.path.relpath(item.path, config.invocation_params.dir)
                config.stash[_run_key].suites[case.id] = place
    values = getattr(config, "workerinput", None)
    batches = schedule(
        {kernel: cases.values() for kernel, cases in kernels.items()},
        jobs=_jobs(config),
        workers=int(values["workercount"]) if values else None,
    )
    config.stash[_batches_key] = {
        (batch.kernel, case.id): batch for batch in batches for case in batch.cases
    }
    config.stash[_run_key].expect(batches)
    return {key: batch.name for key, batch in config.stash[_batches_key].items()}


def _jobs(config: pytest.Config) -> int:
    """A guest for each processor; with `-n N`, N workers with a guest each."""
    workers = hasattr(config, "workerinput") or config.getoption("numprocesses", None) is not None
    return 1 if workers else processors()


def _case(item: pytest.Item) -> MountCase | None:
    spec = getattr(item, "callspec", None)
    case = spec.params.get("case") if spec is not None else None
    return case if isinstance(case, MountCase) else None


def _unit(item: pytest.Item) -> SweepUnit | None:
    spec = getattr(item, "callspec", None)
    unit = spec.params.get("unit") if spec is not None else None
    return unit if isinstance(unit, SweepUnit) else None


def _holds(item: pytest.Item, wanted: Collection[str]) -> bool:
    """Whether a test has one of the cases of these ids, or finds its cases only when it runs and
    may have one."""
    case, unit = _case(item), _unit(item)
    if case is not None:
        return case.id in wanted
    return unit is not None and any(unit.holds(name) for name in wanted)


def _kernel(item: pytest.Item) -> str:
    spec = getattr(item, "callspec", None)
    if spec is not None and "kernel_name" in spec.params:
        return str(spec.params["kernel_name"])
    return next(iter(item.config.stash[_run_key].choices))


# -- fixtures ------------------------------------------------------------------------------------


def verdict(request: pytest.FixtureRequest, case: MountCase, kernel_name: str) -> Verdict:
    """The verdict on the test's `case`; an infrastructure failure is an error of the set-up."""
    return _verdict_of(request.node, case)


def _verdict_of(item: pytest.Item, case: MountCase) -> Verdict:
    config = item.config
    session = config.stash[_run_key]
    batch = config.stash[_batches_key][_kernel(item), case.id]
    try:
        result = session.result(batch, case)
    except ErrpathError as error:
        _end_if_nothing_runs(config, error)
        raise pytest.fail.Exception(str(error), pytrace=False) from None
    if result.verdict.status is Status.SKIP:
        pytest.skip(result.verdict.reasons[0])
    if result.verdict.status is Status.ERROR:
        pytest.fail(session.report(batch, case), pytrace=False)
    return result.verdict


def _end_if_nothing_runs(config: pytest.Config, error: ErrpathError) -> None:
    """End the run for what cannot be built or booted at all: it is said once, not once per case.
    Where other cases have run, it is only these that have no verdict."""
    if not hasattr(config, "workerinput") and not config.stash[_run_key].judged:
        pytest.exit(str(error), returncode=error.exit_status)


def expect_pass(
    request: pytest.FixtureRequest, case: MountCase, kernel_name: str, verdict: Verdict
) -> Callable[[], None]:
    """A function that fails the test with the whole story unless the verdict is a pass; a failure
    that known issues explain ends the test as an expected one."""
    return partial(_require_pass, request.node, case, verdict)


def _require_pass(item: pytest.Item, case: MountCase, verdict: Verdict) -> None:
    if verdict.status is not Status.PASS:
        note = item.config.stash[_issues_key].expect(item, _kernel(item), verdict)
        session = item.config.stash[_run_key]
        batch = item.config.stash[_batches_key][_kernel(item), case.id]
        pytest.fail(session.report(batch, case) + note, pytrace=False)


def _judged(item: pytest.Item) -> MountCase | None:
    """The case of a test that fails unless its case passes: each with a `case` that does not drive
    a guest itself and is not marked `unjudged`."""
    own = {"guest", "testbed"} & {*getattr(item, "fixturenames", ())}
    return None if own or item.get_closest_marker("unjudged") else _case(item)


@pytest.hookimpl(trylast=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Have the verdict, whether or not the test asks for it."""
    case = _judged(item)
    if case is not None:
        _verdict_of(item, case)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """Fail a test that has not looked at its case's verdict, or has ignored it."""
    try:
        yield
    except BootError as error:
        # Of a test that drives guests itself.
        _end_if_nothing_runs(item.config, error)
        raise
    case = _judged(item)
    if case is not None:
        _require_pass(item, case, _verdict_of(item, case))


def kernel_choice(request: pytest.FixtureRequest, kernel_name: str) -> Choice:
    """The kernel that a test runs on, as the user chose it."""
    return request.config.stash[_run_key].choices[kernel_name]


def testbed(request: pytest.FixtureRequest, kernel_name: str) -> Testbed:
    """The test bed of the kernel that a test runs on, for tests that drive guests themselves."""
    session = request.config.stash[_run_key]
    session.begin()
    return session.testbeds.get(kernel_name)


def guest(request: pytest.FixtureRequest, kernel_name: str) -> Iterator[UserGuest]:
    """A fresh guest with the filesystems of the test's `filesystems` mark loaded."""
    session = request.config.stash[_run_key]
    mark = request.node.get_closest_marker("filesystems")
    names = tuple(mark.args) if mark is not None else ()
    try:
        running = UserGuest(session.testbeds.get(kernel_name), names)
    except ErrpathError as error:
        raise pytest.fail.Exception(str(error), pytrace=False) from None
    yield running
    running.close()


# -- the end -------------------------------------------------------------------------------------


def pytest_sessionfinish(session: pytest.Session) -> None:
    """A worker hands what is reported at the end to the controller."""
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["errpath_stray"] = _stray(session.config)
        output["errpath_problem"] = session.config.stash.get(_problem_key, "")
        output["errpath_issues"] = session.config.stash[_issues_key].to_controller()
    elif _problem_key in session.config.stash:
        session.exitstatus = pytest.ExitCode.USAGE_ERROR
    elif session.exitstatus == pytest.ExitCode.OK and session.config.stash[_issues_key].stale:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """A worker of xdist has no standard input of its own, and what was settled is the same for
    all."""
    node.workerinput["errpath_options"] = node.config.stash[_options_key].to_argv()


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: object) -> None:
    lines = node.config.stash.setdefault(_stray_key, [])
    output = getattr(node, "workeroutput", {})
    lines += output.get("errpath_stray", [])
    if output.get("errpath_problem"):
        node.config.stash[_problem_key] = output["errpath_problem"]
    node.config.stash[_issues_key].from_worker(output.get("errpath_issues", ()))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Leaks that belong to no case: reported, as no test fails with them."""
    config = terminalreporter.config
    if _problem_key in config.stash:
        terminalreporter.write_line(f"ERROR: {config.stash[_problem_key]}", red=True)
    issues = config.stash[_issues_key].lines()
    if issues:
        terminalreporter.section("known issues that no longer show")
        for line in issues:
            terminalreporter.write_line(line, red=line.startswith("STALE"))
    lines = [*config.stash.get(_stray_key, []), *_stray(config)]
    if lines:
        terminalreporter.section("Unattributed leaks and failures that did not reproduce")
        for line in lines:
            terminalreporter.write_line(line)


def _stray(config: pytest.Config) -> list[str]:
    session = config.stash[_run_key]
    return [*(record.raw for record in session.batches.stray), *session.batches.notes]


# -- for plugins beside this one -----------------------------------------------------------------


def session_of(config: pytest.Config) -> RunSession:
    """The session of this pytest run."""
    return config.stash[_run_key]


def issues_of(config: pytest.Config) -> KnownIssueBook:
    """The known issues of this pytest run."""
    return config.stash[_issues_key]


case_of = _case
unit_of = _unit
kernel_of = _kernel
