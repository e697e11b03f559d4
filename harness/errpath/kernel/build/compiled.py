"""What a directory's Makefile compiles, and how much of the code that is in a configuration.

`foo-y`, `foo-objs` and `foo-$(CONFIG_X)` name the objects of a module. Code between #ifdefs of a
file that is compiled counts as compiled.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from errpath.kernel.build.modindex import assignments

__all__ = ["Share", "compiled_share", "objects_of", "source_files"]

_PART = re.compile(r"^[\w-]+-(?:y|m|objs|\$\((?P<symbol>CONFIG_\w+)\))$")
_PREFIX = "$(addprefix"


@dataclass(frozen=True)
class Share:
    """Lines of C in a directory and below it."""

    compiled: int
    total: int
    # Files that are not compiled, below the directory.
    left_out: tuple[str, ...] = ()

    @property
    def percent(self) -> int:
        """Of the lines, rounded down: 100 means all of it."""
        return 100 * self.compiled // self.total if self.total else 0


def objects_of(makefile: str, config: Mapping[str, str]) -> frozenset[str]:
    """Objects that a Makefile compiles in a configuration, such as `libxfs/xfs_ag.o`."""
    found = set()
    for target, words in assignments(makefile):
        match = _PART.match(target)
        if match and (match["symbol"] is None or config.get(match["symbol"]) in ("y", "m")):
            found |= set(_objects(words))
    return frozenset(found)


def source_files(makefile: str, module: str = "") -> tuple[str, ...]:
    """The C files that a Makefile names in whatever configuration, tests apart, below its
    directory; of one `module` (as in `lsmod`) alone, if it is given. One that only stands for its
    parts (`hfs.o`) is among them."""
    found: dict[str, None] = {}
    for target, words in assignments(makefile):
        if "test" in target.lower():
            continue
        part = _PART.match(target)
        of = target.rpartition("-")[0].replace("-", "_") if part else ""
        for word in _objects(words):
            whose = of or word.removesuffix(".o").replace("-", "_")
            if "test" not in word and module in ("", whose):
                found[word] = None
    return tuple(f"{name.removesuffix('.o')}.c" for name in found if name.endswith(".o"))


def compiled_share(sources: Mapping[str, str], makefile: str, config: Mapping[str, str]) -> Share:
    """What share of some files is compiled. `sources` maps paths below the Makefile's directory to
    their text."""
    objects = objects_of(makefile, config)
    # What is included by another file is compiled with it.
    texts = "\n".join(sources.values())
    included = set(re.findall(r'#include "(\S+\.c)"', texts))
    compiled = total = 0
    left_out = []
    for path, text in sorted(sources.items()):
        if not path.endswith(".c"):
            continue
        lines = text.count("\n")
        total += lines
        if f"{path.removesuffix('.c')}.o" in objects or path.rpartition("/")[2] in included:
            compiled += lines
        else:
            left_out.append(path)
    return Share(compiled, total, tuple(left_out))


def _objects(words: Iterable[str]) -> Iterator[str]:
    prefix = ""
    expect_prefix = False
    for word in words:
        if word == _PREFIX:
            expect_prefix = True
        elif expect_prefix:
            prefix, expect_prefix = word.rstrip(","), False
        else:
            if word.rstrip(")").endswith(".o"):
                yield prefix + word.rstrip(")")
            if word.endswith(")"):
                prefix = ""
