"""Faults as typed values."""

from __future__ import annotations

from errno import EIO

import pytest

from errpath.errors import UsageError
from errpath.faults.model import (
    Alloc,
    Both,
    Call,
    Fault,
    Flush,
    Read,
    Recording,
    Write,
    parts,
    return_value,
)


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
    assert Read(result="zeroes", sectors=(2, 9)).as_request() == {"arm": "fail 3 2-9 1 1 0 1"}
    assert Write(result="lost").as_request() == {"arm": "fail 4 - 1 1 0 2"}
    assert Flush(result="gone").as_request() == {"arm": "fail 5 - 1 1 0 3"}
    assert Alloc(kind="vmalloc").as_request() == {"arm": "fail 7 - 1 1 0 0"}


def test_two_faults_and_a_recording_behind_one() -> None:
    both = Both(Read(), Alloc(nth=2))
    assert both.as_request() == {"arm": "fail 3 - 1 1 0 0\nfail 0 - 2 1 0 -12"}
    assert (both.id, both.errno) == ("read-1-and-slab-alloc-2", "ENOMEM")
    assert parts(both) == (Read(), Alloc(nth=2))
    assert parts(Read()) == (Read(),)
    behind = Recording(("slab",), behind=Read())
    assert behind.as_request() == {"arm": "record 1\nfail 3 - 1 1 0 0"}
    with pytest.raises(ValueError, match=r"second: got .* again; expected another fault"):
        Both(Read(), Read())


def test_what_a_request_cannot_do_is_refused() -> None:
    with pytest.raises(ValueError, match=r"got 'zeroes'; expected one of: error, lost, gone"):
        Write(result="zeroes")
    with pytest.raises(ValueError, match=r"got 'lost'; expected one of: error, zeroes, gone"):
        Read(result="lost")
    with pytest.raises(ValueError, match=r"sectors: got \(3, 2\); expected the first and the last"):
        Read(sectors=(3, 2))


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
        Read(result="zeroes", sectors=(0, 7)): "read-1-at-0-7-zeroes",
        Write(nth=2, times=0, result="gone"): "write-2-every-gone",
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
