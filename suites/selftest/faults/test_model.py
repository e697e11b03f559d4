"""Faults as typed values."""

from __future__ import annotations

from errno import EIO

import pytest

from errpath.errors import UsageError
from errpath.faults.model import Alloc, Call, Fault, Flush, Read, Recording, Write, return_value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("EIO", -5),
        ("ERR_PTR(ENOMEM)", -12),
        ("NULL", 0),
        ("false", 0),
        ("true", 1),
        ("7", 7),
        ("0", 0),
    ],
)
def test_what_a_function_returns(text: str, value: int) -> None:
    assert return_value(text) == value


@pytest.mark.parametrize("text", ["", "-5", "EBOGUS", "ERR_PTR(NULL)", "nothing"])
def test_what_no_function_returns(text: str) -> None:
    with pytest.raises((ValueError, UsageError), match=r"expected"):
        return_value(text)


def test_requests_in_the_module_s_words() -> None:
    assert Call("diMount", "EIO", nth=2).as_request() == {"arm": "fail 6 diMount 2 1 0 -5"}
    below = Call("sb_bread", "NULL", times=0, caller="hfs_mdb_get")
    assert below.as_request() == {"arm": "fail 6 sb_bread 1 0 0 0 hfs_mdb_get"}
    assert Alloc(nth=7).as_request() == {"arm": "fail 0 - 7 1 0 -12"}
    few = Alloc(nth=2, caller="hfs_find_init")
    assert few.as_request() == {"arm": "fail 0 - 2 1 0 -12 hfs_find_init"}
    assert few.text == "2nd slab allocation below hfs_find_init fails"
    assert Alloc(kind="page", chain="ab12").as_request() == {"arm": "fail 1 - 1 1 ab12 1"}
    assert Read(nth=3).as_request() == {"arm": "fail 3 - 3 1 0 0"}
    assert Write(times=2).as_request() == {"arm": "fail 4 - 1 2 0 0"}
    assert Recording(("slab", "call")).as_request() == {"arm": "record 65"}
    threads = Recording(("call",), threads=True)
    assert threads.as_request() == {"arm": f"record {64 + (1 << 31)}"}


def test_ids_say_what_is_forced() -> None:
    faults: dict[Fault, str] = {
        Call("ext4_iget", EIO): "ext4_iget-EIO",
        Call("f", "ERR_PTR(EIO)", nth=2): "f-ERR_PTR-EIO-2",
        Call("f.isra.0", "NULL", times=0, caller="g"): "f.isra.0-NULL-every-below-g",
        Alloc(nth=7): "slab-alloc-7",
        Alloc(nth=2, caller="f"): "slab-alloc-2-below-f",
        Alloc(kind="page", chain="ab12"): "page-alloc-1-ab12",
        Read(nth=3): "read-3",
        Write(times=2): "write-1-times-2",
        Flush(): "flush-1",
    }
    assert {fault.id: fault.id for fault in faults} == {name: name for name in faults.values()}


def test_an_errno_may_be_a_number() -> None:
    assert Call("f", EIO) == Call("f", "EIO")
    assert Call("f", EIO).errno == "EIO"
    with pytest.raises(UsageError, match="4000: unknown"):
        Call("f", 4000)


def test_texts_for_reports() -> None:
    assert Call("f", "ENOSPC").text == "f = -ENOSPC"
    assert Call("diMount", "EIO", nth=2).text == "diMount = -EIO, 2nd call"
    assert Call("f", "NULL", caller="g").text == "f = NULL, 1st call below g"
    assert Alloc(nth=11, kind="page").text == "11th page allocation fails"
    assert Read(nth=3, times=0).text == "3rd and every further read request = -EIO"


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda: Call("no name"), "expected a C function's name"),
        (lambda: Call("f", nth=0), "expected at least 1"),
        (lambda: Call("f", times=-1), "expected at least 1, or 0"),
        (lambda: Call("f", caller="-"), "expected a C function's name"),
        (lambda: Alloc(kind="heap"), "expected one of: slab, page, percpu"),
        (lambda: Alloc(chain="x"), "expected a hash"),
        (lambda: Read(nth=0), "expected at least 1"),
    ],
)
def test_values_that_are_refused(make: object, expected: str) -> None:
    assert callable(make)
    with pytest.raises(ValueError, match=expected):
        make()
