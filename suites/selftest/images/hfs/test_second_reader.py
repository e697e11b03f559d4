"""Programs that share no code with ours find the same tree in our images."""

from __future__ import annotations

from pathlib import Path
from unicodedata import normalize

import pytest

from errpath.images.hfs import hfs, hfsplus
from errpath.images.hfs.entries import Directory, Entry, File, default_entries
from suites.selftest.images.tools import run_tool
from suites.selftest.images.volumes import pattern

# What hfsutils takes for a volume.
_FLOPPY = 800 * 1024


def _tree(block: int) -> tuple[Entry, ...]:
    return (
        *default_entries(),
        Directory(path="folder/inner"),
        File(path="folder/inner/deep", data=b"deep"),
        File(path="pieces", data=pattern(20 * block + 7), fragments=20,
             resource=pattern(11 * block, 5), resource_fragments=10),
        File(path="Zebra"),
        File(path="apple", data=b"a" * 3000, type=b"TEXT", creator=b"ABCD"),
    )  # fmt: skip


def _mac_binary(data: bytes) -> tuple[bytes, bytes, bytes]:
    """(type and creator, data fork, resource fork) of a file in MacBinary II."""
    length = int.from_bytes(data[83:87], "big")
    resource = 128 + -(-length // 128) * 128
    size = int.from_bytes(data[87:91], "big")
    return data[65:73], data[128 : 128 + length], data[resource : resource + size]


@pytest.mark.parametrize("records", [None, 3], ids=["full-nodes", "deep-trees"])
def test_hfsutils_reads_the_same_hfs_volume(records: int | None, tmp_path: Path) -> None:
    entries = _tree(512)
    path = tmp_path / "image"
    hfs.volume(size=_FLOPPY, entries=entries, records_per_node=records).image().write(path)
    told = run_tool(["hmount", str(path)], home=tmp_path).stdout.decode()
    assert 'Volume name is "errpath"' in told
    assert "created on Sat Jan  1 00:00:00 2000" in told
    listed = run_tool(["hls", "-1aR"], home=tmp_path).stdout.decode("mac_roman")
    found: set[str] = set()
    folder = ""
    for line in listed.splitlines():
        if line.endswith(":"):
            folder = line.strip(":").replace(":", "/") + "/"
        elif line:
            found.add(folder + line)
    assert found == {entry.path for entry in entries}
    for entry in entries:
        if isinstance(entry, File):
            name = ":" + entry.path.replace("/", ":")
            copy = run_tool(["hcopy", "-m", name, "-"], home=tmp_path).stdout
            expected = (entry.type + entry.creator, entry.data, entry.resource)
            assert _mac_binary(copy) == expected, entry.path


@pytest.mark.parametrize("name", ["plain", "small-blocks", "deep-trees", "journaled", "hfsx"])
def test_7zip_reads_the_same_hfsplus_volume(name: str, tmp_path: Path) -> None:
    block = 512 if name == "small-blocks" else 4096
    entries = (*_tree(block), File(path="Åéß 한글", data=b"unicode"))
    volume = hfsplus.volume(
        entries=entries,
        block_size=block,
        records_per_node=3 if name == "deep-trees" else None,
        journaled=name == "journaled",
        hfsx=name == "hfsx",
        case_sensitive=name == "hfsx",
    )
    path, out = tmp_path / "image", tmp_path / "out"
    volume.image().write(path)
    run_tool(["7zz", "x", "-y", f"-o{out}", str(path)], home=tmp_path)
    found = {
        normalize("NFC", str(file.relative_to(out / "errpath"))): file.read_bytes()
        for file in out.rglob("*")
        if file.is_file() and not file.relative_to(out / "errpath").parts[0].startswith(".journal")
    }
    expected = {normalize("NFC", e.path): e.data for e in entries if isinstance(e, File)}
    assert {name: data for name, data in found.items() if not name.endswith(":rsrc")} == expected


def test_7zip_finds_a_volume_in_its_wrapper(tmp_path: Path) -> None:
    path, out = tmp_path / "image", tmp_path / "out"
    hfs.wrapper(hfsplus.volume().image()).image().write(path)
    run_tool(["7zz", "x", "-y", f"-o{out}", str(path)], home=tmp_path)
    assert (out / "errpath" / "readme").read_bytes() == b"errpath\n"
