"""Patches, applied to a copy of just the files they touch.

GNU patch does the work, so that a patch means the same here as at the kernel's own command line:
`patch -p1`. A mail, a mailbox of several, and a bare diff are all read.
"""

from __future__ import annotations

import enum
import hashlib
import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from errpath.errors import ErrpathError, PatchError, UsageError
from errpath.kernel.source.tree import EXECUTABLE, LINK, REGULAR, File, Tree
from errpath.util.cache import cache_root, store_bytes
from errpath.util.process import run

__all__ = [
    "Fit",
    "Fitting",
    "apply_patches",
    "fit",
    "given_patches",
    "patch_digest",
    "patch_id",
    "touched_paths",
]

_DIFF_LINE = re.compile(rb"^diff --git a/(\S+) b/(\S+)$", re.MULTILINE)
_OLD_NEW = re.compile(rb"^--- ([^\t\r\n]+)[^\n]*\n\+\+\+ ([^\t\r\n]+)", re.MULTILINE)
# The line that begins a file's change in a plain diff.
_FILE = re.compile(rb"^--- a/(\S+)(?=[^\n]*\n\+\+\+ )", re.MULTILINE)
_RENAME = re.compile(rb"^(?:rename|copy) (?:from|to) (\S+)$", re.MULTILINE)

_PATCHING = re.compile(r"^(?:patching|checking) (?:file|symbolic link) '?([^'\n]+?)'?(?: \(.*)?$")
_FAILED = re.compile(r"^Hunk #(\d+) FAILED at (\d+)")
_OFFSET = re.compile(r"^Hunk #\d+ succeeded at \d+ \(offset (-?\d+) lines?\)")
_FUZZ = re.compile(r"^Hunk #(\d+) succeeded at (\d+) with fuzz (\d+)")
_OUT_OF = re.compile(r"^(\d+) out of (\d+) hunks?")
_MISSING = re.compile(r"^can't find file to patch at input line (\d+)")
_MALFORMED = re.compile(r"malformed patch at line (\d+)")


class Fit(enum.Enum):
    """How patches apply to a tree."""

    EXACT = "exact"
    # Every hunk matches in full, some of them elsewhere.
    OFFSET = "offset"
    # Not all of a hunk's context matches.
    FUZZ = "fuzz"
    NOT = "not"


@dataclass(frozen=True)
class Fitting:
    """How patches apply, and what there is to say of it: lines of offset, fuzz, or why not."""

    fit: Fit
    note: str = ""


def given_patches(words: Sequence[str]) -> tuple[Path, ...]:
    """The files that `--patch` named; `-` is standard input, which is kept by its content.

    Raises:
        UsageError: no such file, nothing on standard input, or standard input more than once.
    """
    if list(words).count("-") > 1:
        raise UsageError("--patch -: expected it once, for standard input can be read only once")
    return tuple(_from_stdin() if word == "-" else _file(Path(word)) for word in words)


def _from_stdin() -> Path:
    if sys.stdin.isatty():
        raise UsageError("--patch -: expected a patch on standard input, which is a terminal")
    text = sys.stdin.buffer.read()
    if not text.strip():
        raise UsageError("--patch -: standard input is empty; expected a mail or a diff")
    name = hashlib.sha256(text).hexdigest()[:32]
    return store_bytes(cache_root() / "patches" / f"{name}.patch", text)


def _file(path: Path) -> Path:
    if not path.is_file():
        raise UsageError(f"--patch {path}: no such file; expected a mail or a diff")
    return path.absolute()


def patch_digest(paths: Iterable[Path]) -> str:
    """A hash over the content of some patches, in order.

    Raises:
        PatchError: one cannot be read.
    """
    state = hashlib.sha256()
    for path in paths:
        state.update(hashlib.sha256(_load(path)).digest())
    return state.hexdigest()[:20]


def patch_id(content: bytes) -> str:
    """git's stable name for a change, the same wherever its lines have moved to: 40 digits.

    "" without git, or where git does not read the diff.
    """
    if not re.search(rb"^diff --git ", content, re.MULTILINE):
        # git counts nothing before a header of its own.
        content = _FILE.sub(rb"diff --git a/\1 b/\1\n\g<0>", content)
    try:
        done = run(["git", "patch-id", "--stable"], stdin=content, check=False)
    except ErrpathError:
        return ""
    return next(iter(done.text.split()), "")


def touched_paths(content: bytes, name: str) -> tuple[str, ...]:
    """The files that a patch reads or writes, below the source root, in order of appearance.

    Raises:
        PatchError: it holds no diff, or one that leaves the source tree.
    """
    found: dict[str, None] = {}
    stripped = [name for pair in _DIFF_LINE.findall(content) for name in pair]
    stripped += _RENAME.findall(content)
    for pair in _OLD_NEW.findall(content):
        stripped += [word.partition(b"/")[2] for word in pair if word != b"/dev/null"]
    for word in stripped:
        path = word.decode(errors="surrogateescape")
        if not path or path.startswith("/") or ".." in path.split("/"):
            raise PatchError(f"{name}: {path or 'a file'}: expected a/FILE and b/FILE (patch -p1)")
        found[path] = None
    if not found:
        raise PatchError(f"{name}: holds no diff (expected a mail, a mailbox or a unified diff)")
    return tuple(found)


