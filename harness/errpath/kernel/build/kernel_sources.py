"""Sources of a built kernel: their texts, and where two kernels differ in them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from errpath.errors import AbsentError
from errpath.kernel.build.built import BuiltKernel
from errpath.kernel.build.compiled import Share, compiled_share
from errpath.kernel.build.state import load_state, load_tree
from errpath.kernel.layout import Layout
from errpath.kernel.source.tree import File

__all__ = ["KernelSources"]


class KernelSources:
    """Sources of the kernels in a cache, patched as each kernel was built from them."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout

    def text(self, kernel: BuiltKernel, path: str) -> str | None:
        """The text of a source file such as `fs/hfs/super.c`, as this kernel was built from it.

        None if there is no such file (or no source any more, for a finished build of the user's).
        The workspace's own copy may be patched for another kernel by now.
        """
        if load_state(self._layout, kernel.state) is None:
            prefix = Path(kernel.source_prefix) / path
            return prefix.read_text(errors="replace") if prefix.is_file() else None
        tree, _ = load_tree(self._layout, kernel.state)
        file = tree.read(path)
        return file.content.decode(errors="replace") if file is not None else None

    def files(self, kernel: BuiltKernel, directories: Sequence[str]) -> Iterator[tuple[str, File]]:
        """Files of some directories (or of these names) of the sources of a kernel, patched.

        Raises:
            AbsentError: it is a finished build of the user's.
        """
        if load_state(self._layout, kernel.state) is None:
            raise AbsentError(f"{kernel.description}: a finished build has no sources to take")
        tree, _ = load_tree(self._layout, kernel.state)
        wanted = tuple(f"{name}/" for name in directories)
        names = [path for path in tree.manifest() if path.startswith(wanted) or path in directories]
        yield from tree.fetch(names)

    def changed(self, one: BuiltKernel, other: BuiltKernel) -> frozenset[str] | None:
        """Directories (with their `/`) of nothing but modules in which two kernels differ.

        None where the kernels proper differ, so that every module does.
        """
        states = (load_state(self._layout, one.state), load_state(self._layout, other.state))
        if one.key != other.key or states[0] is None or states[1] is None:
            return None
        digests = (states[0].module_digests, states[1].module_digests)
        return frozenset(
            directory
            for directory in {*digests[0], *digests[1]}
            if digests[0].get(directory) != digests[1].get(directory)
        )

    def compiled_share(self, kernel: BuiltKernel, directory: str) -> Share | None:
        """How much of a source directory such as `fs/hfs` is compiled; None without source."""
        texts = self.below(kernel, directory)
        if not texts:
            return None
        makefile = texts.get("Makefile", texts.get("Kbuild", ""))
        return compiled_share(texts, makefile, kernel.options())

    def below(self, kernel: BuiltKernel, directory: str) -> dict[str, str]:
        """C files, headers and makefiles below a directory such as `fs/hfs`, by their paths in it;
        none without source."""
        if load_state(self._layout, kernel.state) is None:
            return {}
        tree, _ = load_tree(self._layout, kernel.state)
        prefix = f"{directory}/"
        paths = [
            path
            for path in tree.manifest()
            if path.startswith(prefix) and path.endswith((".c", ".h", "/Makefile", "/Kbuild"))
        ]
        return {
            path.removeprefix(prefix): file.content.decode(errors="replace")
            for path, file in tree.fetch(paths)
        }
