"""Sources in a git tree, at a revision or as checked out, without touching the checkout.

As checked out means: HEAD and the uncommitted changes of tracked files. Untracked files are not
part of the kernel (a tree is full of scratch files); `git add -N FILE` makes one tracked.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from errpath.errors import SourceError
from errpath.kernel.source.tree import EXECUTABLE, LINK, REGULAR, File
from errpath.util.process import ProgramError, run

__all__ = ["GitRevision", "find_git_root", "open_git_tree"]

# How many files are fetched at once.
_BATCH = 2000


def find_git_root(directory: Path) -> Path | None:
    """`directory` if it is the top of a git work tree or a bare repository, else None."""
    done = _git(directory, "rev-parse", "--is-bare-repository", "--show-cdup", check=False)
    if done is None:
        return None
    words = done.decode().split("\n")
    return directory.resolve() if words[0] == "true" or words[1:2] == [""] else None


def open_git_tree(
    root: Path, revision: str | None = None
) -> tuple[GitRevision, dict[str, File | None]]:
    """A tree at `revision`, or as checked out; with its uncommitted changes in the latter case.

    Raises:
        SourceError: the tree has no such revision.
    """
    wanted = revision if revision is not None else "HEAD"
    done = _git(root, "rev-parse", "--verify", "--quiet", f"{wanted}^{{commit}}", check=False)
    if done is None:
        raise SourceError(f"{root}: no such revision: {wanted} (expected a commit, tag or branch)")
    base = GitRevision(root.resolve(), done.decode().strip(), revision)
    return base, {} if revision is not None else _uncommitted(root)


@dataclass(frozen=True)
class GitRevision:
    """One commit of a git repository. `revision` is what the user called it, None for HEAD."""

    root: Path
    commit: str
    revision: str | None = None

    @property
    def identity(self) -> str:
        """The commit, after `git:`."""
        return f"git:{self.commit}"

    @property
    def lineage(self) -> str:
        """The tree's name and a digest of its path."""
        # One workspace for all revisions of a tree, so that a bisection builds incrementally.
        name = hashlib.sha256(str(self.root).encode()).hexdigest()[:10]
        return f"git-{self.root.name}-{name}"

    @property
    def description(self) -> str:
        """The tree, the revision as it was asked for, and the commit."""
        at = f"@{self.revision}" if self.revision else ""
        return f"{self.root}{at} ({self.commit[:12]})"

    def manifest(self) -> dict[str, str]:
        """Path → mode and blob of every file; submodules have none."""
        listing = _git(self.root, "ls-tree", "-r", "-z", "--full-tree", self.commit) or b""
        tokens = {}
        for line in listing.decode(errors="surrogateescape").split("\0"):
            if line:
                kind, _, path = line.partition("\t")
                mode, what, blob = kind.split()
                if what == "blob":
                    tokens[path] = f"{mode}:{blob}"
        return tokens

    def fetch(self, paths: Iterable[str]) -> Iterator[tuple[str, File]]:
        """The content of some files; paths that the commit lacks are left out."""
        tokens = self.manifest()
        wanted = [path for path in paths if path in tokens]
        # Two revisions may differ in most of their files: not all of them at once in memory.
        for start in range(0, len(wanted), _BATCH):
            yield from self._batch(wanted[start : start + _BATCH], tokens)

    def _batch(self, wanted: list[str], tokens: dict[str, str]) -> Iterator[tuple[str, File]]:
        blobs = [tokens[path].partition(":")[2] for path in wanted]
        request = "".join(f"{blob}\n" for blob in blobs).encode()
        rest = _git(self.root, "cat-file", "--batch", stdin=request) or b""
        at = 0
        for path in wanted:
            end = rest.index(b"\n", at)
            size = int(rest[at:end].split()[2])
            yield path, File(rest[end + 1 : end + 1 + size], _mode(tokens[path]))
            at = end + 1 + size + 1

    def populate(self, directory: Path) -> None:
        """Check the commit out into `directory` by way of an index of our own."""
        with tempfile.TemporaryDirectory() as scratch:
            env = {"GIT_INDEX_FILE": f"{scratch}/index"}
            _git(self.root, "read-tree", self.commit, env=env)
            _git(self.root, "checkout-index", "-a", "-f", f"--prefix={directory}/", env=env)

    def describe(self) -> dict[str, str]:
        """What `spec.load_base` needs to find the commit again."""
        return {
            "kind": "git",
            "root": str(self.root),
            "commit": self.commit,
            "revision": self.revision or "",
        }


def _mode(token: str) -> int:
    return {"100755": EXECUTABLE, "120000": LINK}.get(token.partition(":")[0], REGULAR)


def _uncommitted(root: Path) -> dict[str, File | None]:
    listing = _git(root, "diff", "--name-only", "--no-renames", "-z", "HEAD", "--") or b""
    overlay: dict[str, File | None] = {}
    for name in filter(None, listing.decode(errors="surrogateescape").split("\0")):
        path = root / name
        if path.is_symlink():
            overlay[name] = File(os.fsencode(path.readlink()), LINK)
        elif path.is_file():
            mode = EXECUTABLE if os.access(path, os.X_OK) else REGULAR
            overlay[name] = File(path.read_bytes(), mode)
        elif not path.exists():
            overlay[name] = None
    return overlay


def _git(
    root: Path,
    *words: str,
    stdin: bytes | None = None,
    env: dict[str, str] | None = None,
    check: bool = True,
) -> bytes | None:
    """What git prints; None if it fails and that is an answer (`check=False`)."""
    # Git must not refresh the index of the user's checkout; `diff` does so without asking whether
    # it may take a lock.
    quiet = ("--no-optional-locks", "-c", "diff.autoRefreshIndex=false")
    argv: list[str | Path] = ["git", *quiet, "-C", root, *words]
    try:
        return run(argv, stdin=stdin, env=env).stdout
    except ProgramError as error:
        if not check:
            return None
        raise SourceError(f"{root}: git {words[0]}: {error}") from error
