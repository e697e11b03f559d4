"""The options that choose what is tested, and the words that choose it again."""

from __future__ import annotations

import dataclasses
import io
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from errpath.errors import UsageError
from errpath.results.case_reporter import folder_name
from errpath.results.testbeds import make_testbed
from errpath.runner import options
from errpath.runner.options import (
    RUN_GROUPS,
    Choice,
    GuestOptions,
    KernelOptions,
    MatrixOptions,
    OracleOptions,
    ResultOptions,
    RunOptions,
    SelectionOptions,
    choices,
    rerun_command,
    settled,
)
from errpath.runner.subset import split_evenly
from errpath.util.option_group import Option, OptionGroup
from errpath.util.progress import silent
from suites.selftest.runner.simguest import make_case


def _chosen(*words: str) -> tuple[Choice, ...]:
    return choices(RunOptions.parse(words))


def test_the_default() -> None:
    (choice,) = _chosen()
    assert choice.name == choice.testbed.kernel.spec == "debian:7.2"
    assert choice.argv == ()
    assert (choice.testbed.guest, choice.testbed.accel, choice.testbed.append) == (
        "microvm",
        "auto",
        (),
    )
    assert choice.testbed.conservation
    assert choice.testbed.kernel.fragments


@pytest.mark.parametrize(
    ("given", "name", "spec"),
    [
        ("debian:latest", "debian:latest", "debian:latest"),
        ("before=/src/linux", "before", "/src/linux"),
        ("a=b=c", "a", "b=c"),
        # A path may hold a `=`, and a name may not be empty.
        ("/src/a=b", "/src/a=b", "/src/a=b"),
        ("./x=y", "./x=y", "./x=y"),
        ("=x", "=x", "=x"),
        ("tree@v7.2", "tree@v7.2", "tree@v7.2"),
    ],
)
def test_names_of_kernels(given: str, name: str, spec: str) -> None:
    (choice,) = _chosen("--kernel", given)
    assert (choice.name, choice.testbed.kernel.spec) == (name, spec)
    assert choice.argv == ("--kernel", given)


def test_counting_wakes_the_kernels_own_books(tmp_path: Path) -> None:
    for words in ((), ("--conservation",), ("--resource-leaks",)):
        (choice,) = _chosen(*words, "--append", "p")
        assert choice.testbed.conservation
        assert make_testbed(choice.testbed, tmp_path, silent()).append == (
            "sysctl.vm.mem_profiling=1",
            "p",
        )


def test_nothing_is_counted_where_that_is_asked(tmp_path: Path) -> None:
    for name in ("--no-conservation", "--no-resource-leaks"):
        (choice,) = _chosen(name, "--append", "p")
        assert not choice.testbed.conservation
        assert make_testbed(choice.testbed, tmp_path, silent()).append == ("p",)
        # The option alone says it again.
        assert choice.argv == ("--append", "p", "--no-resource-leaks")


def test_several_kernels_share_the_rest(tmp_path: Path) -> None:
    patch = tmp_path / "a.patch"
    patch.write_text("x")
    words = ["--kernel", "a=x", "--kernel", "b=y", "--patch", str(patch), "--append", "p q='r s'"]
    first, second = _chosen(*words, "--kconfig-add", "CONFIG_X=y", "--accel", "tcg")
    assert (first.name, second.name) == ("a", "b")
    for choice in (first, second):
        assert choice.testbed.kernel.patches == (patch,)
        assert choice.testbed.kernel.kconfig_add == ("CONFIG_X=y",)
        assert choice.testbed.append == ("p", "q=r s")
        assert choice.testbed.accel == "tcg"
    assert second.argv[:2] == ("--kernel", "b=y")


@pytest.mark.parametrize("words", [["a", "a"], ["x=1", "x=2"], ["debian:7.2", "debian:7.2"]])
def test_a_name_twice(words: Sequence[str]) -> None:
    given = [word for spec in words for word in ("--kernel", spec)]
    with pytest.raises(UsageError, match=r"is taken; expected NAME=SPEC"):
        _chosen(*given)


def test_a_missing_patch(tmp_path: Path) -> None:
    for path in (tmp_path / "none", tmp_path):
        with pytest.raises(UsageError, match=f"--patch {path}: no such file; expected a mail or"):
            _chosen("--patch", str(path))


class _Stdin(io.StringIO):
    def __init__(self, text: bytes) -> None:
        super().__init__()
        self.buffer = io.BytesIO(text)  # type: ignore[misc]


class _Terminal(_Stdin):
    def isatty(self) -> bool:
        return True


def test_a_patch_from_standard_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ERRPATH_CACHE", str(tmp_path))
    monkeypatch.setattr("sys.stdin", _Stdin(b"--- a\n+++ b\n"))
    options = settled(RunOptions.parse(["--kernel", "a", "--kernel", "b", "--patch", "-"]))
    first, second = choices(options)
    assert first.testbed.kernel.patches == second.testbed.kernel.patches
    (kept,) = first.testbed.kernel.patches
    assert kept.read_bytes() == b"--- a\n+++ b\n"
    # Standard input is read by now: whoever chooses the same again must name the file.
    assert first.argv == ("--kernel", "a", "--patch", str(kept))
    assert choices(options)[0].testbed == first.testbed
    assert str(kept) in options.to_argv()


