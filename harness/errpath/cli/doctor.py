"""`errpath doctor`: what this machine has, what it lacks, and how to get it."""

from __future__ import annotations

import argparse
import functools
import importlib.util
import os
import shutil
import stat
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from errpath.errors import ErrpathError, InfrastructureError
from errpath.filesystems import hfsprogs, known_filesystems, load_filesystem
from errpath.guest.accel import KvmVerdict, kvm_verdict
from errpath.guest.agent import find_busybox
from errpath.guest.qemu import QEMU
from errpath.util import process
from errpath.util.cache import cache_root
from errpath.util.deadline import Deadline
from errpath.util.process import program_path

__all__ = ["Finding", "Host", "Need", "add_parser", "examine", "examine_packages"]

_INSTALL_SECONDS = 900.0
# As systemd's tmpfiles.d has it.
_MOUNTS = "../proc/self/mounts"


@dataclass(frozen=True)
class Need:
    """Something that a run needs, and the Debian package that brings it."""

    what: str
    package: str
    present: Callable[[], bool]
    # What is lost without it, where a run is possible all the same.
    lost: str = ""


@dataclass(frozen=True)
class Host:
    """What is looked for, and how."""

    needs: Callable[[], tuple[Need, ...]] = lambda: (*NEEDS, *_image_makers())
    # Takes `again`: whether KVM is proven anew.
    kvm: Callable[..., KvmVerdict] = kvm_verdict
    # What costs nothing but a test or a convenience where it is missing.
    notes: Callable[[], tuple[Finding, ...]] = lambda: (_hfsprogs(), _drgn())
    # The table of mounts that mkfs.nilfs2 and mkfs.ocfs2 read. systemd makes it; a machine without
    # it, such as a container or a fresh Debian root, has none.
    mount_table: Path = Path("/etc/mtab")
    # GiB that the cache takes: a kernel source, an object tree and a few builds.
    disk: float = 6.0
    # Unpacks Debian's hfsprogs where fsck.hfsplus is missing.
    install_hfsprogs: Callable[[], None] = lambda: _install_hfsprogs()
    user: Callable[[], int] = os.geteuid


@dataclass(frozen=True)
class Finding:
    """One line of the examination."""

    # "ok", "missing" or "note".
    mark: str
    text: str
    # Debian package that mends it.
    package: str = ""


def _program(name: str, package: str, *, lost: str = "") -> Need:
    return Need(name, package, functools.partial(_present, name), lost=lost)


def _image_makers() -> tuple[Need, ...]:
    """The mkfs programs of the filesystems, and what each is for."""
    found: dict[tuple[str, str], list[str]] = {}
    for name in known_filesystems():
        recipe = load_filesystem(name).image
        if recipe is not None and recipe.mkfs:
            found.setdefault((recipe.mkfs[0], recipe.package), []).append(name)
    return tuple(
        Need(
            program,
            package,
            functools.partial(_present, program),
            lost=f"cases of {', '.join(names)} are skipped",
        )
        for (program, package), names in found.items()
    )


def _present(program: str) -> bool:
    return program_path(program) is not None


def _file(path: str, package: str) -> Need:
    """A file that the compiler finds."""

    def present() -> bool:
        if program_path("gcc") is None:
            return False
        done = process.run(["gcc", f"-print-file-name={path}"], check=False)
        return done.text.strip() != path

    return Need(path, package, present)


def _header(name: str, package: str) -> Need:
    def present() -> bool:
        if program_path("gcc") is None:
            return False
        source = f"#include <{name}>\n".encode()
        argv = ["gcc", "-E", "-x", "c", "-", "-o", "/dev/null"]
        return process.run(argv, stdin=source, check=False).returncode == 0

    return Need(name, package, present)


NEEDS: tuple[Need, ...] = (
    _program(QEMU, "qemu-system-x86"),
    _program("gcc", "gcc"),
    _program("make", "make"),
    _program("flex", "flex"),
    _program("bison", "bison"),
    _program("bc", "bc"),
    _program("patch", "patch"),
    _program("xz", "xz-utils"),
    _program("cpio", "cpio"),
    _program("git", "git"),
    _program("perl", "perl"),
    _program("setpriv", "util-linux"),
    # They judge the images that the tests write.
    _program("hls", "hfsutils"),
    _program("7zz", "7zip"),
    _program("addr2line", "binutils"),
    _header("libelf.h", "libelf-dev"),
    _header("openssl/ssl.h", "libssl-dev"),
    _header("jansson.h", "libjansson-dev"),
    _program("spatch", "coccinelle", lost="no errpath audit"),
    _program("gdb", "gdb", lost="no errpath debug"),
    _program("mmdebstrap", "mmdebstrap", lost="no Debian root for errpath suite"),
    _program("qemu-img", "qemu-utils", lost="no qcow2 images (--image)"),
    _program("zstd", "zstd", lost="no .zst images (--image)"),
    _file("libc.a", "libc6-dev"),
    Need("static busybox", "busybox-static", lambda: find_busybox() is not None),
    Need(
        "Debian archive keys",
        "debian-archive-keyring",
        lambda: any(Path("/usr/share/keyrings").glob("debian-archive-keyring.*")),
    ),
)


def add_parser(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], *, host: Host | None = None
) -> None:
    """Add the `doctor` command; `host` is this machine unless given."""
    parser = commands.add_parser(
        "doctor", help="list missing programs and packages, or install them"
    )
    parser.add_argument(
        "--install", action="store_true", help="install the missing Debian packages with apt-get"
    )
    parser.add_argument("--probe-kvm", action="store_true", help="prove KVM again, not from memory")
    parser.set_defaults(handler=functools.partial(_doctor, host or Host()))


