"""What the store hands out: requests, kernels, modules."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from errpath.kernel.build.kconfig import DEFAULT_FRAGMENTS, Dropped, parse_config

__all__ = ["BuiltKernel", "BuiltModule", "KernelRequest"]


@dataclass(frozen=True)
class KernelRequest:
    """What kernel to build."""

    # See `errpath.kernel.source.spec`.
    spec: str = "debian:7.2"
    # Mails, mailboxes or diffs, applied in this order with `patch -p1`.
    patches: tuple[Path, ...] = ()
    # Lines such as `CONFIG_FOO=y`, over the fragments.
    kconfig_add: tuple[str, ...] = ()
    # Configuration fragments; the later wins.
    fragments: tuple[Path, ...] = DEFAULT_FRAGMENTS
    # What the user calls it, such as `before`; empty for none.
    name: str = ""


@dataclass(frozen=True)
class BuiltKernel:
    """A finished kernel. The files are never written to again."""

    # Same key, same vmlinux: a patch to a filesystem that is a module changes `state`, not this.
    key: str
    # Same state, same sources and configuration, modules included.
    state: str
    # The request's name, or its spec.
    name: str
    # `uname -r`.
    release: str
    # For people, such as `debian:7.2 (7.2.12-1~bpo13+1), 1 patch`.
    description: str
    # Holds the files below.
    directory: Path
    # Directory that the compiler recorded in front of each source file, with its `/`. The files
    # there change with every build: read them with `KernelStore.source`.
    source_prefix: str
    # Configuration lines that were wished for and that this kernel did not keep.
    dropped: tuple[Dropped, ...] = ()

    @property
    def bzimage(self) -> Path:
        """The image that QEMU boots."""
        return self.directory / "bzImage"

    @property
    def vmlinux(self) -> Path:
        """With debug information."""
        return self.directory / "vmlinux"

    @property
    def system_map(self) -> Path:
        """Addresses of the kernel's symbols."""
        return self.directory / "System.map"

    @property
    def config(self) -> Path:
        """The final `.config`."""
        return self.directory / "config"

    def options(self) -> Mapping[str, str]:
        """The final configuration: symbol (with CONFIG_) to value; "n" for "is not set"."""
        return parse_config(self.config.read_text())

    @property
    def symvers(self) -> Path:
        """What vmlinux exports."""
        return self.directory / "Module.symvers"


@dataclass(frozen=True)
class BuiltModule:
    """A finished module. The files are never written to again."""

    # As in `lsmod`: with `_`.
    name: str
    # With debug information.
    path: Path
    # Same key, same module.
    key: str
    # Names of the modules that must be loaded before.
    depends: tuple[str, ...] = ()
    # As in `BuiltKernel`, for a module with sources of its own; empty for the kernel's.
    source_prefix: str = ""

    @property
    def stripped(self) -> Path:
        """The same without debug information: what a guest should load."""
        return self.path.parent / "stripped" / self.path.name
