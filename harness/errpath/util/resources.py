"""Places of the files that come with errpath: guest definitions, kernel fragments, suites."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

__all__ = ["CHECKOUT", "GUESTS", "SUITES"]

_PACKAGE = Path(str(resources.files("errpath"))).resolve()
# The checkout: the package lies in harness/, its source root.
CHECKOUT = _PACKAGE.parents[1]
# Guest definitions, kernel fragments, the agent, kernel modules and patches.
GUESTS = CHECKOUT / "guests"
# The suites that `errpath run` and the nightly jobs name.
SUITES = CHECKOUT / "suites"
