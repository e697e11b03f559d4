"""Kernels that somebody else built: an object tree made with `make O=…`, only ever read."""

from __future__ import annotations

import contextlib
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from errpath.errors import SourceError, UsageError
from errpath.kernel.build.built import BuiltModule, KernelRequest
from errpath.kernel.build.kbuild import Kbuild
from errpath.kernel.build.kconfig import check_finished, load_requested, parse_config
from errpath.kernel.build.modindex import module_name
from errpath.kernel.build.modules import compile_sources, load_module, make_external, save_module
from errpath.kernel.build.state import combine
from errpath.kernel.layout import Layout, write_json
from errpath.kernel.symbols.elf import modinfo
from errpath.util.locks import file_lock
from errpath.util.progress import Progress

__all__ = ["Prebuilt", "find_prebuilt_module", "import_prebuilt", "source_of"]

# As CONFIG_MODULE_COMPRESS_* names installed modules.
_COMPRESSED = (".gz", ".xz", ".zst")
# Fragments that a finished build needs nothing of: they are about the time that a build takes.
_BUILD_ONLY = ("lean",)
_PARTS = {
    "arch/x86/boot/bzImage": "bzImage",
    "vmlinux": "vmlinux",
    ".config": "config",
    "System.map": "System.map",
    "include/config/kernel.release": "",
}


def import_prebuilt(layout: Layout, request: KernelRequest, directory: Path) -> str:
    """Copy a finished build's products into the cache, unless they are there; their key.

    Sizes and times of change stand for the content.

    Raises:
        UsageError: patches or configuration were asked for: there is nothing left to apply them to.
        SourceError: a part is missing.
        ConfigError: its configuration lacks what every test needs.
    """
    if request.patches or request.kconfig_add:
        raise UsageError(
            f"{request.spec}: a finished build takes no patch and no configuration "
            "(expected a kernel source for those)"
        )
    stamps = []
    for name in _PARTS:
        try:
            status = (directory / name).stat()
        except FileNotFoundError as error:
            raise SourceError(f"{directory}: a build directory without {name}") from error
        stamps.append(f"{name}:{status.st_size}:{status.st_mtime_ns}")
    needed = load_requested([one for one in request.fragments if one.stem not in _BUILD_ONLY], ())
    check_finished(needed, parse_config((directory / ".config").read_text()), str(directory))
    key = combine("prebuilt", str(directory), *stamps)
    if not (layout.builds / key / "meta.json").exists():
        with layout.making(layout.builds / key) as product:
            for name, target in _PARTS.items():
                if target:
                    shutil.copyfile(directory / name, product / target)
            for name in ("Module.symvers", "vmlinux.symvers"):
                if (directory / name).exists():
                    shutil.copyfile(directory / name, product / "Module.symvers")
                    break
            release = (directory / "include/config/kernel.release").read_text().strip()
            source = source_of(directory)
            write_json(
                product / "meta.json",
                {
                    "release": release,
                    "description": str(directory),
                    "prebuilt": str(directory),
                    "source_prefix": f"{source}/" if source else "",
                },
            )
    return key


def source_of(objects: Path) -> Path | None:
    """The source tree that an object tree was made from, if it is still there."""
    link = objects / "source"
    if link.is_dir():
        return link.resolve()
    makefile = objects / "Makefile"
    if makefile.exists():
        match = re.search(r"^include (\S+)/Makefile$", makefile.read_text(), re.MULTILINE)
        if match and Path(match[1]).is_dir():
            return Path(match[1])
    return None


