"""--image: a volume of the user's in the place of the one that mkfs makes."""

from __future__ import annotations

import lzma
from collections.abc import Iterator
from pathlib import Path

import pytest

from errpath.cases.lifecycle import parse_filesystems, plan
from errpath.cli.main import main
from errpath.errors import UsageError
from errpath.filesystems import known_filesystems, load_filesystem
from errpath.filesystems.mkfs import VALID, has_valid, image, image_kinds, unmade, use_own_image
from errpath.images.crafted.catalogue import base_image
from errpath.runner.options import RunOptions

_OWN = base_image("hfsplus").patched(100_000, b"mine")


@pytest.fixture
def volume(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "volume.img.xz"
    path.write_bytes(lzma.compress(_OWN.to_bytes()))
    yield path
    use_own_image(None)


def test_it_stands_for_the_valid_image(volume: Path) -> None:
    made = image("hfsplus")
    before = volume.read_bytes()
    assert use_own_image(volume) == "hfsplus"
    assert image("hfsplus").key == _OWN.key != made.key
    assert image("hfsplus", "truncated").size < _OWN.size
    # Without --fs, its filesystem is the one that is meant.
    assert parse_filesystems("") == ("hfsplus",)
    assert parse_filesystems("hfs") == ("hfs",)
    devices = [one.case.device for one in plan(("hfsplus",), "d") if one.case is not None]
    assert devices
    assert all(device.image is not None and device.image.key == _OWN.key for device in devices)
    assert volume.read_bytes() == before
    use_own_image(None)
    assert image("hfsplus").key == made.key
    assert parse_filesystems("") == known_filesystems()


def test_a_filesystem_without_a_mkfs_has_one_then(volume: Path, tmp_path: Path) -> None:
    unmakable = [
        name
        for name in known_filesystems()
        if (recipe := load_filesystem(name).image) is not None and not recipe.valid
    ]
    if "befs" not in unmakable:
        pytest.skip("befs volumes can be made")
    path = tmp_path / "befs"
    path.write_bytes(bytes(512 + 32) + b"1SFB" + bytes(100_000))
    assert not has_valid(load_filesystem("befs"))
    assert use_own_image(path) == "befs"
    assert VALID in image_kinds(load_filesystem("befs"))
    assert unmade(load_filesystem("befs")) == ""


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"x" * 5000, "no filesystem that is known by its magic number; expected a volume of "),
        (bytes(0x10034) + b"ReIsEr2Fs" + bytes(99), "holds reiserfs; expected a volume of "),
        (b"", "empty; expected an image"),
    ],
)
def test_what_is_no_volume_is_one_line(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(UsageError) as caught:
        use_own_image(path)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (["sweep"], 2),
        (["run", "killsb-hfs-d-plain-mount-rw"], 4),
        (["compare", "--patch", "none"], 125),
        (["test", "killsb"], 4),
    ],
)
def test_commands_refuse_it_before_they_build_anything(
    words: list[str], status: int, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main([*words, "--image", str(tmp_path / "none")]) == status
    text = capfd.readouterr()
    said = f"{tmp_path}/none: No such file; expected an image"
    assert said in text.err + text.out
    assert "Traceback" not in text.err + text.out


def test_reruns_and_workers_get_it() -> None:
    options = RunOptions.parse(["--image", "volume.img"])
    assert options.image.image == Path("volume.img")
    assert RunOptions.parse(options.to_argv()) == options