def examine(host: Host | None = None, *, probe_kvm: bool = False) -> tuple[Finding, ...]:
    """Everything that a run needs, one finding each."""
    host = host or Host()
    findings = []
    for need in host.needs():
        if need.present():
            findings.append(Finding("ok", need.what))
        elif need.lost:
            text = f"{need.what}: not found, {need.lost}; Debian package {need.package}"
            findings.append(Finding("note", text, need.package))
        else:
            text = f"{need.what}: not found; Debian package {need.package}"
            findings.append(Finding("missing", text, need.package))
    findings.append(_mount_table(host.mount_table))
    verdict = host.kvm(again=probe_kvm) if program_path(QEMU) else None
    if verdict is not None:
        text = "KVM works" if verdict.works else f"no KVM, TCG instead: {verdict.reason}"
        findings.append(Finding("ok" if verdict.works else "note", text))
    return (*findings, *host.notes(), examine_disk(host.disk))


def examine_packages() -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Debian packages without which nothing runs, and those whose absence costs some cases."""
    needs = Host().needs()
    needed = {need.package for need in needs if not need.lost}
    wished = {need.package for need in needs if need.lost} - needed
    return tuple(sorted(needed)), tuple(sorted(wished))


def _mount_table(path: Path) -> Finding:
    if path.exists():
        return Finding("ok", str(path))
    text = f"{path}: not found, no volumes of nilfs2 and ocfs2; `errpath doctor --install` links it"
    return Finding("note", f"{text} to {_MOUNTS}")


def _hfsprogs() -> Finding:
    """A note only: nothing but tests of the image writers needs it."""
    if hfsprogs.find_program("fsck.hfsplus") is not None:
        return Finding("ok", "fsck.hfsplus")
    text = "fsck.hfsplus: not found; `errpath doctor --install` unpacks Debian's hfsprogs privately"
    return Finding("note", text)


def _drgn() -> Finding:
    """A note only: `errpath debug --drgn` needs it."""
    if importlib.util.find_spec("drgn") is not None:
        return Finding("ok", "drgn")
    text = "drgn: not found, no errpath debug --drgn; expected pip install 'errpath[inspect]'"
    return Finding("note", text)


def examine_disk(expected: float, files: Callable[[Path], Iterable[Path]] | None = None) -> Finding:
    """The room for the cache, in GiB; `files` lists the cache."""
    root = cache_root()
    at = root
    while not at.exists():
        at = at.parent
    free = shutil.disk_usage(at).free / 2**30
    size = sum(map(_size, (files or list_files)(root))) / 2**30
    text = f"cache {root}: {size:.1f} GiB used, {free:.1f} GiB free"
    if free + size < expected:
        return Finding("missing", f"{text}; expected {expected:g} GiB for a kernel build")
    return Finding("ok", text)


def list_files(root: Path) -> Iterator[Path]:
    """Files of a directory, where others make and remove some meanwhile, but for what is mounted
    there: a Debian root in the making has a /proc."""
    for top, directories, names in os.walk(root):
        directories[:] = [name for name in directories if not os.path.ismount(Path(top, name))]
        yield from (Path(top, name) for name in names)


def _size(path: Path) -> int:
    """Bytes of a file; 0 for what is none, or has gone since: a build may be under way."""
    try:
        status = path.lstat()
    except OSError:
        return 0
    return status.st_size if stat.S_ISREG(status.st_mode) else 0


def _doctor(host: Host, arguments: argparse.Namespace) -> int:
    findings = examine(host, probe_kvm=arguments.probe_kvm)
    packages = sorted({finding.package for finding in findings if finding.package})
    if arguments.install and packages:
        _install(packages, host.user())
    if arguments.install:
        host.install_hfsprogs()
        if not host.mount_table.exists() and host.user() == 0:
            _link_mount_table(host.mount_table)
        findings = examine(host)
    for finding in findings:
        print(f"{finding.mark:<8} {finding.text}")
    missing = [finding for finding in findings if finding.mark == "missing"]
    if missing and not arguments.install:
        print("\n`errpath doctor --install` installs the missing packages (as root).")
    return 1 if missing else 0


def _install_hfsprogs() -> None:
    if hfsprogs.find_program("fsck.hfsplus") is not None:
        return
    try:
        hfsprogs.install()
    except (ErrpathError, OSError) as error:
        print(f"note     hfsprogs: {error}")


def _link_mount_table(path: Path) -> None:
    try:
        path.symlink_to(_MOUNTS)
    except OSError as error:
        print(f"note     {path}: {error.strerror}")


def _install(packages: list[str], user: int) -> None:
    """Install Debian packages, as `user`.

    Raises:
        InfrastructureError: not root, no apt-get, or apt-get failed.
    """
    if user != 0:
        raise InfrastructureError(
            f"doctor --install: not root; expected `apt-get install {' '.join(packages)}` as root"
        )
    environment = {"DEBIAN_FRONTEND": "noninteractive"}
    deadline = Deadline.after(_INSTALL_SECONDS, "apt-get")
    try:
        process.run(["apt-get", "-qq", "update"], env=environment, deadline=deadline)
    except ErrpathError as error:
        # One suite of many may be out of reach; the packages may still be had.
        print(f"note     {error}")
    process.run(
        ["apt-get", "-qq", "install", "--no-install-recommends", "-y", *packages],
        env=environment,
        deadline=deadline,
    )
