"""Filesystem definitions: one YAML file per filesystem, beside this loader or beside a suite."""

from __future__ import annotations

import errno as errno_names
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any, Literal

from errpath.errors import DefinitionError, UsageError
from errpath.util import yamlfile
from errpath.util.resources import FILESYSTEMS, GUESTS

__all__ = [
    "EVENTS",
    "EVENT_NAMES",
    "EXPECTATIONS",
    "LOGICAL_BLOCKS",
    "PAIRS",
    "PLACES",
    "SOFT_BLOCKS",
    "SWEEP_DEFAULT",
    "SWEEP_EVENTS",
    "Before",
    "Filesystem",
    "ImageRecipe",
    "OnDisk",
    "add_filesystems",
    "home_directory",
    "known_filesystems",
    "load_filesystem",
    "remove_filesystems",
]


# Events of a superblock's life, by their letter.
EVENTS = {
    "a": "setup_bdev_super fails",
    "b": "fill_super fails at entry",
    "c": "fill_super fails by itself",
    "d": "mount and umount",
    "e": "a reconfigure that fails",
    "f": "options set, context closed",
    "g": "second mount with other flags",
    "h": "two tasks, one of which waits in the kernel",
}

# Logical block sizes of a device, bytes: more than a page needs Linux 6.15 with huge pages. And
# those that BLKBSZSET sets.
LOGICAL_BLOCKS = (512, 1024, 2048, 4096, 8192, 16384, 32768, 65536)
SOFT_BLOCKS = (512, 1024, 2048, 4096)

# Events with two tasks: one takes the first step, and a second the other while the first waits.
PAIRS = {
    "fsync-remount": "fsync(2) of what was written; remounts to read-only and back",
    "sync-grow": "sync(2) of what was written; files are made until a tree has another level",
    "sync-umount": "sync(2) of what was written; umount(2)",
    "umount-mount": "umount(2) of what was written; a mount",
    "umount-sync": "umount(2) of what was written; sync(2)",
    "mount-mount": "a mount; a mount of the same device",
    "lookup-umount": "a lookup; a lazy umount",
    "remount-remount": "a remount to read-only; a remount to read-write",
}
# Events of which a sweep fails every point; the first ones by default.
SWEEP_EVENTS = {
    "mount-ro": "mount(2) read-only",
    "mount-rw": "mount(2) read-write",
    "fsopen": "fsopen, every option, create and mount",
    "reconfigure": "remount from read-only to read-write",
    "reconfigure-ro": "remount from read-write to read-only",
    "umount": "umount of what was written",
    "context": "contexts of every type of its modules: options once, twice, closed",
    "reconfigure-options": "fspick, every option twice, reconfigure",
    "freeze": "freeze and thaw of what is mounted",
    "second-mount": "a mount of what is mounted",
    "recovery": "mount after a loss of power in the middle of writes",
    **{
        f"blocks-{size}": f"mount(2) on a device with logical blocks of {size} bytes"
        for size in LOGICAL_BLOCKS
    },
    **{
        f"soft-blocks-{size}": f"mount(2) of a device whose block size is set to {size} by ioctl"
        for size in SOFT_BLOCKS
    },
    "odd-end": "mount(2) of a device that is one sector longer than the volume",
    "short-end": "mount(2) of a device that is one sector shorter than the volume",
    "readonly-device": "mount(2) read-write of a read-only device",
    "held-device": "mount(2) of a device that is held already",
    "grow": "files are made until a tree has another level, and removed",
    **PAIRS,
}
SWEEP_DEFAULT = ("mount-ro", "mount-rw", "fsopen", "reconfigure", "reconfigure-ro", "umount")

# Their names, which `--event` takes as well.
EVENT_NAMES = {
    "a": "setup-bdev",
    "b": "fill-super",
    "c": "bad-image",
    "d": "mount",
    "e": "reconfigure",
    "f": "context",
    "g": "remount-flags",
    "h": "two-tasks",
}