def find_prebuilt_module(objects: Path, name: str) -> Path | None:
    """The finished module of a name or path below a build directory.

    None if it is built in.

    Raises:
        SourceError: it is neither; the text says how to make it.
    """
    wanted = module_name(name)
    found = [path for path in sorted(objects.rglob("*.ko")) if module_name(path.name) == wanted]
    if found:
        return found[0]
    builtin = objects / "modules.builtin"
    lines = builtin.read_text().splitlines() if builtin.exists() else []
    if any(module_name(line) == wanted for line in lines):
        return None
    packed = next(
        (path for path in sorted(objects.rglob("*.ko.*")) if _unpacked(path) == wanted), None
    )
    if packed is not None:
        raise SourceError(f"{packed}: compressed; expected {wanted}.ko, as make modules leaves it")
    raise SourceError(f"{objects}: has no module {wanted} (expected {wanted}.ko; make modules)")


def _unpacked(path: Path) -> str:
    """The module that a compressed file such as hfs.ko.zst holds; "" for any other file."""
    return module_name(path.stem) if path.suffix in _COMPRESSED else ""


@dataclass(frozen=True)
class Prebuilt:
    """A finished build of the user's: its modules are copied, modules of ours are built beside."""

    layout: Layout
    progress: Progress
    jobs: int
    # The kernel's key, and the directory that it was imported from.
    key: str
    objects: Path

    def modules(self, names: Iterable[str]) -> tuple[BuiltModule, ...]:
        """Modules that were built there, with what they depend on before them.

        Raises:
            SourceError: there is no such module.
        """
        order: dict[str, BuiltModule] = {}
        seen: set[str] = set()

        def visit(name: str) -> None:
            if module_name(name) in seen:
                return
            seen.add(module_name(name))
            file = find_prebuilt_module(self.objects, name)
            if file is not None:
                module = self._copied(file)
                for dependency in module.depends:
                    visit(dependency)
                order[module.name] = module

        for name in names:
            visit(name)
        return tuple(order.values())

    def compile(self, sources: Mapping[str, str]) -> dict[str, str]:
        """What the compiler printed for each C text, by name; "" where it compiled."""
        with self._kbuild("probing features") as kbuild:
            return compile_sources(self.layout, kbuild, sources)

    def external(
        self, directory: Path, key: str, *, allow_undefined: bool, header: str = ""
    ) -> None:
        """Build a module of ours against it."""
        with self._kbuild(f"building {directory.name}") as kbuild:
            make_external(
                self.layout,
                kbuild,
                directory,
                self.layout.modules / key,
                kernel=self.key,
                allow_undefined=allow_undefined,
                header=header,
            )

    @contextlib.contextmanager
    def _kbuild(self, what: str) -> Iterator[Kbuild]:
        source = source_of(self.objects)
        if source is None:
            raise SourceError(f"{self.objects}: its source tree is gone; {what} needs it")
        notes = self.layout.work / f"prebuilt-{self.key}"
        lock = self.layout.locks / notes.name
        with file_lock(lock, what, progress=self.progress) as descriptor:
            notes.mkdir(parents=True, exist_ok=True)
            yield Kbuild(source, self.objects, descriptor, self.progress, self.jobs, notes)

    def _copied(self, file: Path) -> BuiltModule:
        status = file.stat()
        key = combine("copied", self.key, str(file), f"{status.st_size}:{status.st_mtime_ns}")
        module = load_module(self.layout, key)
        if module is None:
            with self.layout.making(self.layout.modules / key) as directory:
                save_module(
                    file,
                    directory,
                    kernel=self.key,
                    to_path=lambda name: name,
                    to_soft=self._soft,
                )
            module = load_module(self.layout, key)
            assert module is not None
        return module

    def _soft(self, word: str) -> tuple[str, ...]:
        """The modules that have a name or an alias, such as `crc32`: a library's and an
        algorithm's."""
        aliased = _aliased_module(self.objects, word)
        found = (aliased,) if aliased is not None else ()
        try:
            find_prebuilt_module(self.objects, word)
        except SourceError:
            return found
        return (module_name(word), *found)


def _aliased_module(objects: Path, alias: str) -> str | None:
    named = (
        module_name(path.name)
        for path in sorted(objects.rglob("*.ko"))
        if alias in modinfo(path).get("alias", ())
    )
    return next(named, None)
