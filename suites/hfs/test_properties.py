"""Any mutated image: its mount ends in success or an errno, and what mounts survives being used.

hypothesis makes the mutants, in rounds; see harness/hunt.py for how they go through the guests. The
round and its seed are printed, and every finding with the blob that makes its image again.
"""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest
from hypothesis import given, seed, settings
from hypothesis import strategies as st

from harness import profiles
from harness.hunt import Hunt, Prey, Trophy
from harness.images import Image
from harness.images.catalogue import BASES, base_image, base_volume
from harness.images.hfs import HfsVolume
from harness.images.hfsplus import HfsPlusVolume
from harness.images.mutant import Mutant
from harness.images.strategies import mutants
from harness.knownissues import load_known_issues
from harness.rig import Rig, executor_boot

_KNOWN = Path(__file__).with_name("known_issues.yaml")


def _bases(filesystem: str) -> list[Image]:
    """The bases of a filesystem. Writing to HFS with blocks over 1024 bytes hangs by itself
    (docs/findings/hfs-mdb-commit-deadlock.md), and to one HFS+ volume crashes
    (docs/findings/hfsplus-update-parent-split.md), so that nothing would be learned from them."""
    wanted = HfsVolume if filesystem == "hfs" else HfsPlusVolume
    found = []
    for name in BASES:
        volume = base_volume(name)
        large = isinstance(volume, HfsVolume) and volume.block_size > 1024
        if isinstance(volume, wanted) and not large and name != "hfsplus-unlink-splits":
            found.append(base_image(name))
    return found


def _round(filesystem: str, number: int, profile: settings) -> list[Prey]:
    """The mutants of one round; the same number gives the same ones."""
    found: dict[tuple[str, bool], Prey] = {}

    @seed(number)
    @settings(profile)
    @given(mutants(_bases(filesystem)), st.booleans())
    def collect(mutant: Mutant, readonly: bool) -> None:
        found.setdefault((mutant.blob, readonly), Prey(mutant, readonly))

    collect()
    return list(found.values())


def _first_seed(request: pytest.FixtureRequest, profile: str) -> int:
    wanted = request.config.getoption("hypothesis_seed", None)
    if wanted not in (None, "random"):
        return int(wanted)
    # The short runs are the same every time: they tell whether the kernel has changed.
    same = profile != profiles.NIGHTLY and wanted is None
    return 0 if same else random.SystemRandom().getrandbits(32)


@pytest.mark.qemu
@pytest.mark.parametrize("filesystem", ["hfs", "hfsplus"])
def test_a_mutated_image_ends_in_success_or_an_errno(
    filesystem: str, kernel_rig: Rig, request: pytest.FixtureRequest
) -> None:
    profile = settings.get_current_profile_name()
    if profile not in profiles.NAMES:
        profile = profiles.QUICK
    hunt = Hunt(
        filesystem,
        executor_boot(kernel_rig, (filesystem,), ()),
        load_known_issues(_KNOWN),
        kernel_rig.progress,
    )
    first = number = _first_seed(request, profile)
    began = time.monotonic()
    trophies: list[Trophy] = []
    while True:
        found = hunt.run(_round(filesystem, number, settings.get_profile(profile)))
        for trophy in found:
            # At once: a search of hours may be ended before its last line.
            kernel_rig.progress.say(str(trophy))
        trophies += found
        number += 1
        if time.monotonic() - began >= profiles.search_seconds(profile):
            break
    elapsed = time.monotonic() - began
    known = ", ".join(f"{name} {count}" for name, count in sorted(hunt.seen.items())) or "none"
    kernel_rig.progress.say(
        f"{filesystem}: {hunt.tried} mutants in {elapsed:.0f} s ({hunt.tried / elapsed:.1f}/s), "
        f"{hunt.mounted} mounted; --hypothesis-seed={first}, {number - first} rounds; known bugs: "
        f"{known}; {len(trophies)} new, {hunt.again} times again"
    )
    if trophies:
        pytest.fail("\n\n".join(map(str, trophies)), pytrace=False)
    if hunt.unjudged:
        text = f"{len(hunt.unjudged)} mutants without a verdict: {hunt.unjudged[0]}"
        pytest.fail(text, pytrace=False)