# Where a task waits for another in the pairs of event h, unless a file names another function. With
# "" it is the filesystem's own.
PLACES = {
    # fsync(2): before what was written goes out.
    "fsync_remount": "file_write_and_wait_range",
    # sync(2): inside s_umount, of the first superblock that has something behind it.
    "sync_umount": "wb_wait_for_completion",
    # umount(2): the superblock is dying, and still listed.
    "umount_mount": "generic_shutdown_super",
    # A superblock that is listed and not ready: in fill_super, and before one that fails.
    "mount_mount": "",
    "mount_fails": "setup_bdev_super",
    # A lookup of a name that is not in the dentry cache: before the filesystem's own.
    "lookup_umount": "d_alloc_parallel",
    # Inside s_umount; the filesystem's own where it has one.
    "reconfigure_twice": "reconfigure_super",
}

# What a file may expect otherwise than usual (an errno's name, or "" for success), and the usual.
EXPECTATIONS = {
    # Images of zeros, cut short, and with one field of the superblock broken.
    "blank": "EINVAL",
    "truncated": "EINVAL",
    "broken": "EINVAL",
    # A valid image mounted read-write.
    "rw": "",
    # A read-only device mounted read-write; a device without a driver.
    "readonly_device": "EACCES",
    "no_driver": "ENXIO",
    "held_device": "EBUSY",
    # A second mount of the device: rw over ro, and ro over rw.
    "rw_then_ro": "EBUSY",
    "ro_then_rw": "EBUSY",
    # The good options given twice to one context.
    "option_twice": "",
    # The option of `bad_option`, at mount and at a reconfigure; a remount is one by mount(2), and
    # expected to do as the other unless it is named.
    "bad_option": "EINVAL",
    "bad_reconfigure": "EINVAL",
    "bad_remount": "EINVAL",
    # A mount on logical blocks of 4 KiB: most of the images have smaller ones.
    "blocks_4096": "EINVAL",
    # FIFREEZE.
    "freeze": "ENOTSUP",
    # An unknown option, at mount and at a reconfigure.
    "unknown_option": "EINVAL",
    "unknown_reconfigure": "EINVAL",
    "unknown_remount": "EINVAL",
    # Any reconfigure that leaves it writable; without an errno, the options decide.
    "reconfigure_rw": "",
    # A remount of a writable mount to ro.
    "reconfigure_ro": "",
    # A file on the valid image.
    "written": "",
}


@dataclass(frozen=True)
class OnDisk:
    """A structure of the volume of which a sweep breaks one field after another."""

    # Its tag, or the name of its typedef, and the files of the kernel's source that define it and
    # what is in it.
    struct: str
    headers: tuple[str, ...]
    # Byte of the volume where it begins, and where the same bytes stand again.
    at: int
    copies: tuple[int, ...] = ()
    # Byte order of integers whose type does not tell it.
    order: Literal["little", "big"] = "little"
    # Name in `errpath.images.broken.checksums.CHECKSUMS` of its checksum, and where what that is of
    # begins, if not with the structure.
    checksum: str = ""
    sum_at: int | None = None


