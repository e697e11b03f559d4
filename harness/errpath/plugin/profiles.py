"""Profiles of hypothesis: how long the search among mutated images goes on."""

from __future__ import annotations

from hypothesis import HealthCheck, Phase, settings

__all__ = ["NAMES", "NIGHTLY", "QUICK", "register", "search_seconds"]

# What a run of the suite does by default, `--hypothesis-profile smoke` (errpath's own
# tests) and `nightly`.
QUICK, SMOKE, NIGHTLY = "quick", "smoke", "nightly"
# Mutants of a round.
_EXAMPLES = {QUICK: 20, SMOKE: 200, NIGHTLY: 1000}
NAMES = tuple(_EXAMPLES)
# Seconds of wall time for each filesystem; 0 for a single round.
_SECONDS = {NIGHTLY: 1800.0}


def register() -> None:
    """Make the profiles known; `--hypothesis-profile` chooses one."""
    for name, examples in _EXAMPLES.items():
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
