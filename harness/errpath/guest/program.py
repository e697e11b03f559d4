"""Programs of ours that run in a guest: static, from C in `guests/`."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from errpath.errors import InfrastructureError
from errpath.util import process
from errpath.util.cache import cache_root, scratch_directory, store_bytes
from errpath.util.deadline import Deadline
from errpath.util.resources import GUESTS

__all__ = ["COMMON", "C_FLAGS", "guest_program"]

# What all of them share.
COMMON = GUESTS / "common"
C_FLAGS = (
    "-std=gnu11",
    "-O2",
    "-static",
    "-Wall",
    "-Wextra",
    "-Werror",
    "-Wmissing-prototypes",
    "-Wstrict-prototypes",
)
# Debian packages of the headers.
_PACKAGES = {"jansson": "libjansson-dev"}


def guest_program(name: str, *, libraries: Sequence[str] = ()) -> bytes:
    """The program of `guests/NAME`, compiled once for its sources and compiler.

    Raises:
        ToolMissingError: no compiler.
        InfrastructureError: it does not compile; the text names the first error.
    """
    sources = [
        path for directory in (GUESTS / name, COMMON) for path in sorted(directory.glob("*.[ch]"))
    ]
    words = [*C_FLAGS, *(f"-l{library}" for library in libraries)]
    compiler = process.run(["gcc", "--version"]).stdout
    digest = hashlib.sha256(compiler + " ".join(words).encode())
    for source in sources:
        digest.update(source.name.encode() + b"\0" + source.read_bytes())
    cached = cache_root() / name / digest.hexdigest()[:32]
    if not cached.exists():
        files = [path for path in sources if path.suffix == ".c"]
        store_bytes(cached, _compile(name, files, libraries), mode=0o755)
    return cached.read_bytes()


def _compile(name: str, sources: Sequence[Path], libraries: Sequence[str]) -> bytes:
    linked = [f"-l{library}" for library in libraries]
    with scratch_directory() as scratch:
        out = scratch / name
        argv: list[str | Path] = ["gcc", *C_FLAGS, f"-I{COMMON}", "-o", out, *sources, *linked]
        done = process.run(argv, check=False, deadline=Deadline.after(120, f"{name} to compile"))
        if done.returncode != 0:
            text = done.stderr.decode(errors="replace")
            first = next((line for line in text.splitlines() if "error" in line), text.strip())
            lacking = (library for library in libraries if library in text)
            hint = "".join(f"; expected Debian package {_PACKAGES[one]}" for one in lacking)
            raise InfrastructureError(f"guests/{name}: {first}{hint}")
        return out.read_bytes()
