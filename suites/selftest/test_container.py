"""The container's recipe, run in a Debian root made by mmdebstrap: no engine, no image.

As an unprivileged user mmdebstrap makes a user namespace with the ranges of /etc/subuid, which is
what a rootless engine does.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import string
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from errpath.util.apt import find_mirror
from suites.selftest.paths import ROOT

_RECIPE = ROOT / "docs" / "install" / "Containerfile"
# Of a Debian image.
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_AUTHORITIES = Path("/etc/ssl/certs/ca-certificates.crt")
_LENT_AUTHORITIES = "/etc/errpath-authorities.crt"
# A kernel is fetched and compiled, unless the volume has one: a directory whose content it begins
# with, a cache of before.
_VOLUME = os.environ.get("ERRPATH_VOLUME", "")
_SECONDS = 5400.0
# What is tried in the container: words after its entry point.
_TRIED = (
    ("--version",),
    ("doctor",),
    ("test", "hfs", "-q", "-m", "setup_bdev_super and EIO"),
)


@dataclass
class _Recipe:
    """The instructions of a Containerfile, of those kinds that ours has."""

    image: str = ""
    environment: dict[str, str] = field(default_factory=lambda: {"PATH": _PATH, "HOME": "/root"})
    # Where the checkout is copied to.
    copied: str = ""
    runs: list[str] = field(default_factory=list)
    volumes: list[str] = field(default_factory=list)
    directory: str = "/"
    entry: list[str] = field(default_factory=list)


def _recipe() -> _Recipe:
    recipe = _Recipe()
    for line in _RECIPE.read_text().splitlines():
        word, _, rest = line.partition(" ")
        match word:
            case "" | "#":
                pass
            case "FROM":
                recipe.image = rest
            case "ENV":
                for pair in shlex.split(rest):
                    name, _, value = pair.partition("=")
                    expanded = string.Template(value).substitute(recipe.environment)
                    recipe.environment[name] = expanded
            case "COPY":
                source, recipe.copied = rest.split()
                assert source == "."
            case "RUN":
                recipe.runs.append(rest)
            case "VOLUME":
                recipe.volumes.append(rest)
            case "WORKDIR":
                recipe.directory = rest
            case "ENTRYPOINT":
                recipe.entry = re.findall(r'"([^"]*)"', rest)
            case _:
                pytest.fail(f"{_RECIPE}: {word}: not understood by this test")
    return recipe


def test_the_recipe_is_one_script_of_the_checkout() -> None:
    recipe = _recipe()
    assert recipe.image.startswith("debian:")
    (run,) = recipe.runs
    shell, path = run.split()
    script = ROOT / Path(path).relative_to(recipe.copied)
    assert subprocess.run([shell, "-n", script], check=False).returncode == 0
    assert recipe.environment["ERRPATH_CACHE"] in recipe.volumes
    assert recipe.entry == ["errpath"]


@pytest.mark.qemu
@pytest.mark.kernel_build
@pytest.mark.by_hand
def test_the_recipe_in_a_bare_debian(tmp_path: Path) -> None:
    """From nothing: packages, a kernel and a suite, with no privilege but that of the namespace."""
    if shutil.which("mmdebstrap") is None:
        pytest.skip("no mmdebstrap (Debian package mmdebstrap)")
    recipe = _recipe()
    checkout = tmp_path / "checkout.tar"
    listed = ["git", "-C", str(ROOT), "ls-files", "-z"]
    packed = [*listed, "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(packed, capture_output=True, check=True).stdout
    tar = ["tar", "-C", str(ROOT), "--null", "--files-from=-", "-cf", str(checkout)]
    subprocess.run(tar, input=names, check=True)
    # A proxy of the host's may have an authority of its own.
    environment = recipe.environment | {"PIP_CERT": _LENT_AUTHORITIES}
    words = [f"{name}={value}" for name, value in environment.items()]
    enter = shlex.join(["env", "-i", *words])

    def inside(script: str) -> str:
        return f'--customize-hook=chroot "$1" {enter} sh -c {shlex.quote(script)}'

    needed = [recipe.copied, recipe.directory, *recipe.volumes]
    places = " ".join(f'"$1"{shlex.quote(one)}' for one in needed)
    # What an engine gives a container beside /proc, /sys and /dev.
    shared = 'mkdir -p "$1/dev/shm" && mount -t tmpfs tmpfs "$1/dev/shm"'
    cache = recipe.environment["ERRPATH_CACHE"]
    tried = [
        f"cd {recipe.directory} && {shlex.join([*recipe.entry, *one])} && echo === done"
        for one in _TRIED
    ]
    release = recipe.image.removeprefix("debian:").removesuffix("-slim")
    argv = [
        *("mmdebstrap", "--variant=minbase", "--format=null"),
        f"--customize-hook=mkdir -p {places}",
        f"--customize-hook=tar-in {checkout} {recipe.copied}",
        f"--customize-hook=upload {_AUTHORITIES} {_LENT_AUTHORITIES}",
        *((f"--customize-hook=sync-in {_VOLUME} {cache}",) if _VOLUME else ()),
        f"--customize-hook={shared}",
        *(inside(run) for run in recipe.runs),
        *(inside(f"{one} >&2") for one in tried),
        '--customize-hook=umount "$1/dev/shm"',
        *(release, "/dev/null", find_mirror()),
    ]
    with (tmp_path / "log").open("wb") as log:
        done = subprocess.run(
            argv, stdout=log, stderr=subprocess.STDOUT, timeout=_SECONDS, check=False
        )
    text = (tmp_path / "log").read_text(errors="replace")
    assert done.returncode == 0, text[-4000:]
    assert text.count("\n=== done") == len(_TRIED), text[-4000:]
    assert re.search(r"(?m)^errpath \d", text)
    assert not re.search(r"(?m)^missing ", text)
    assert re.search(r"(?m)^\d+ passed", text), text[-4000:]