@dataclass(frozen=True)
class ImageRecipe:
    """How to make the smallest valid image: a program of the host, a writer of ours, or a file."""

    # Bytes of the device.
    size: int
    # Program and arguments; {image} is the file to fill, {tree} a directory with one small file. A
    # program that begins with ./ lies beside the definition.
    mkfs: tuple[str, ...] = ()
    # Debian package that brings the program.
    package: str = ""
    # Environment that makes the program's output the same every time.
    environment: dict[str, str] = field(default_factory=dict)
    # Name in `errpath.images.simple.WRITERS`, instead of a program.
    writer: str = ""
    # Name of a base of the crafted images (errpath.images.crafted.bases), instead of both.
    base: str = ""
    # An image file beside the definition, instead of all of them.
    file: str = ""
    # Byte of the superblock's field that is inverted, and how many, to break a valid image.
    broken_at: int = 0
    broken_bytes: int = 4
    # Bytes that a device cut short keeps; 0 for half.
    truncated: int = 0
    # Bytes, in hex, by the place where they are written over what was made.
    changed: dict[str, str] = field(default_factory=dict)
    # Of a further volume: options that each mount of it has beside the filesystem's, errnos that
    # differ from the filesystem's, and its superblock where that is not laid out as the smallest
    # volume's.
    options: tuple[tuple[str, ...], ...] = ()
    expect: dict[str, str] = field(default_factory=dict)
    superblock: tuple[OnDisk, ...] = ()

    def __post_init__(self) -> None:
        if self.size < 512 or self.size % 512:
            raise ValueError(f"size: got {self.size}; expected sectors of 512 bytes")
        ways = [name for name in ("mkfs", "writer", "base", "file") if getattr(self, name)]
        if len(ways) > 1:
            raise ValueError(f"{' and '.join(ways)}: got both; expected one")
        if self.mkfs and not self.package and not self.mkfs[0].startswith("./"):
            raise ValueError("package: missing; expected the Debian package of mkfs")
        if self.mkfs and not any("{image}" in word for word in self.mkfs):
            raise ValueError("mkfs: expected the word {image}")
        for place, data in self.changed.items():
            if not place.isdecimal() or not re.fullmatch(r"([0-9a-f]{2})+", data):
                raise ValueError(f"changed: got {place}: {data}; expected a place, bytes in hex")
        if not 0 <= self.truncated < self.size:
            raise ValueError(f"truncated: got {self.truncated}; expected less than the size")
        if self.broken_at + self.broken_bytes > self.size or self.broken_bytes < 1:
            raise ValueError(f"broken_at: got {self.broken_at}; expected a place in the image")

    @property
    def valid(self) -> bool:
        """Whether there is a way to a valid image; otherwise only blank ones are used."""
        return bool(self.mkfs or self.writer or self.base or self.file)


@dataclass(frozen=True)
class Before:
    """What kernels give that lack a change, which is recognised as an image's `expect` does
    (`errpath.kernel.features.change`)."""

    commit: str
    # Errnos that differ from those of kernels that have it.
    expect: dict[str, str] = field(default_factory=dict)
    function: str = ""
    file: str = ""
    pattern: str = ""
    # Options in place of those that came with it.
    good_options: tuple[tuple[str, ...], ...] = ()

    def __post_init__(self) -> None:
        _check_expectations(self.expect, "before")
        if not self.expect and not self.good_options:
            raise ValueError(f"before: {self.commit}: expected what differs without it")


