"""Places of the checkout that tests read."""

from __future__ import annotations

from pathlib import Path

__all__ = ["ROOT"]

# The checkout.
ROOT = Path(__file__).resolve().parents[2]
