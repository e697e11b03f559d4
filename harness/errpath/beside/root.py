"""Debian roots for guests: packages and a suite's tree, built once, kept as a squashfs.

A guest mounts the squashfs read-only below an overlay in memory, so that every guest starts from
the same files and leaves none behind. `guests/roots/NAME.yaml` says what is in a root. mmdebstrap
makes it, without root where the machine allows user namespaces; a suite is built in it, natively.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tarfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from errpath.errors import InfrastructureError, UsageError
from errpath.util import process, yamlfile
from errpath.util.apt import find_mirror
from errpath.util.cache import cache_root, scratch_directory
from errpath.util.deadline import Deadline
from errpath.util.files import replacing
from errpath.util.locks import file_lock
from errpath.util.process import ProgramError
from errpath.util.progress import Progress
from errpath.util.resources import GUESTS

__all__ = ["RootDefinition", "load_root", "make_root", "pack_tree"]

_BUILD_SECONDS = 3600.0
# Where the suite's tree is in a root.
_TREE = "/suite"


@dataclass(frozen=True)
class RootDefinition:
    """What is in a root. The name is the file's."""

    description: str
    # Of Debian, such as bookworm.
    release: str
    components: tuple[str, ...]
    packages: tuple[str, ...]
    # Shell commands that build the suite in its tree.
    build: tuple[str, ...] = ()
    name: str = field(default="", init=False)


def load_root(name: str) -> RootDefinition:
    """The definition `guests/roots/NAME.yaml`.

    Raises:
        UsageError: there is none; DefinitionError: its file is wrong.
    """
    path = GUESTS / "roots" / f"{name}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(one.stem for one in path.parent.glob("*.yaml")))
        raise UsageError(f"root {name}: no file {path}; expected one of: {known}")
    root = yamlfile.load(path, RootDefinition)
    object.__setattr__(root, "name", path.stem)
    return root


def pack_tree(tree: Path, archive: Path) -> None:
    """A tar of a suite's tree: of a git tree what is committed, of any other directory all.

    Raises:
        UsageError: there is no such directory.
    """
    if not tree.is_dir():
        raise UsageError(f"--tree {tree}: not a directory; expected a suite's sources")
    bare = (tree / "HEAD").is_file() and (tree / "objects").is_dir()
    if bare or (tree / ".git").exists():
        process.run(["git", "-C", tree, "archive", "--format=tar", "-o", archive, "HEAD"])
        return
    with tarfile.open(archive, "w") as tar:
        for path in sorted(tree.iterdir()):
            tar.add(path, path.name, filter=_plain)


def _plain(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """The same whoever packs it, and whenever."""
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    member.mtime = 0
    return member


def make_root(definition: RootDefinition, archive: Path | None, progress: Progress) -> Path:
    """The squashfs of a root with the suite whose tree is packed in `archive`; from the cache where
    definition and tree are the same.

    Raises:
        ToolMissingError: mmdebstrap or mksquashfs is not installed.
        InfrastructureError: packages cannot be fetched, or the suite does not build.
    """
    digest = hashlib.sha256(repr(definition).encode())
    if archive is not None:
        digest.update(archive.read_bytes())
    final = cache_root() / "roots" / f"{definition.name}-{digest.hexdigest()[:16]}.squashfs"
    final.parent.mkdir(parents=True, exist_ok=True)
    with file_lock(final.with_suffix(".lock"), f"root {definition.name}", progress=progress):
        if final.exists():
            return final
        began = time.monotonic()
        # In a user namespace mmdebstrap writes as users who may not be able to enter ours.
        reachable = os.geteuid() != 0
        with (
            progress.step(f"root {definition.name}"),
            scratch_directory(reachable=reachable) as scratch,
        ):
            out = scratch / "root.squashfs"
            if reachable:
                out.touch()
                out.chmod(0o666)
                if archive is not None:
                    archive = Path(shutil.copy(archive, scratch / archive.name))
                    archive.chmod(0o644)
            _run(definition, archive, out, final.with_suffix(".log"))
            # Not on the same file system, perhaps.
            with replacing(final) as part:
                shutil.move(out, part)
        size = final.stat().st_size / 2**20
        seconds = time.monotonic() - began
        progress.say(f"root {definition.name}: {size:.0f} MiB, made in {seconds:.0f} s")
    return final


def _run(definition: RootDefinition, archive: Path | None, out: Path, log: Path) -> None:
    for tool in ("mmdebstrap", "mksquashfs"):
        process.find_program(tool)
    # Hooks are shell words of ours; paths reach them in the environment.
    hooks = [f'mkdir -p "$1{_TREE}"']
    if archive is not None:
        hooks.append(f'tar -C "$1{_TREE}" --no-same-owner -xf "$ERRPATH_TREE"')
    hooks += [
        f"chroot \"$1\" env -u TMPDIR sh -ec 'cd {_TREE}; {command}'"
        for command in definition.build
    ]
    hooks += [
        'rm -rf "$1"/var/lib/apt/lists/* "$1"/var/cache/apt/*',
        # What mmdebstrap has mounted there is not the root's.
        'mksquashfs "$1" "$ERRPATH_OUT" -quiet -no-progress -noappend'
        " -wildcards -e 'proc/*' 'sys/*' 'dev/*' 'tmp/*'",
    ]
    argv: list[str | Path] = [
        "mmdebstrap",
        *("--variant=minbase", "--format=null"),
        f"--components={','.join(definition.components)}",
        f"--include={','.join(definition.packages)}",
        *(f"--customize-hook={hook}" for hook in hooks),
        *(definition.release, "/dev/null", find_mirror()),
    ]
    environment = {"ERRPATH_OUT": str(out), "ERRPATH_TREE": str(archive), "TMPDIR": str(out.parent)}
    log.unlink(missing_ok=True)
    try:
        process.run(
            argv,
            env={**environment, "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"},
            log=log,
            deadline=Deadline.after(_BUILD_SECONDS, f"root {definition.name}"),
        )
    except ProgramError as error:
        lines = log.read_text(errors="replace").splitlines()
        printed = next((line for line in reversed(lines) if line.startswith("E: ")), str(error))
        raise InfrastructureError(f"root {definition.name}: {printed} (see {log})") from None
