"""Places of the files that come with errpath: guest definitions, kernel fragments, suites.

In a checkout `guests/` and `suites/` lie beside `harness/`; a wheel has them in the package.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import resources
from pathlib import Path

from errpath.errors import UsageError

__all__ = [
    "CRAFTED_IMAGES",
    "FILESYSTEMS",
    "GUESTS",
    "PYTEST_WORDS",
    "ROOT",
    "SUITES",
    "shipped_files",
    "shipped_suites",
    "suite_path",
]

_PACKAGE = Path(str(resources.files("errpath"))).resolve()
_CHECKOUT = _PACKAGE.parent.parent
_INSTALLED = (_PACKAGE / "guests").is_dir()
# What holds `guests` and `suites`: the checkout, or the installed package.
ROOT = _PACKAGE if _INSTALLED else _CHECKOUT
# Guest definitions, kernel fragments, the agent, kernel modules and patches.
GUESTS = ROOT / "guests"
# The suites that `errpath test`, `errpath run` and the nightly jobs name.
SUITES = ROOT / "suites"
# A YAML file for each filesystem.
FILESYSTEMS = _PACKAGE / "filesystems"
# A YAML file for each filesystem whose images are crafted.
CRAFTED_IMAGES = _PACKAGE / "images" / "crafted"
# errpath's own tests come with the checkout only.
_OWN_TESTS = "selftest"
# For pytest over the shipped suites: node ids are the same in a checkout and from a wheel, and no
# configuration of the project around the environment has a say.
PYTEST_WORDS = ("--rootdir", str(ROOT), "-c", str(_PACKAGE / "plugin" / "suites.ini"))


def shipped_suites() -> tuple[str, ...]:
    """Names of the suites."""
    if not SUITES.is_dir():
        return ()
    return tuple(
        path.name
        for path in sorted(SUITES.iterdir())
        if (path / "__init__.py").is_file() and path.name != _OWN_TESTS
    )


def suite_path(text: str) -> str:
    """The pytest argument of a suite `NAME[/FILE][::TEST]`; `suites/` before it changes nothing.

    Raises:
        UsageError: there is no such suite.
    """
    name, mark, test = text.partition("::")
    inner = name.removeprefix("suites/").rstrip("/")
    path = SUITES / inner
    if inner.split("/")[0] not in shipped_suites() or ".." in path.parts or not path.exists():
        known = ", ".join(shipped_suites())
        raise UsageError(f"{text}: no such suite; expected one of {known}")
    return f"{path}{mark}{test}"


def shipped_files() -> Iterator[tuple[str, Path]]:
    """Every file that has a say in a verdict, by its name in a checkout, in order."""
    found = []
    for top, directory in (("harness/errpath", _PACKAGE), ("guests", GUESTS), ("suites", SUITES)):
        for path in directory.rglob("*"):
            inner = path.relative_to(directory)
            elsewhere = directory == _PACKAGE and inner.parts[0] in ("guests", "suites")
            skipped = {"__pycache__", _OWN_TESTS} & set(inner.parts)
            if path.is_file() and not elsewhere and not skipped:
                found.append((f"{top}/{inner}", path))
    yield from sorted(found)
