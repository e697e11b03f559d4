"""Generated volumes are valid, and mutants are what their blobs say."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from errpath.errors import UsageError
from errpath.images import Image
from errpath.images.crafted.catalogue import BASES, base_image
from errpath.images.crafted.document import dumps, loads
from errpath.images.crafted.mutant import Mutant
from errpath.images.crafted.strategies import hfs_volumes, hfsplus_volumes, mutants
from errpath.images.hfs import hfs, hfsplus
from errpath.images.hfs.hfs import HfsVolume
from errpath.images.hfs.hfsplus import HfsPlusVolume
from suites.selftest.images.kernel_model import Device
from suites.selftest.images.kernel_model_hfs import mount_hfs
from suites.selftest.images.kernel_model_hfsplus import mount_hfsplus
from suites.selftest.images.tools import fsck

_BASES: list[Image] = [
    base_image(name) for name in BASES if name not in ("blank", "map-to-the-end")
]


@settings(deadline=None)
@given(st.one_of(hfs_volumes(), hfsplus_volumes()))
def test_generated_volumes_mount_in_the_model_and_lose_nothing(
    volume: HfsVolume | HfsPlusVolume,
) -> None:
    image = volume.image()
    assert dumps(loads(image)) == image
    device = Device(image.to_bytes())
    if isinstance(volume, HfsVolume):
        outcome = mount_hfs(device)
        assert outcome.readonly is False
    else:
        outcome = mount_hfsplus(device)
        assert outcome.readonly == volume.journaled
    assert outcome.errno == "", outcome.messages


def _printable(volume: HfsVolume) -> bool:
    """fsck takes a volume's name for a format: `%n` ends it with SIGABRT, `%s` with SIGSEGV."""
    return "%" not in volume.name


# Further on, fsck decomposes some characters otherwise than TN1150 and the kernel.
@settings(deadline=None, max_examples=40)
@given(st.one_of(hfs_volumes().filter(_printable), hfsplus_volumes(last="\u017f")))
def test_fsck_passes_generated_volumes(volume: HfsVolume | HfsPlusVolume) -> None:
    program = "fsck.hfs" if isinstance(volume, HfsVolume) else "fsck.hfsplus"
    with tempfile.TemporaryDirectory() as folder:
        status, output = fsck(volume.image(), Path(folder), program=program)
    assert status == 0, output


@settings(deadline=None)
@given(mutants(_BASES))
def test_a_mutant_is_made_again_from_its_blob(mutant: Mutant) -> None:
    again = Mutant.from_blob(mutant.blob, mutant.base)
    assert again.image() == mutant.image()
    assert mutant.notes
    assert dumps(loads(mutant.image())) == mutant.image()


def test_a_blob_of_another_base_is_refused() -> None:
    mutant = Mutant(base=base_image("hfs"), pieces=((0, b"x"),))
    with pytest.raises(UsageError, match="the blob is of hfs"):
        Mutant.from_blob(mutant.blob, base_image("hfsplus"))
    with pytest.raises(UsageError, match="not the blob of a mutated image"):
        Mutant.from_blob("nonsense", base_image("hfs"))


def test_a_blob_is_short() -> None:
    mutant = Mutant(base=base_image("hfsplus"), pieces=((1024, b"\0" * 8), (5000, b"ab")))
    assert len(mutant.blob) < 120


def test_volumes_of_the_defaults_are_among_the_bases() -> None:
    assert base_image("hfs").to_bytes() == hfs.volume().image().to_bytes()
    assert base_image("hfsplus").to_bytes() == hfsplus.volume().image().to_bytes()
