"""Entry point of pytest (`pytest11`): options, fixtures, and the rest only where it is wanted.

pytest imports this module in every run of every project that has errpath in its environment. The
other plugins are loaded in a run that names an option of errpath or one of its suites, or with the
first test that asks for one of its fixtures; until then nothing is processed, built or imported.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from errpath.plugin import hooks
from errpath.runner.options import (
    RUN_GROUPS,
    MatrixOptions,
    ResultOptions,
    SelectionOptions,
    SweepOptions,
)
from errpath.util.resources import SUITES

if TYPE_CHECKING:
    from errpath.cases.case import MountCase
    from errpath.plugin.user_guest import UserGuest
    from errpath.runner.options import Choice
    from errpath.runner.testbed import Testbed
    from errpath.runner.verdict import Verdict

__all__: list[str] = []

_GROUPS = (*RUN_GROUPS, ResultOptions, SelectionOptions, MatrixOptions, SweepOptions)
# Markers that a test module may use before anything else of errpath is loaded.
_MARKERS = {
    "filesystems(*names)": "filesystems that the `guest` fixture loads",
    "unjudged": "the test passes whatever the verdict on its case is",
    "qemu": "boots a guest; needs QEMU and a built kernel",
}
_active_key = pytest.StashKey[bool]()


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    pluginmanager.add_hookspecs(hooks)


# -- options -------------------------------------------------------------------------------------


@pytest.hookimpl(trylast=True)
def pytest_addoption(parser: pytest.Parser) -> None:
    options = [option for group in parser._groups for option in group.options]
    taken = {flag for option in options for flag in option.names()}
    for flag in _flags():
        if flag in taken:
            raise _taken(flag)
    parser.addini(
        "errpath_filesystems",
        "directories of filesystem definitions, from where this file is",
        type="paths",
        default=[],
    )
    group = parser.getgroup("errpath", "kernel fault injection")
    for ours in _GROUPS:
        ours.add_to(group.addoption)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_load_initial_conftests() -> Iterator[None]:
    try:
        yield
    except (argparse.ArgumentError, ValueError) as error:
        for flag in _flags():
            if flag in str(error):
                raise _taken(flag) from None
        raise


def _flags() -> list[str]:
    """All the option names, the longest first: one may be the beginning of another."""
    parser = argparse.ArgumentParser(add_help=False)
    for options in _GROUPS:
        options.add_to(parser.add_argument)
    return sorted(parser._option_string_actions, key=len, reverse=True)


def _taken(flag: str) -> pytest.UsageError:
    return pytest.UsageError(
        f"{flag}: an option of errpath and of another plugin or conftest.py; expected one of them: "
        "-p no:errpath leaves errpath out"
    )


# -- activation ----------------------------------------------------------------------------------


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    for name, text in _MARKERS.items():
        config.addinivalue_line("markers", f"{name}: {text}")
    for directory in config.getini("errpath_filesystems"):
        _know_filesystems(config, directory)
    if config.getoption("hypothesis_profile", None):
        from errpath.plugin.profiles import register

        # Before hypothesis's own plugin looks for the one that the user chose.
        register()
    if _wanted(config):
        _activate(config)


def _wanted(config: pytest.Config) -> bool:
    """Whether the command line is about errpath."""
    if "errpath_options" in getattr(config, "workerinput", {}) or config.option.markers:
        return True
    if any(options.from_namespace(config.option) != options() for options in _GROUPS):
        return True
    suites = SUITES.resolve()
    paths = [
        (config.invocation_params.dir / argument.split("::")[0]).resolve()
        for argument in config.args
    ]
    return any(path.is_relative_to(suites) for path in paths)


def _activate(config: pytest.Config) -> None:
    """Load the other plugins; errors of options end the run."""
    if config.stash.get(_active_key, False):
        return
    config.stash[_active_key] = True
    from errpath.plugin import cases, lifecycle, results, selection, sweep, sweep_summary

    # lifecycle first: it settles an option that the others read. Of hooks that come last, that of
    # the latest registered is the last: results divides what selection leaves.
    for plugin in (lifecycle, cases, sweep, selection, results, sweep_summary):
        config.pluginmanager.register(plugin, plugin.__name__)


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> None:
    """Know the filesystems that are defined beside a suite before it is imported."""
    directory = file_path.parent / "filesystems"
    if file_path.suffix == ".py" and directory.is_dir():
        _know_filesystems(parent.config, directory)


def _know_filesystems(config: pytest.Config, directory: Path) -> None:
    """Add the definitions of a directory, until the run of pytest is over."""
    if not directory.is_dir():
        raise pytest.UsageError(f"errpath_filesystems: {directory}: no such directory")
    from errpath.filesystems import add_filesystems, remove_filesystems

    add_filesystems(directory)
    config.add_cleanup(lambda: remove_filesystems(directory))


@pytest.hookimpl(tryfirst=True)
def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    # A test with a case need not ask for a fixture of ours, and runs on every kernel all the same.
    if "case" in metafunc.fixturenames and len(metafunc.config.getoption("kernel") or ()) > 1:
        metafunc.fixturenames += {"kernel_name"} - {*metafunc.fixturenames}
    if "kernel_name" in metafunc.fixturenames:
        _activate(metafunc.config)
        from errpath.plugin.cases import parametrize_kernels

        parametrize_kernels(metafunc)


def pytest_itemcollected(item: pytest.Item) -> None:
    """A test with a case, but without a fixture of ours."""
    module = sys.modules.get("errpath.cases.case")
    spec = getattr(item, "callspec", None)
    if module is None or spec is None:
        return
    if isinstance(spec.params.get("case"), module.MountCase):
        _activate(item.config)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_node_collection_finished(node: Any, ids: Sequence[str]) -> None:
    """The controller of xdist collects nothing: what a worker has collected says it."""
    config = node.config
    if config.stash.get(_active_key, False) or not any("]@" in name for name in ids):
        return
    _activate(config)
    from errpath.plugin.cases import begin_batches

    begin_batches(config)


# -- fixtures ------------------------------------------------------------------------------------


@pytest.fixture
def verdict(request: pytest.FixtureRequest, case: MountCase, kernel_name: str) -> Verdict:
    """The verdict on the test's `case`; an infrastructure failure is an error of the set-up."""
    from errpath.plugin import cases

    return cases.verdict(request, case, kernel_name)


@pytest.fixture
def expect_pass(
    request: pytest.FixtureRequest, case: MountCase, kernel_name: str, verdict: Verdict
) -> Callable[[], None]:
    """A function that fails the test with the whole story unless the verdict is a pass."""
    from errpath.plugin import cases

    return cases.expect_pass(request, case, kernel_name, verdict)


@pytest.fixture
def kernel_choice(request: pytest.FixtureRequest, kernel_name: str) -> Choice:
    """The kernel that a test runs on, as the user chose it."""
    from errpath.plugin import cases

    return cases.kernel_choice(request, kernel_name)


@pytest.fixture
def testbed(request: pytest.FixtureRequest, kernel_name: str) -> Testbed:
    """The test bed of the kernel that a test runs on, for tests that drive guests themselves."""
    from errpath.plugin import cases

    return cases.testbed(request, kernel_name)


@pytest.fixture
def guest(request: pytest.FixtureRequest, kernel_name: str) -> Iterator[UserGuest]:
    """A fresh guest with the filesystems of the test's `filesystems` mark loaded."""
    from errpath.plugin import cases

    yield from cases.guest(request, kernel_name)
