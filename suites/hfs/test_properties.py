"""Any mutated image: its mount ends in success or an errno, and what mounts survives being used.

hypothesis makes the mutants, in rounds; `errpath.analysis.fuzz` runs them in guests. The round and
its seed are printed, and every finding with the blob that makes its image again.
"""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest
from hypothesis import given, seed, settings
from hypothesis import strategies as st

from errpath.analysis.fuzz import FuzzFinding, FuzzSearch, MutatedMount
from errpath.images.crafted.bases import base_image, sound_bases
from errpath.images.crafted.mutant import Mutant
from errpath.images.crafted.strategies import mutants
from errpath.plugin import profiles
from errpath.runner.known_issue_files import load_known_issues
from errpath.runner.testbed import Testbed

_KNOWN = Path(__file__).with_name("known_issues.yaml")


def _round(filesystem: str, number: int, profile: settings) -> list[MutatedMount]:
    """The mutants of one round; the same number gives the same ones."""
    found: dict[tuple[str, bool], MutatedMount] = {}

    @seed(number)
    @settings(profile)
    @given(mutants([base_image(name) for name in sound_bases(filesystem)]), st.booleans())
    def collect(mutant: Mutant, readonly: bool) -> None:
        found.setdefault((mutant.blob, readonly), MutatedMount(mutant, readonly))

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
    filesystem: str, testbed: Testbed, request: pytest.FixtureRequest
) -> None:
    profile = settings.get_current_profile_name()
    if profile not in profiles.NAMES:
        profile = profiles.QUICK
    search = FuzzSearch(
        filesystem,
        testbed.guest_source((filesystem,), ()),
        load_known_issues(_KNOWN),
        testbed.progress,
        testbed.options.guest,
        usual=testbed.usual,
    )
    first = number = _first_seed(request, profile)
    began = time.monotonic()
    findings: list[FuzzFinding] = []
    while True:
        mounts = _round(filesystem, number, settings.get_profile(profile))
        found = search.run(mounts, len(mounts))
        for finding in found:
            # At once: a search of hours may be ended before its last line.
            testbed.progress.say(str(finding))
        findings += found
        number += 1
        if time.monotonic() - began >= profiles.search_seconds(profile):
            break
    elapsed = time.monotonic() - began
    known = ", ".join(f"{name} {count}" for name, count in sorted(search.seen.items())) or "none"
    testbed.progress.say(
        f"{filesystem}: {search.tried} mutants in {elapsed:.0f} s "
        f"({search.tried / elapsed:.1f}/s), {search.mounted} mounted; "
        f"--hypothesis-seed={first}, {number - first} rounds; known bugs: {known}; "
        f"{len(findings)} new, {search.again} times again"
    )
    if findings:
        pytest.fail("\n\n".join(map(str, findings)), pytrace=False)
    if search.unjudged:
        text = f"{len(search.unjudged)} mutants without a verdict: {search.unjudged[0]}"
        pytest.fail(text, pytrace=False)