def apply_patches(
    tree: Tree, patches: Iterable[Path], tell: Callable[[str], None] = lambda line: None
) -> Tree:
    """`tree` with patches laid over it, in order. A hunk whose context does not match in full is
    reported: it may have gone where it was not meant for.

    Raises:
        PatchError: one does not apply; the text names the patch, the file and the hunk.
    """
    for patch in patches:
        tree = _apply(tree, _load(patch), patch.name, tell)
    return tree


def fit(tree: Tree, patches: Iterable[Path]) -> Fitting:
    """How patches would apply to a tree, in order.

    Raises:
        PatchError: one of them is no patch.
    """
    offsets: list[int] = []
    fuzzy: list[str] = []
    contents = [(patch.name, _load(patch)) for patch in patches]
    for name, content in contents:
        touched_paths(content, name)
    try:
        for name, content in contents:
            tree = _apply(tree, content, name, fuzzy.append, offsets.append)
    except PatchError as error:
        return Fitting(Fit.NOT, str(error))
    if fuzzy:
        return Fitting(Fit.FUZZ, fuzzy[0])
    if offsets:
        return Fitting(Fit.OFFSET, f"{max(offsets, key=abs):+d} lines")
    return Fitting(Fit.EXACT)


def _load(path: Path) -> bytes:
    try:
        # A patch that went through a mail client of the other kind would match no line.
        return path.read_bytes().replace(b"\r\n", b"\n")
    except OSError as error:
        raise PatchError(f"{path}: cannot be read: {error.strerror}") from error


def _apply(
    tree: Tree,
    content: bytes,
    name: str,
    tell: Callable[[str], None],
    moved: Callable[[int], None] = lambda lines: None,
) -> Tree:
    paths = touched_paths(content, name)
    with tempfile.TemporaryDirectory(prefix="errpath-patch-") as directory:
        scratch = Path(directory)
        before = tree.write(paths, scratch)
        argv = [
            *("patch", "-p1", "--forward", "--batch", "--no-backup-if-mismatch"),
            # Rejects go nowhere: what failed is read from the output.
            *("--reject-file=-", "--remove-empty-files"),
        ]
        done = run(argv, cwd=scratch, stdin=content, env={"LC_ALL": "C"}, check=False)
        if done.returncode != 0:
            raise PatchError(f"{name}: {_explain(done.text, paths)}")
        for line in _fuzzy(done.text):
            tell(f"{name}: {line}")
        for line in done.text.splitlines():
            if match := _OFFSET.match(line):
                moved(int(match[1]))
        after = {path: _look(scratch / path) for path in paths}
    return tree.over({path: file for path, file in after.items() if file != before.get(path)})


def _look(path: Path) -> File | None:
    if path.is_symlink():
        return File(os.fsencode(path.readlink()), LINK)
    if not path.is_file():
        return None
    return File(path.read_bytes(), EXECUTABLE if os.access(path, os.X_OK) else REGULAR)


def _fuzzy(output: str) -> Iterator[str]:
    file = ""
    for line in output.splitlines():
        if match := _PATCHING.match(line):
            file = match[1]
        elif match := _FUZZ.match(line):
            yield (
                f"{file}: hunk {match[1]} went to line {match[2]} with fuzz {match[3]}: see that "
                "it belongs there"
            )


def _explain(output: str, paths: tuple[str, ...]) -> str:
    """What GNU patch complained about first, as one line."""
    file = paths[0]
    lines = output.splitlines()
    for number, line in enumerate(lines):
        if match := _PATCHING.match(line):
            file = match[1]
        elif match := _FAILED.match(line):
            total = next((m[2] for rest in lines[number:] if (m := _OUT_OF.match(rest))), "?")
            return f"{file}: hunk {match[1]} of {total} (line {match[2]}) does not apply"
        elif _MISSING.match(line):
            return f"{_missing_file(lines[number:], file)}: no such file in this kernel"
        elif line.startswith("Reversed (or previously applied)"):
            return f"{file}: hunk 1 is applied already, or reversed"
        elif match := _MALFORMED.search(line):
            return f"{file}: malformed at line {match[1]} of the patch"
    return f"{file}: {lines[-1] if lines else 'patch failed and printed nothing'}"


def _missing_file(lines: list[str], default: str) -> str:
    for line in lines:
        if match := re.match(r"^\|(?:---|\+\+\+) [^/]+/(\S+)", line):
            return match[1]
    return default
