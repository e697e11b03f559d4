"""Profiles of hypothesis: how long the search among mutated images goes on."""

from __future__ import annotations

from hypothesis import HealthCheck, Phase, settings

__all__ = ["NIGHTLY", "SMOKE", "register", "search_seconds"]

# What the tests do unless told otherwise, and `--hypothesis-profile nightly`.
SMOKE, NIGHTLY = "smoke", "nightly"
# Seconds of wall time for each filesystem; 0 for a single round.
_SECONDS = {NIGHTLY: 1800.0}


def register() -> None:
    """Make the profiles known; `--hypothesis-profile` chooses one."""
    for name, examples in ((SMOKE, 200), (NIGHTLY, 1000)):
        settings.register_profile(
            name,
            max_examples=examples,
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        )


def search_seconds(profile: str) -> float:
    """How long to go on with further rounds; 0 for one round."""
    return _SECONDS.get(profile, 0.0)
