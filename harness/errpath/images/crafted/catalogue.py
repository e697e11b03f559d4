"""Crafted images as data: every error exit of the mount path that bytes alone can drive into.

One YAML file per filesystem. A case names a valid base image, what is changed in it by field name,
how it is mounted, and what the kernel should answer; `exit` is the row of the list of exits that it
stands for (H and P numbers; H0 and P0 are the option parsers, RO a mount that is forced read-only,
OK one that works).
"""

from __future__ import annotations

import errno as errno_names
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

from errpath.errors import UsageError
from errpath.images.crafted.bases import BASES, base_image, base_volume
from errpath.images.crafted.fields import FieldMap
from errpath.images.hfs.layout import encode
from errpath.images.image import Image
from errpath.kernel.features.change import Change
from errpath.util.resources import CRAFTED_IMAGES
from errpath.util.yamlfile import load

__all__ = [
    "BASES",
    "BUGS",
    "Case",
    "Catalogue",
    "Expectation",
    "Unreachable",
    "base_image",
    "base_volume",
    "catalogue",
    "find_case",
]


# What an expectation says.
_EXPECTED = ("errno", "fsopen_errno", "message", "writable_only", "readonly")
# What a bug does: the task does not end; the kernel reports of itself; memory is lost; a valid
# volume is refused; data are lost or read wrong; the outcome depends on uninitialised memory.
BUGS = ("hang", "crash", "leak", "refusal", "data", "memory")


@dataclass(frozen=True)
class Expectation(Change):
    """What a kernel that has a change does instead of what the case says. All of it is given here:
    nothing is taken over from the case."""

    errno: str = ""
    fsopen_errno: str = ""
    message: str = ""
    writable_only: bool = False
    readonly: bool = False

    def of(self, case: Case) -> Case:
        """The case as such a kernel takes it."""
        return replace(case, expect=(), any_errno=False, **self.values)

    @property
    def values(self) -> dict[str, Any]:
        """By the names of the case's fields."""
        return {name: getattr(self, name) for name in _EXPECTED}