@pytest.mark.parametrize("text", [b"", b" \n"])
def test_an_empty_standard_input_is_no_patch(monkeypatch: pytest.MonkeyPatch, text: bytes) -> None:
    monkeypatch.setattr("sys.stdin", _Stdin(text))
    with pytest.raises(UsageError, match="--patch -: standard input is empty"):
        _chosen("--patch", "-")


def test_a_terminal_is_no_patch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", _Terminal(b""))
    with pytest.raises(UsageError, match="standard input, which is a terminal"):
        _chosen("--patch", "-")


_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


def _groups(base: type[OptionGroup] = OptionGroup) -> list[type[OptionGroup]]:
    return [group for below in base.__subclasses__() for group in (below, *_groups(below))]


def _values(option: Option) -> st.SearchStrategy[Any]:
    """What an option may hold when it is given."""
    if option.switch or option.flag:
        return st.booleans()
    one: st.SearchStrategy[Any] = st.sampled_from(option.choices) if option.choices else _TEXT
    if option.convert is int:
        one = st.integers()
    elif option.convert is Path:
        one = _TEXT.map(Path)
    return st.lists(one, min_size=1, max_size=3).map(tuple) if option.repeats else one


def _made(group: type[OptionGroup]) -> st.SearchStrategy[OptionGroup]:
    fields = {
        field.name: st.just(field.default) | _values(field.metadata["option"])
        for field in dataclasses.fields(group)
    }
    return st.builds(group, **fields)


def test_every_group_is_here() -> None:
    assert {*RUN_GROUPS, ResultOptions, SelectionOptions, MatrixOptions} <= set(_groups())


@pytest.mark.parametrize("group", _groups(), ids=lambda group: group.__name__)
@given(data=st.data())
def test_a_group_is_parsed_from_its_own_argv(group: type[OptionGroup], data: st.DataObject) -> None:
    options = data.draw(_made(group))
    assert group.parse(options.to_argv()) == options
    # What stands for "not given" is not said.
    assert group().to_argv() == []


@given(data=st.data())
def test_the_groups_of_a_run_are_parsed_from_their_argv(data: st.DataObject) -> None:
    options = RunOptions(*(data.draw(_made(group)) for group in RUN_GROUPS))  # type: ignore[arg-type]
    assert RunOptions.parse(options.to_argv()) == options


@pytest.mark.parametrize("group", _groups(), ids=lambda group: group.__name__)
def test_every_flag_is_read_and_has_a_help(group: type[OptionGroup]) -> None:
    for field in dataclasses.fields(group):
        option: Option = field.metadata["option"]
        assert option.help
        other = next((one for one in option.choices if one != field.default), "7")
        for flag in option.flags:
            words = [flag] if option.switch or option.flag else [flag, other]
            assert getattr(group.parse(words), field.name) != field.default


def test_what_is_given_goes_before_what_was_there() -> None:
    base = RunOptions.parse(["--append", "a", "--accel", "tcg", "--no-resource-leaks"])
    given = RunOptions.parse(["--append", "b", "--isolation", "boot", "--resource-leaks"])
    both = given.over(base)
    assert both.guest.append == ("a", "b")
    assert (both.guest.accel, both.isolation.isolation) == ("tcg", "boot")
    assert both.oracles.resource_leaks is True
    assert RunOptions().over(both) == both


def test_an_option_of_another_group_is_refused() -> None:
    with pytest.raises(UsageError, match="unrecognized arguments: --isolation boot"):
        OracleOptions.parse(["--isolation", "boot"])
    with pytest.raises(UsageError, match="argument --repeats: invalid int value: 'x'"):
        OracleOptions.parse(["--repeats", "x"])
    with pytest.raises(UsageError, match="--repeats: got 0; expected at least 1"):
        _chosen("--repeats", "0")


@given(
    kernels=st.lists(_TEXT.filter(bool), max_size=3, unique=True),
    append=st.lists(st.lists(_TEXT, max_size=3).map(shlex.join), max_size=2),
)
def test_the_words_choose_the_same_again(kernels: list[str], append: list[str]) -> None:
    options = RunOptions(
        KernelOptions(kernel=tuple(f"x{kernel}" for kernel in kernels)),
        GuestOptions(append=tuple(append)),
    )
    try:
        chosen = choices(options)
    except UsageError as error:
        assert "is taken" in str(error)  # noqa: PT017 - two names that are one, by chance
        return
    for choice in chosen:
        line = rerun_command("a case", choice.argv)
        run, case, *rest = shlex.split(line)[1:]
        assert (run, case) == ("run", "a case")
        (again,) = _chosen(*rest)
        assert again == choice


@given(count=st.integers(0, 50), groups=st.integers(-1, 60))
def test_groups_are_even_and_whole(count: int, groups: int) -> None:
    cases = [make_case(f"case-{number}") for number in range(count)]
    parts = split_evenly(cases, groups)
    assert [case for part in parts for case in part] == cases
    sizes = [len(part) for part in parts]
    assert max(sizes, default=0) - min(sizes, default=0) <= 1
    assert len(parts) == max(1, min(groups, count))
    assert sizes == sorted(sizes, reverse=True)


def test_folders_of_kernels() -> None:
    assert folder_name("debian:7.2") == "debian_7.2"
    assert folder_name("/src/linux@v7.2") == "_src_linux_v7.2"


def test_nothing_is_exported_that_is_not_there() -> None:
    assert all(hasattr(options, name) for name in options.__all__)
