"""kmemleak's text and protocol: nothing overlooked, nothing that was cleared seen again."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from errpath.errors import InfrastructureError
from errpath.guest.channel import AgentError
from errpath.oracles import kmemleak
from errpath.oracles.kmemleak import MIN_AGE_SECONDS, Record, parse_records, slow_check
from suites.selftest import golden
from suites.selftest.oracles.kmemleak_model import KmemleakModel, RefusedError

_FRAMES = ("__kmalloc_cache_noprof+0x166/0x200", "hfs_init_fs_context+0x1f/0x90 [hfs]")


@dataclass
class _Guest:
    """A guest that is nothing but its kmemleak."""

    model: KmemleakModel = field(default_factory=KmemleakModel)

    def read_file(self, path: str) -> bytes:
        assert path == kmemleak.SCAN_FILE
        return self.model.read().encode()

    def write_file(
        self, path: str, data: bytes | str, *, mode: int | None = None, task: str | None = None
    ) -> None:
        assert path == kmemleak.SCAN_FILE
        assert isinstance(data, str)
        try:
            self.model.write(data)
        except RefusedError as error:
            raise AgentError("file.write", error.number, "write") from None

    def sleep(self, seconds: float) -> None:
        self.model.sleep(seconds)

    def quiesce(self) -> None:
        self.model.quiesce()


def _described(record: Record) -> str:
    sites = "".join(f"  {site}\n" for site in record.backtrace)
    head = f"{record.address:#x} size {record.size} comm {record.comm!r} pid {record.pid}"
    return f"{head} jiffies {record.jiffies}\n{sites}"


@golden.golden_cases("kmemleak")
def test_records(path: Path, request: pytest.FixtureRequest) -> None:
    case = golden.load(path, headers=["Error"])
    if "Error" in case.headers:
        with pytest.raises(InfrastructureError) as caught:
            parse_records(case.input)
        assert "\n" not in str(caught.value)
        golden.check(case, str(caught.value), request)
        return
    records = parse_records(case.input)
    assert "".join(record.raw + "\n" for record in records) == case.input
    golden.check(case, "".join(map(_described, records)), request)


_COMM = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=15)
_NAME = st.from_regex(r"[A-Za-z_][A-Za-z0-9_.]{0,20}", fullmatch=True)
_SITE = st.one_of(
    st.builds("{}+{:#x}/{:#x}".format, _NAME, st.integers(0, 4096), st.integers(1, 4096)),
    st.builds(
        "{}+{:#x}/{:#x} [{}]".format,
        _NAME,
        st.integers(0, 4096),
        st.integers(1, 4096),
        st.sampled_from(["hfs", "nls_iso8859-1"]),
    ),
    st.integers(2**63, 2**64 - 1).map(hex),
)
_LEAK = st.tuples(
    st.integers(1, 2**22),
    _COMM,
    st.integers(-1, 2**22),
    st.lists(_SITE, max_size=16).map(tuple),
)


@given(leaks=st.lists(_LEAK, max_size=8))
def test_what_the_kernel_prints_is_read_back(
    leaks: list[tuple[int, str, int, tuple[str, ...]]],
) -> None:
    guest = _Guest()
    addresses = [guest.model.leak(*leak) for leak in leaks]
    records = slow_check(guest)
    assert [record.address for record in records] == addresses
    for record, (size, comm, pid, frames) in zip(records, leaks, strict=True):
        assert (record.size, record.comm, record.pid) == (size, comm, pid)
        assert len(record.backtrace) == len(frames)
        for site, frame in zip(record.backtrace, frames, strict=True):
            assert site.function == frame.partition("+")[0]
            assert (site.module or "") == frame.partition("[")[2].rstrip("]")


@given(leaks=st.lists(_LEAK, min_size=1, max_size=3), cut=st.data())
def test_a_text_that_breaks_off_is_never_a_shorter_list(
    leaks: list[tuple[int, str, int, tuple[str, ...]]], cut: st.DataObject
) -> None:
    """Cut inside a line, the text is refused; kmemleak's own always ends with a line."""
    guest = _Guest()
    for leak in leaks:
        guest.model.leak(*leak)
    whole = "".join(record.raw + "\n" for record in slow_check(guest))
    at = cut.draw(st.integers(1, len(whole) - 1).filter(lambda at: whole[at - 1] != "\n"))
    with pytest.raises(InfrastructureError, match="kmemleak: "):
        parse_records(whole[:at])


