"""Typed steps: their arguments, their form on the wire, and what mypy refuses."""

from __future__ import annotations

import errno
import re
from typing import get_type_hints

import pytest
from mypy import api

from errpath.cases import steps, volume_steps
from errpath.cases.steps import FsOpen, Mount, Reconfigure, Remount, Step, Umount
from errpath.cases.volume_steps import (
    AppendFile,
    Fallocate,
    Freeze,
    Fsync,
    GetXattr,
    ListXattr,
    Mkdir,
    ReadBack,
    Readdir,
    RemoveXattr,
    Rename,
    SetXattr,
    Statfs,
    Sync,
    Thaw,
    Truncate,
    Unlink,
    Use,
    WriteFile,
    WriteProbe,
)
from errpath.errors import UsageError
from errpath.faults.model import Call
from suites.selftest.paths import ROOT

_PLAIN = {"armed": False, "go_on": False}
_EIO = Call("f")


@pytest.mark.parametrize(
    ("step", "request_"),
    [
        (Mount("x"), {"op": "mount", "fstype": "x"}),
        (Remount(flags=("ro",)), {"op": "remount", "flags": ["ro"]}),
        (
            FsOpen("x", served=True),
            {"op": "fsopen", "fstype": "x", "until": "mount", "served": True},
        ),
        (Reconfigure(options={"a": None}), {"op": "reconfigure", "options": [["a", None]]}),
        (Umount(), {"op": "umount"}),
        (ReadBack(), {"op": "readback"}),
        (WriteProbe(), {"op": "probe"}),
        (WriteFile("a", "b"), {"op": "write", "path": "a", "data": "b"}),
        (AppendFile("a", "b"), {"op": "append", "path": "a", "data": "b"}),
        (
            AppendFile("a", "b" * 512, direct=True),
            {"op": "append", "path": "a", "data": "b" * 512, "direct": True},
        ),
        (Fsync("a"), {"op": "fsync", "path": "a"}),
        (Truncate("a", 3), {"op": "truncate", "path": "a", "length": 3}),
        (Mkdir("a"), {"op": "mkdir", "path": "a"}),
        (Unlink("a"), {"op": "unlink", "path": "a"}),
        (Rename("a", "b"), {"op": "rename", "path": "a", "to": "b"}),
        (Readdir(), {"op": "readdir", "path": "."}),
        (
            SetXattr("a", "user.b", "c", "replace"),
            {"op": "setxattr", "path": "a", "attribute": "user.b", "value": "c", "flags": 2},
        ),
        (
            GetXattr("a", "user.b", "c"),
            {"op": "getxattr", "path": "a", "attribute": "user.b", "value": "c"},
        ),
        (
            ListXattr("a", ("user.b",)),
            {"op": "listxattr", "path": "a", "attributes": ["user.b"]},
        ),
        (RemoveXattr("a", "user.b"), {"op": "removexattr", "path": "a", "attribute": "user.b"}),
        (
            Fallocate("a", 4096, mode="punch-hole"),
            {"op": "fallocate", "path": "a", "length": 4096, "mode": 3},
        ),
        (Statfs(), {"op": "statfs"}),
        (Use(readonly=True), {"op": "use", "flags": ["ro"]}),
        (Sync(), {"op": "syncfs"}),
        (Freeze(), {"op": "freeze"}),
        (Thaw(), {"op": "thaw"}),
    ],
)
def test_the_agents_form(step: Step, request_: dict[str, object]) -> None:
    assert step.as_request() == {**_PLAIN, **request_}


def _step_classes() -> set[type[Step]]:
    """Every step that a suite can take."""
    names = [(module, name) for module in (steps, volume_steps) for name in module.__all__]
    found = {getattr(module, name) for module, name in names}
    return {one for one in found if isinstance(one, type) and issubclass(one, Step)} - {Step}


def test_every_operation_is_known_to_the_agent_and_to_the_documents() -> None:
    source = "".join(
        (ROOT / "guests" / "agent" / f"{n}.c").read_text() for n in ("steps", "volume")
    )
    document = (ROOT / "docs" / "agent-protocol.md").read_text()
    operations = {step.op for step in _step_classes()}
    assert len(operations) == len(_step_classes()) == 30
    for operation in operations:
        assert f'"{operation}"' in source, operation
        assert re.search(rf"^\|.*`{operation}`.*\|$", document, re.MULTILINE), operation


def test_options_in_three_forms() -> None:
    pairs = (("a", "b"), ("c", None))
    assert (
        Mount("x", options="a=b,c") == Mount("x", options=pairs) == Mount("x", options=dict(pairs))
    )
    assert Mount("x", options=pairs).data == "a=b,c"
    assert FsOpen("x", options="a=b=c").pairs == (("a", "b=c"),)
    assert hash(Mount("x", options={"a": "b"})) == hash(Mount("x", options="a=b"))


def test_what_fails_is_expected_unless_it_is_not() -> None:
    assert Mount("x").expected == ""
    assert Mount("x", fail=_EIO).expected == "EIO"
    assert Mount("x", fail=_EIO).armed
    assert Mount("x", fail=_EIO, expect="").expected == ""
    assert Mount("x", expect=errno.EINVAL) == Mount("x", expect="EINVAL")
    assert Call("f", errno.EIO) == _EIO


def test_a_case_goes_on_after_what_was_expected() -> None:
    assert [Mount("x").goes_on, Mount("x", expect="EIO").goes_on] == [False, True]
    assert [Mount("x", any_errno=True).goes_on, ReadBack(any_errno=True).goes_on] == [False, True]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: Mount("x", flags=("readonly",)),
            "flags: got .'readonly',.; expected a tuple of: ro",
        ),
        (
            lambda: FsOpen("x", until="never"),
            "until: got 'never'; expected one of: options, create",
        ),
        (lambda: Mkdir(""), "path: got ''; expected a path below the mount point"),
        (lambda: WriteFile("a", "b\0"), "data: got a NUL; expected text"),
        (lambda: AppendFile("a", "b", direct=True), "data: got 1 bytes; expected sectors of 512"),
        (lambda: Fallocate("a", 0), "length: got 0 at 0; expected bytes"),
        (
            lambda: Fallocate("a", 1, mode="sparse"),
            "mode: got 'sparse'; expected one of: keep-size",
        ),
    ],
)
def test_what_cannot_be_is_refused_at_the_call(make: type[Step], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_an_unknown_errno_is_refused() -> None:
    with pytest.raises(UsageError, match="errno ENONSENSE: unknown"):
        Umount(expect="ENONSENSE")


def test_mypy_refuses_what_a_step_does_not_take() -> None:
    calls = (
        "Umount(fstype='ext4')",
        "Remount('ext4')",
        "Mount()",
        "Mount('ext4', until='create')",
        "ReadBack(path='a')",
        "Mount('ext4', fail='ext4_iget')",
    )
    imports = (
        "from errpath.cases.steps import Mount, Remount, Umount",
        "from errpath.cases.volume_steps import ReadBack",
        "Mount('ext4', options='a=b', expect=5)",
    )
    text = "\n".join((*imports, *calls, ""))
    out, _, status = api.run(["--strict", "--config-file=", "-c", text])
    assert status == 1, out
    refused = [line for line in out.splitlines() if re.search(r"error: .*\[(call|arg)-", line)]
    assert {int(line.split(":")[1]) for line in refused} == {4, 5, 6, 7, 8, 9}, out
    assert f"Found {len(refused)} errors" in out


def test_every_field_has_a_type_that_reads() -> None:
    for step in _step_classes():
        assert get_type_hints(step)["op"]
        assert step.__doc__
