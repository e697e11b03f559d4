"""Features of a kernel: the table, the probes, and what a run says of them."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from errpath.errors import BuildError, DefinitionError
from errpath.kernel.features.finding import Finding, Presence
from errpath.kernel.features.probe import (
    boot_parameters,
    features_header,
    first_compiler_error,
    probe_features,
)
from errpath.kernel.features.summary import missing, spelled, stand_ins, summary
from errpath.kernel.features.table import Feature, load_table

CONFIG = Feature("counts", "counts", kind="oracle", config="CONFIG_COUNTS=y")
SYMBOL = Feature("setup", "a late failure", kind="fault", symbol="setup_bdev_super")
PARAMETER = Feature("slab_debug", "the newer name", parameter="slab_debug")
COMPILED = Feature("files", "devices as files", compile="int f;", absent="no member named 'f'")
TABLE = (CONFIG, SYMBOL, PARAMETER, COMPILED)
BASE = 0xFFFFFFFF81000000


def _vmlinux(path: Path, names: Mapping[str, bytes]) -> dict[str, int]:
    """An executable whose one segment holds strings; symbol -> address."""
    body = b""
    symbols = {}
    for name, text in names.items():
        symbols[name] = BASE + len(body)
        body += text + b"\0"
    head = struct.pack(
        "<16sHHIQQQIHHHHHH",
        b"\x7fELF\x02\x01\x01" + bytes(9),
        *(2, 62, 1, 0, 64, 0, 0, 64, 56, 1, 64, 0, 0),
    )
    load = struct.pack("<IIQQQQQQ", 1, 4, 120, BASE, BASE, len(body), len(body), 0x1000)
    path.write_bytes(head + load + body)
    return symbols


def _probe(
    tmp_path: Path, *, config: str = "", symbols: str = "", printed: str = "", boot: bytes = b"x"
) -> dict[str, Finding]:
    (tmp_path / "config").write_text(config)
    names = _vmlinux(tmp_path / "vmlinux", {"__setup_str_some": boot})
    lines = [symbols, *(f"{address:x} d {name}" for name, address in names.items())]
    (tmp_path / "System.map").write_text("\n".join(lines) + "\n")
    found = probe_features(
        TABLE,
        config=tmp_path / "config",
        system_map=tmp_path / "System.map",
        vmlinux=tmp_path / "vmlinux",
        compile_all=lambda sources: dict.fromkeys(sources, printed),
    )
    return {finding.name: finding for finding in found}


def test_every_probe_finds_what_is_there(tmp_path: Path) -> None:
    found = _probe(
        tmp_path,
        config="CONFIG_COUNTS=y\n",
        symbols="ffffffff81000010 T setup_bdev_super",
        boot=b"slab_debug=",
    )
    assert all(finding.present for finding in found.values())
    assert list(found) == [feature.name for feature in TABLE]


def test_every_probe_says_why_a_feature_is_absent(tmp_path: Path) -> None:
    found = _probe(tmp_path, printed="x.c:1:5: error: struct x has no member named 'f'\n")
    assert [str(finding) for finding in found.values()] == [
        "counts (absent: CONFIG_COUNTS is absent)",
        "setup (absent: no symbol setup_bdev_super)",
        "slab_debug (absent: no boot parameter slab_debug)",
        "files (absent: struct x has no member named 'f')",
    ]


@pytest.mark.parametrize(
    "printed",
    [
        "x.c:1:5: error: expected ';' before 'return'\n",
        "x.c:1:10: fatal error: linux/nothing.h: No such file or directory\n",
        "make: *** [x.o] Killed\n",
        # The first error decides: what follows it may be its consequence.
        "x.c:1:1: error: unknown type\nx.c:2:1: error: no member named 'f'\n",
    ],
)
def test_an_unexpected_error_is_a_broken_probe(tmp_path: Path, printed: str) -> None:
    finding = _probe(tmp_path, printed=printed)["files"]
    assert finding.presence is Presence.BROKEN
    assert finding.why in printed
    with pytest.raises(BuildError, match="probe of feature files: "):
        features_header(TABLE, [finding])
    with pytest.raises(BuildError, match="probe of feature files: "):
        summary([finding], TABLE)


def test_quotes_of_another_locale_are_the_same() -> None:
    assert first_compiler_error("a.c:1: error: \u2018x\u2019 undeclared") == "'x' undeclared"


def test_boot_parameters_lose_their_sign(tmp_path: Path) -> None:
    names = {"__setup_str_a": b"quiet", "__param_str_b": b"slab_debug", "__setup_str_c": b"root="}
    symbols = _vmlinux(tmp_path / "vmlinux", {**names, "other": b"none"})
    symbols["__setup_str_beyond"] = BASE + 0x100000
    assert boot_parameters(tmp_path / "vmlinux", symbols) == {"quiet", "slab_debug", "root"}


def test_the_header_has_compiled_features_alone() -> None:
    present = [Finding(feature.name, Presence.PRESENT) for feature in TABLE]
    assert "#define ERRPATH_HAVE_FILES 1\n" in features_header(TABLE, present)
    assert features_header(TABLE, present).count("#define") == 1
    absent = [Finding("files", Presence.ABSENT, "no member")]
    assert "#define" not in features_header(TABLE, absent)


def test_the_summary_names_oracles_and_what_is_not_here() -> None:
    here = [Finding("counts", Presence.PRESENT), Finding("files", Presence.ABSENT, "x")]
    assert summary(here, TABLE) == "oracles: counts, the kernel log"
    gone = [
        Finding("counts", Presence.ABSENT, "CONFIG_COUNTS is absent"),
        Finding("setup", Presence.ABSENT, "no symbol setup_bdev_super"),
    ]
    assert summary(gone, TABLE) == (
        "oracles: the kernel log; not here: counts (CONFIG_COUNTS is absent), "
        "a late failure (no symbol setup_bdev_super)"
    )
    assert list(missing(gone, TABLE)) == ["counts", "a late failure"]


def test_a_function_that_stands_in_is_named_where_it_does() -> None:
    setup = replace(SYMBOL, instead="open_device", differs="it comes before")
    gone = [Finding("setup", Presence.ABSENT, "no symbol setup_bdev_super")]
    assert stand_ins(gone, [setup]) == {"setup_bdev_super": setup}
    assert stand_ins(gone, [SYMBOL]) == {}
    assert stand_ins([Finding("setup", Presence.PRESENT)], [setup]) == {}
    assert missing(gone, [setup]) == {
        "a late failure": "no symbol setup_bdev_super; open_device fails instead"
    }


def test_a_boot_argument_has_the_name_that_the_kernel_knows() -> None:
    words = ("console=ttyS0", "slab_debug=UZP", "nokaslr")
    absent = [Finding("slab_debug", Presence.ABSENT, "no boot parameter slab_debug")]
    assert spelled(words, absent) == ("console=ttyS0", "slub_debug=UZP", "nokaslr")
    assert spelled(words, [Finding("slab_debug", Presence.PRESENT)]) == words


def test_the_table_is_whole() -> None:
    names = {feature.name for feature in load_table()}
    assert {"kmemleak", "setup_bdev_super", "slab_debug", "s_passive", "allocinfo"} <= names


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("{name: x, gives: y}", "got 0 probes"),
        ("{name: x, gives: y, symbol: a, config: CONFIG_A=y}", "got 2 probes"),
        ("{name: x, gives: y, compile: 'int a;'}", "expected `absent` beside `compile`"),
        ("{name: x, gives: y, symbol: a, instead: b}", "expected symbol, instead and differs"),
        ("{name: x, gives: y, config: CONFIG_A=y, instead: b, differs: c}", "expected symbol,"),
        ("{name: x, gives: y, symbol: a, absent: b}", "expected `absent` beside `compile`"),
        ("{name: x, gives: y, compile: 'int a;', absent: '['}", "expected a regular expression"),
        ("{name: X, gives: y, symbol: a}", "expected lower case"),
        ("{name: x, gives: y, config: A}", "expected CONFIG_NAME=value"),
        ("{name: x, gives: y, symbol: a, kind: z}", "expected oracle, fault"),
        ("{name: x, gives: y, symbol: a}\n- {name: x, gives: y, symbol: a}", "expected every name"),
    ],
)
def test_a_wrong_entry_is_named(tmp_path: Path, entry: str, message: str) -> None:
    path = tmp_path / "table.yaml"
    path.write_text(f"features:\n- {entry}\n")
    with pytest.raises(DefinitionError, match=message):
        load_table(path)
