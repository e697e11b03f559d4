"""The source of a filesystem's modules, and the mutants that it gives."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from errpath.analysis.mutation.mutants import Mutant, find_mutants, mount_functions
from errpath.errors import InfrastructureError, UsageError
from errpath.filesystems import home_directory, load_filesystem
from errpath.kernel import BuiltKernel, KernelStore
from errpath.kernel.build.compiled import source_files

__all__ = ["module_sources", "mutants_of", "together"]


def mutants_of(
    store: KernelStore, kernel: BuiltKernel, filesystem: str, wanted: Iterable[str] = ()
) -> tuple[Mutant, ...]:
    """The mutants of a filesystem's mount path; of the functions `wanted` alone, if any.

    Raises:
        InfrastructureError: the kernel's source is not there any more.
        UsageError: no function of such a name, or none with a statement that can be left out.
    """
    known = mount_functions(together(module_sources(store, kernel, filesystem)))
    names = tuple(wanted)
    for name in names:
        if name not in known:
            raise UsageError(f"--function {name}: not a function that a mount of {filesystem} runs")
    chosen = [function for name, function in known.items() if not names or name in names]
    found = find_mutants(chosen)
    if not found:
        raise UsageError(f"{filesystem}: no statement that could be left out")
    return found


def module_sources(
    store: KernelStore, kernel: BuiltKernel, filesystem: str
) -> dict[str, dict[str, str]]:
    """By module of the filesystem, in load order: its files with their texts.

    Raises:
        InfrastructureError: the kernel's source is not there any more.
    """
    directory = home_directory(filesystem)
    makefile = store.sources.text(kernel, f"{directory}Makefile")
    if makefile is None:
        raise InfrastructureError(
            f"{kernel.description}: no source of {directory}; expected the kernel's own"
        )
    found = {}
    for module in store.modules(kernel, load_filesystem(filesystem).modules):
        paths = [f"{directory}{name}" for name in source_files(makefile, module.name)]
        texts = {path: store.sources.text(kernel, path) for path in paths}
        own = {path: text for path, text in texts.items() if text is not None}
        if own:
            found[module.name] = own
    return found


def together(by_module: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    """The files of all modules."""
    return {path: text for own in by_module.values() for path, text in own.items()}
