"""The configuration that came with a report, as the file of one kernel's request."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from errpath.errors import UsageError
from errpath.guest.definition import load_guest
from errpath.intake.attempts import REPRO_GUEST, SLOW_GUEST
from errpath.intake.report_config import differences, estimate, report_fragment, summary
from errpath.kernel import BuiltKernel
from errpath.kernel.build.kconfig import FRAGMENTS, load_requested, parse_config
from errpath.runner.options import Choice
from errpath.util.background import processors
from errpath.util.cache import cache_root, store_bytes

__all__ = ["ReportedConfig", "read_config"]

# Options that make a kernel several times slower.
_SLOW = frozenset(f"CONFIG_{name}" for name in ("KASAN", "KMSAN", "KCSAN", "PROVE_LOCKING"))
# What a kernel needs of errpath's own where the report's whole configuration is taken.
_NEEDED = ("base", "checks", "filesystems")
# Differences that are reported by name.
_TOLD_MAX = 60


@dataclass(frozen=True)
class ReportedConfig:
    """A report's configuration that a reproducer asks for."""

    # Of the file as it came.
    name: str
    text: str
    lean: bool

    def applied(self, choice: Choice) -> Choice:
        """The same choice, of a kernel with this configuration."""
        request = choice.testbed.kernel
        data = self._fragment.encode()
        name = f"report-{hashlib.sha256(data).hexdigest()[:20]}.config"
        file = store_bytes(cache_root() / "configs" / name, data)
        own = request.fragments if self.lean else _fragments(_NEEDED)
        testbed = replace(choice.testbed, kernel=replace(request, fragments=(file, *own)))
        if testbed.guest == REPRO_GUEST and self._slow:
            testbed = replace(testbed, guest=SLOW_GUEST)
        return replace(choice, testbed=testbed)

    @property
    def announcement(self) -> str:
        """What is taken of it, and how long that takes to compile, in one line."""
        count = len(parse_config(self._fragment))
        count_on = processors()
        minutes = estimate(self._fragment, count_on, whole=not self.lean)
        what = "its lines on filesystems, memory and checks" if self.lean else "all of it"
        hint = "" if self.lean else "; --lean takes less"
        return (
            f"{self.name}: {what}, {count} lines; unless it is in the cache, compiling takes about "
            f"{minutes:.0f} min on {count_on} processors{hint}"
        )

    def differing(self, kernel: BuiltKernel) -> list[str]:
        """What is otherwise in a kernel that was built with it, in lines."""
        usual = load_guest(REPRO_GUEST).fragments if self.lean else _fragments(_NEEDED)
        own = load_requested(usual, ())
        final = kernel.options()
        found = list(differences(parse_config(self.text), final, own, lean=self.lean))
        return summary(found, _TOLD_MAX)

    @property
    def _slow(self) -> bool:
        values = parse_config(self._fragment)
        return any(values.get(symbol) == "y" for symbol in _SLOW)

    @property
    def _fragment(self) -> str:
        return report_fragment(self.text, self.name, lean=self.lean)


def _fragments(names: Iterable[str]) -> tuple[Path, ...]:
    return tuple(FRAGMENTS / f"{name}.config" for name in names)


def read_config(path: Path, *, lean: bool) -> ReportedConfig:
    """The configuration in a file.

    Raises:
        UsageError: it cannot be read, or is none.
    """
    try:
        text = path.read_text(errors="replace")
    except OSError as error:
        raise UsageError(
            f"--config {path}: {error.strerror}; expected a kernel's .config"
        ) from None
    report_fragment(text, str(path), lean=lean)
    return ReportedConfig(path.name, text, lean)
