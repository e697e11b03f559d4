"""What the writers take and refuse, and that equal input gives equal images."""

from __future__ import annotations

import pytest

from errpath.errors import UsageError
from errpath.images import Image, blank
from errpath.images.crafted.fields import read_field
from errpath.images.hfs import hfs, hfsplus
from errpath.images.hfs.entries import Directory, File, HardLink, Symlink
from errpath.images.hfs.hfs import HfsVolume
from errpath.images.hfs.partition import with_new_map, with_old_map
from errpath.images.hfs.volumes import find_volumes


def test_the_same_volume_is_the_same_image() -> None:
    assert hfs.volume().image() == hfs.volume().image()
    assert hfsplus.volume().image().sha256 == hfsplus.volume().image().sha256
    assert hfs.volume(date=1).image() != hfs.volume(date=2).image()


def test_files_are_added_to_a_new_volume() -> None:
    empty = hfsplus.volume(entries=())
    volume = empty.with_directory("dir").with_file("dir/file", data=b"x", fragments=1)
    assert empty.entries == ()
    assert [entry.path for entry in volume.entries] == ["dir", "dir/file"]
    assert read_field(volume.image(), "vh.fileCount") == 1
    other = hfs.volume(entries=()).with_directory("dir").with_file("dir/file", resource=b"x")
    assert read_field(other.image(), "mdb.drFilCnt") == 1


def test_dates_are_those_given() -> None:
    file = File(path="a", created=86400, modified=2 * 86400)
    image = hfs.volume(entries=(file,)).image()
    assert read_field(image, "catalog.file[16].data.filCrDat") == 2082844800 + 86400
    assert read_field(image, "catalog.file[16].data.filMdDat") == 2082844800 + 2 * 86400


def test_hard_links_share_one_file() -> None:
    image = hfsplus.volume(
        entries=(File(path="a", data=b"shared"), HardLink(path="b", target="a"))
    ).image()
    assert read_field(image, "catalog.file[17].data.permissions.special") == 2
    assert read_field(image, "catalog.file[17].key.parentID") == 16
    links = [read_field(image, f"catalog.file[{n}].data.permissions.special") for n in (18, 19)]
    assert links == [17, 17]


@pytest.mark.parametrize(
    ("entry", "error"),
    [
        (File(path="a//b"), "names separated by single slashes"),
        (File(path="nosuch/b"), "expected the directory nosuch before"),
        (Symlink(path="a", target="b"), "HFS has no Symlink"),
        (File(path="ж"), "MacRoman has no"),
        (File(path="a", data=b"x", fragments=2), "1 blocks in 2 extents"),
    ],
)
def test_hfs_refuses_what_it_cannot_hold(entry: File | Symlink, error: str) -> None:
    with pytest.raises(UsageError, match=error):
        hfs.volume(entries=(entry,)).image()


def test_names_that_are_equal_on_the_volume_are_refused() -> None:
    pair = (File(path="name"), File(path="NAME"))
    with pytest.raises(UsageError, match="distinguishes from the others"):
        hfs.volume(entries=pair).image()
    with pytest.raises(UsageError, match="differs from the others"):
        hfsplus.volume(entries=pair).image()
    assert hfsplus.volume(entries=pair, hfsx=True, case_sensitive=True).image()


@pytest.mark.parametrize("target", ["nosuch", "directory", "later"])
def test_links_to_nothing_are_refused(target: str) -> None:
    entries = (
        Directory(path="directory"),
        HardLink(path="link", target=target),
        File(path="later"),
    )
    with pytest.raises(UsageError, match="expected a link to a file that stands before it"):
        hfsplus.volume(entries=entries).image()


def test_volumes_that_are_too_small_are_refused() -> None:
    with pytest.raises(UsageError, match="expected 25 to 65535"):
        hfs.volume(size=10240).image()
    with pytest.raises(UsageError, match=r"the volume is full|too few"):
        hfsplus.volume(size=65536).image()
    with pytest.raises(UsageError, match=r"hold \d+ blocks of 512: expected 25 to 65535"):
        hfs.volume(size=300 << 20).image()


@pytest.mark.parametrize("size", [0, 100, 768])
def test_block_sizes_that_no_volume_has_are_refused(size: int) -> None:
    if size % 512:
        with pytest.raises(UsageError, match="expected a multiple of 512"):
            hfs.volume(block_size=size)
    with pytest.raises(UsageError, match="expected a power of two"):
        hfsplus.volume(block_size=size)


def test_case_sensitive_needs_hfsx() -> None:
    with pytest.raises(UsageError, match="expected hfsx=True"):
        hfsplus.volume(case_sensitive=True)


def test_an_embedded_volume_fills_whole_blocks() -> None:
    with pytest.raises(UsageError, match="expected a multiple of 4096"):
        hfs.wrapper(blank(5000))


@pytest.mark.parametrize("put", [with_new_map, with_old_map])
def test_a_partition_is_where_the_map_says(put: object) -> None:
    inner = hfs.volume().image()
    disk = with_new_map(inner) if put is with_new_map else with_old_map(inner)
    volume = find_volumes(disk).volumes[0]
    assert (volume.offset, volume.size) == (64 * 512, inner.size)
    assert Image.from_bytes(disk.read(volume.offset, volume.size), name=inner.name) == inner


def test_maps_refuse_what_they_cannot_hold() -> None:
    image = hfs.volume().image()
    with pytest.raises(UsageError, match="expected 3 or more, behind the map"):
        with_new_map(image, start=2)
    with pytest.raises(UsageError, match="slot 2: expected 1 to 1"):
        with_new_map(image, slot=2)
    with pytest.raises(UsageError, match="slot 42: expected 0 to 41"):
        with_old_map(image, slot=42)


def test_a_wrapper_holds_the_volume_unchanged() -> None:
    inner = hfsplus.volume().image()
    disk = hfs.wrapper(inner).image()
    outer, found = find_volumes(disk).volumes
    assert not outer.plus
    assert disk.read(found.offset, inner.size) == inner.to_bytes()
    assert isinstance(hfs.wrapper(inner), HfsVolume)