@dataclass(frozen=True)
class Case:
    """One crafted image, and what the mount of it is expected to do."""

    name: str
    # Name of a valid image in `BASES`.
    base: str
    # Row of the list of exits, e.g. H10.
    exit: str
    # Kernel function whose exit is taken, and what that checks.
    function: str
    check: str
    # Name of the errno that mount(2) gives, e.g. EINVAL; empty where the mount succeeds.
    errno: str = ""
    # The same for fsopen and what follows, where it differs.
    fsopen_errno: str = ""
    # Part of what the kernel prints; empty where it prints nothing of its own.
    message: str = ""
    # New values by field path (`errpath.images.crafted.fields`); found in the base before any is
    # written.
    set: dict[str, int] = field(default_factory=dict)
    # New text of character fields: MacRoman or UTF-16 as the field has it, padded with NUL.
    text: dict[str, str] = field(default_factory=dict)
    # New bytes of spans, in hex; a span that is longer is filled up with zeros.
    hex: dict[str, str] = field(default_factory=dict)
    # Bytes of the device; None keeps the base's.
    truncate: int | None = None
    # Mount options, as mount -o takes them, without ro and rw.
    options: str = ""
    # Mounted with MS_RDONLY.
    mount_read_only: bool = False
    # Only a mount that may write gets there; one with MS_RDONLY succeeds.
    writable_only: bool = False
    # The mount succeeds, and the kernel makes it read-only against the wish of the user.
    readonly: bool = False
    # Bytes of the device's logical sectors.
    logical_block_size: int = 512
    # A kernel bug that this image drives into, for readers; empty: none is known. The case then
    # says what should happen, and fails (suites/known-issues.yaml).
    known_issue: str = ""
    # One of BUGS: what the bug does to the guest in which the image is mounted.
    bug: str = ""
    # The bug does not show without a sanitizer: the case passes among the others.
    hidden: bool = False
    # What the bug leaves behind reaches other cases in the same guest.
    contaminates_guest: bool = False
    # What the mount gives depends on memory that was not initialised.
    any_errno: bool = False
    # Written to, unmounted and mounted again, its files have the extended attributes that they had.
    keeps_attributes: bool = False
    # The Finder information is read back too, as the attribute that the kernel shows it as.
    finder_info: bool = False
    # What kernels that have a change do instead; a kernel has one of the changes at most. The
    # fields above are for kernels that have none.
    expect: tuple[Expectation, ...] = ()

    def __post_init__(self) -> None:
        self._check_expectations()
        for name in (self.errno, self.fsopen_errno):
            if name and not hasattr(errno_names, name):
                raise ValueError(f"errno {name!r}: expected a name like EINVAL, or none")
        if self.errno and self.readonly:
            raise ValueError("readonly: expected no errno beside it, the mount succeeds")
        if self.keeps_attributes and (self.errno or self.set or self.text or self.hex):
            raise ValueError("keeps_attributes: expected a valid image")
        for name, value in (
            ("hidden", self.hidden),
            ("contaminates_guest", self.contaminates_guest),
        ):
            if value and not self.known_issue:
                raise ValueError(f"{name}: expected a known_issue beside it")
        if bool(self.bug) != bool(self.known_issue) or self.bug not in ("", *BUGS):
            raise ValueError(
                f"bug {self.bug!r}: expected one of {', '.join(BUGS)} beside known_issue"
            )
        if self.base not in BASES:
            raise ValueError(f"base {self.base!r}: expected one of {', '.join(BASES)}")
        size = self.logical_block_size
        if size < 512 or size & (size - 1):
            raise ValueError(f"logical_block_size {size}: expected a power of two from 512 on")

    def _check_expectations(self) -> None:
        marks = [one.mark for one in self.expect]
        taken = [{name: getattr(self, name) for name in _EXPECTED}]
        if self.expect and self.any_errno:
            raise ValueError("expect: expected no any_errno beside it: any answer would do")
        for one in self.expect:
            if marks.count(one.mark) > 1:
                raise ValueError(f"expect: {one.mark} twice; expected what distinguishes them")
            if one.values in taken:
                raise ValueError(f"{one.commit}: expected something that differs without it")
            one.of(self)

    def base_image(self) -> Image:
        """The valid image, at the size of the crafted one where that is larger."""
        image = base_image(self.base)
        unit = self.logical_block_size
        return image.placed(0, -(-image.size // unit) * unit)

    def image(self) -> Image:
        """The crafted image.

        Raises:
            UsageError: a field that the base does not have, or a value that does not fit it.
        """
        image = self.base_image()
        fields = FieldMap(image)
        pieces: list[tuple[int, bytes]] = []
        for path, value in self.set.items():
            found = fields.locate(path)
            pieces += found.region.patches(encode(found.kind, value))
        for path, text in self.text.items():
            found = fields.locate(path)
            wide = path.endswith(("nodeName.unicode", "attrName"))
            data = text.encode("utf-16-be" if wide else "mac_roman")
            pieces += found.region.patches(
                encode(found.kind, data.ljust(found.region.length, b"\0"))
            )
        for path, digits in self.hex.items():
            found = fields.locate(path)
            data = bytes.fromhex(digits).ljust(found.region.length, b"\0")
            pieces += found.region.patches(encode(found.kind, data))
        image = image.patched_all(pieces, name=self.name)
        return image if self.truncate is None else image.truncated(self.truncate)


@dataclass(frozen=True)
class Unreachable:
    """An exit that no image, option or shape of a device drives into."""

    exit: str
    function: str
    check: str
    # Why not, and what would.
    reason: str
    # The exits in the source that it stands for, each as "function: part of its condition and
    # statement"; the report of `errpath coverage` finds them by that.
    source: tuple[str, ...] = ()


@dataclass(frozen=True)
class Catalogue:
    """The crafted images of one filesystem."""

    # As mount -t takes it.
    filesystem: str
    cases: tuple[Case, ...]
    unreachable: tuple[Unreachable, ...] = ()

    def __post_init__(self) -> None:
        names = [case.name for case in self.cases]
        doubled = sorted({name for name in names if names.count(name) > 1})
        if doubled:
            raise ValueError(f"cases named twice: {', '.join(doubled)}; expected names that differ")


@cache
def catalogue(filesystem: str) -> Catalogue:
    """The catalogue of `hfs` or `hfsplus`.

    Raises:
        UsageError: there is none of this filesystem.
        DefinitionError: its file is wrong.
    """
    path = CRAFTED_IMAGES / f"{filesystem}.yaml"
    if not path.is_file():
        raise UsageError(f"no catalogue of {filesystem!r}: expected hfs or hfsplus")
    return load(path, Catalogue)


def find_case(name: str) -> tuple[str, Case]:
    """(filesystem, case) of this name, from all catalogues.

    Raises:
        UsageError: there is none.
    """
    for path in sorted(CRAFTED_IMAGES.glob("*.yaml")):
        for case in catalogue(path.stem).cases:
            if case.name == name:
                return path.stem, case
    raise UsageError(f"no crafted image {name!r}: `errpath images list` shows them all")