@dataclass(frozen=True)
class Filesystem:
    """What a mount case needs to know of a filesystem. The name is the file's."""

    # Name that mount(2) takes.
    fstype: str
    # Configuration lines that build it as a module.
    kconfig: tuple[str, ...]
    # Modules that carry it, without what they depend on; beside `kbuild`, the modules of the kernel
    # that it needs.
    modules: tuple[str, ...]
    # Its fill_super, the function that get_tree_bdev() calls, and the file that defines it.
    fill_super: str
    # Its fs_context_operations.reconfigure; "" where it has none.
    reconfigure: str
    source: str
    # Directory beside the definition with the sources and the Kbuild file of its module, where that
    # is not in the kernel.
    kbuild: str = ""
    # An option that its parser refuses, as key and value, with the errno that it gives.
    bad_option: tuple[str, ...] = ()
    bad_option_errno: str = "EINVAL"
    # Valid options that make the context own memory (strings, tables).
    good_options: tuple[tuple[str, ...], ...] = ()
    # Options that every mount needs.
    options: tuple[tuple[str, ...], ...] = ()
    # Whether a reconfigure takes the options that a mount does.
    reconfigure_options: bool = True
    # Whether it mounts only with a server behind /dev/fuse; what the device holds is then of no
    # interest to the kernel, and a blank image is one that is mounted without a server.
    served: bool = False
    # How an image of it is made; without it, no case of suites/killsb.
    image: ImageRecipe | None = None
    # Further valid volumes, with features that the smallest one has not, by name.
    volumes: dict[str, ImageRecipe] = field(default_factory=dict)
    # Its superblock, or what stands for one.
    superblock: tuple[OnDisk, ...] = ()
    # Further filesystem types that its modules register and that have contexts of their own.
    types: tuple[str, ...] = ()
    # Name of a fragment (guests/kconfig/NAME.config) that goes over the guest's own, where it does
    # not go with the other filesystems: its cases run on a second kernel, which all that name the
    # same fragment share.
    own_kernel: str = ""
    # Errnos that differ from `EXPECTATIONS`.
    expect: dict[str, str] = field(default_factory=dict)
    # What kernels without a change give instead; a kernel lacks one of the changes at most.
    before: tuple[Before, ...] = ()
    # What it prints at level err or worse where an image, an option or a forced error is the cause:
    # regular expressions of whole messages. Anything else of these levels is a failure. Without the
    # key, only what is wrong at any level is one (`errpath.oracles.messages`).
    log: tuple[str, ...] | None = None
    # Where a task waits otherwise than `PLACES` says.
    places: dict[str, str] = field(default_factory=dict)
    # Its code cannot write: a mount for writing is refused, or becomes read-only by itself.
    read_only: bool = False
    # Program and arguments that check a volume, {image}, and change nothing: status 0 where it is
    # valid. Or why there is none, of a filesystem that is mounted for writing.
    fsck: tuple[str, ...] = ()
    no_fsck: str = ""
    # Regular expressions of what it has, wrongly, against valid volumes; each with the reason why.
    fsck_wrong: dict[str, str] = field(default_factory=dict)
    # Of volumes other than the filesystem's own, it passes those that have one of these bits in the
    # byte at this offset; others it would not, whatever the kernel does with them.
    fsck_bits: tuple[int, int] | None = None
    # What it has against the filesystem's own volume where that has none of them, a regular
    # expression.
    fsck_without: str = ""
    # What of "readonly", a read-only mount, "failed", a mount that failed, and "fault", either of
    # them in which a fault fired, may write to the device all the same, and why.
    writes: dict[str, str] = field(default_factory=dict)
    # Of that, nothing but fields of HFS and HFS+ that this regular expression matches from their
    # beginning, as reports name them ("mdb.drAtrb = 0x0800 (2048), was 0x0100 (256)").
    writes_only: str = ""
    # What it cannot do, and why, by event ("e") or by event and variant ("e:injected").
    lacks: dict[str, str] = field(default_factory=dict)
    name: str = field(default="", init=False)
    # Directory of its definition.
    directory: Path = field(default=FILESYSTEMS, init=False)

    def __post_init__(self) -> None:
        _check_expectations(self.expect, "expect")
        for name, recipe in self.volumes.items():
            _check_expectations(recipe.expect, f"volumes: {name}: expect")
        for key, reason in self.lacks.items():
            if key.partition(":")[0] not in EVENTS:
                raise ValueError(f"lacks: got {key!r}; expected an event: {', '.join(EVENTS)}")
            if not reason.strip():
                raise ValueError(f"lacks: {key}: expected the reason")
        for key, reason in self.writes.items():
            if key not in ("readonly", "failed", "fault") or not reason.strip():
                known = "readonly, failed or fault"
                raise ValueError(f"writes: got {key!r}; expected {known}, and a reason")
        if self.fsck and "{image}" not in self.fsck:
            raise ValueError("fsck: expected the word {image}")
        for key in self.places:
            if key not in PLACES:
                raise ValueError(f"places: got {key!r}; expected some of: {', '.join(PLACES)}")
        if not self.modules and not self.kbuild:
            raise ValueError("modules: expected the names of its modules, or kbuild")
        patterns = [("writes_only", self.writes_only), *(("log", one) for one in self.log or ())]
        for key, pattern in patterns:
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(f"{key}: {pattern!r}: no regular expression: {error}") from None
        if not all(fragment.is_file() for fragment in self.own_fragments):
            raise ValueError(f"own_kernel: got {self.own_kernel!r}; expected a file's name")
        of_volumes = (option for recipe in self.volumes.values() for option in recipe.options)
        for option in (*self.options, *self.good_options, *of_volumes, self.bad_option):
            if len(option) > 2:
                raise ValueError(f"option {option[0]!r}: expected a key and at most one value")

    @property
    def own_fragments(self) -> tuple[Path, ...]:
        """The configuration fragments of `own_kernel`, over those of the guest."""
        return (GUESTS / "kconfig" / f"{self.own_kernel}.config",) if self.own_kernel else ()

    @property
    def kbuild_directory(self) -> Path | None:
        """Sources of a module that is not in the kernel."""
        return self.directory / self.kbuild if self.kbuild else None

    def place(self, pair: str) -> str:
        """The function at which a task waits in a pair of event h."""
        own = {"mount_mount": self.fill_super, "reconfigure_twice": self.reconfigure}
        return self.places.get(pair) or own.get(pair) or PLACES[pair]

    def as_before(self, before: Before) -> Filesystem:
        """As kernels without a change have it."""
        return self._changed(
            expect={**self.expect, **before.expect},
            good_options=before.good_options or self.good_options,
            before=(),
        )

    def on_volume(self, volume: str) -> Filesystem:
        """As it is on one of `volumes`; "" is the smallest."""
        if not volume:
            return self
        recipe = self.volumes[volume]
        return self._changed(
            options=(*self.options, *recipe.options),
            expect={**self.expect, **recipe.expect},
            superblock=recipe.superblock or self.superblock,
        )

    def _changed(self, **fields: Any) -> Filesystem:
        changed = replace(self, **fields)
        object.__setattr__(changed, "name", self.name)
        object.__setattr__(changed, "directory", self.directory)
        return changed

    def expected(self, what: str) -> str:
        """The errno's name that a kind of attempt gives, or "" for success."""
        if what == "bad_option" and what not in self.expect:
            return self.bad_option_errno
        if what.endswith("_remount") and what not in self.expect:
            return self.expected(what.replace("_remount", "_reconfigure"))
        return self.expect.get(what, EXPECTATIONS[what])