def test_the_slow_checks_sequence() -> None:
    guest = _Guest()
    guest.model.leak(512, "errpath-000001", 33, _FRAMES)
    (record,) = slow_check(guest)
    assert record.comm == "errpath-000001"
    steps = [step for step in guest.model.history if not step.startswith("stack=")]
    assert steps == ["quiesce", "scan", "sleep 5.05", "scan", "read", "scan", "read"]


def test_less_than_the_slow_check_finds_nothing() -> None:
    """The model is worth something: what is known not to work does not work on it."""
    hasty, single, young = _Guest(), _Guest(), _Guest()
    for guest in (hasty, single, young):
        guest.model.leak(512, "x", 1, _FRAMES)
    for command in ("scan", "scan"):
        hasty.model.write(command)
    assert hasty.model.read() == ""
    single.sleep(MIN_AGE_SECONDS)
    single.model.write("scan")
    assert single.model.read() == ""
    young.model.write("scan")
    young.sleep(4)
    young.model.write("scan")
    assert young.model.read() == ""


def test_what_turns_out_to_be_in_use_is_no_leak() -> None:
    guest = _Guest()
    address = guest.model.leak(64, "x", 1, _FRAMES)
    guest.model.leak(96, "y", 2, _FRAMES)
    read = guest.model.read
    reads = []

    def once() -> str:
        text = read()
        reads.append(text)
        guest.model.free(address)
        return text

    guest.model.read = once  # type: ignore[method-assign]
    assert [record.size for record in slow_check(guest)] == [96]
    assert "(size 64)" in reads[0]


def test_cleared_leaks_do_not_come_again_and_new_ones_do() -> None:
    guest = _Guest()
    guest.model.leak(64, "old", 1, _FRAMES)
    assert len(slow_check(guest)) == 1
    assert len(slow_check(guest)) == 1
    kmemleak.clear(guest)
    guest.model.leak(64, "new", 2, _FRAMES)
    assert [record.comm for record in slow_check(guest)] == ["new"]


def test_a_disabled_kmemleak_is_an_infrastructure_error() -> None:
    guest = _Guest(KmemleakModel(disabled=True))
    guest.model.leak(64, "x", 1, _FRAMES)
    with pytest.raises(InfrastructureError, match=r"scan refused .*disabled itself") as caught:
        slow_check(guest)
    assert not isinstance(caught.value, AgentError)


def test_records_go_to_the_task_that_made_them() -> None:
    guest = _Guest()
    for comm, pid in (("errpath-000001", 33), ("errpath-000001", 34), ("kworker/0:1", 9)):
        guest.model.leak(64, comm, pid, _FRAMES)
    records = slow_check(guest)
    tasks = [("errpath-000001", 33), ("errpath-000002", 35)]
    own, other = kmemleak.split_by_task(records, tasks)
    assert own == {tasks[0]: [records[0]], tasks[1]: []}
    # The same name with another pid is not the task that was asked for.
    assert other == [records[1], records[2]]


def test_a_signature_forgets_addresses_and_offsets() -> None:
    guest = _Guest()
    guest.model.leak(64, "x", 1, ("f+0x1/0x9", "g+0x1/0x9 [hfs]"))
    guest.model.leak(64, "y", 2, ("f+0x2/0x9", "g+0x3/0x9 [hfs]"))
    guest.model.leak(64, "y", 2, ("f+0x2/0x9", "h+0x3/0x9 [hfs]"))
    guest.model.leak(96, "y", 2, ("f+0x1/0x9", "g+0x1/0x9 [hfs]"))
    one, same, elsewhere, larger = slow_check(guest)
    assert one.signature == same.signature
    assert len({one.signature, elsewhere.signature, larger.signature}) == 3