def _check_expectations(expect: Mapping[str, str], where: str) -> None:
    for key, errno in expect.items():
        if key not in EXPECTATIONS:
            raise ValueError(
                f"{where}: unknown key {key!r}; expected one of: {', '.join(EXPECTATIONS)}"
            )
        if errno and not hasattr(errno_names, errno):
            raise ValueError(f"{where}: {key}: got {errno!r}; expected a name such as EIO")


# Directories of definitions beside suites, in the order in which they were added, and how often.
_ADDED: Counter[Path] = Counter()


def add_filesystems(directory: Path) -> None:
    """Add the definitions of a directory, for the whole process."""
    _ADDED[directory.resolve()] += 1


def remove_filesystems(directory: Path) -> None:
    """Take back one `add_filesystems` of a directory."""
    _ADDED.subtract([directory.resolve()])
    if _ADDED[directory.resolve()] <= 0:
        del _ADDED[directory.resolve()]
        load_filesystem.cache_clear()


def _find(name: str) -> Path | None:
    """The file that defines a filesystem."""
    places = (directory / f"{name}.yaml" for directory in (FILESYSTEMS, *_ADDED))
    files = [path for path in places if path.is_file()]
    if len(files) > 1:
        raise DefinitionError(f"{files[1]}: filesystem {name}: also defined in {files[0]}")
    return files[0] if files else None


def known_filesystems() -> tuple[str, ...]:
    """Names of the filesystems that are defined, sorted."""
    files = (path for place in (FILESYSTEMS, *_ADDED) for path in place.glob("*.yaml"))
    return tuple(sorted({path.stem for path in files}))


@cache
def load_filesystem(name: str) -> Filesystem:
    """The definition of one filesystem.

    Raises:
        UsageError: it is not defined; DefinitionError: its file is wrong, or there are two.
    """
    path = _find(name)
    if path is None:
        known = ", ".join(known_filesystems())
        raise UsageError(f"filesystem {name}: not defined; expected one of: {known}")
    filesystem = yamlfile.load(path, Filesystem)
    object.__setattr__(filesystem, "name", name)
    object.__setattr__(filesystem, "directory", path.parent)
    image = filesystem.image.file if filesystem.image is not None else ""
    for key, place in (("kbuild", filesystem.kbuild), ("file", image)):
        if place and not (path.parent / place).exists():
            raise DefinitionError(f"{path}: {key}: no {place} beside this file")
    return filesystem


def home_directory(name: str) -> str:
    """The directory of a filesystem in the kernel's source, with its slash."""
    return f"{Path(load_filesystem(name).source).parent}/"
