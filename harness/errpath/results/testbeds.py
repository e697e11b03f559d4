"""The test beds of one run: one for each kernel, and for each configuration that needs its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from errpath.errors import ErrpathError, UsageError
from errpath.filesystems import load_filesystem
from errpath.kernel import KernelStore
from errpath.runner.options import Choice
from errpath.runner.testbed import Testbed, TestbedOptions
from errpath.util.progress import Progress

__all__ = ["TestbedFactory", "Testbeds", "make_testbed"]

# Takes the options, the directory of the guests' artefacts, and where progress is shown.
TestbedFactory = Callable[[TestbedOptions, Path, Progress], Testbed]


def make_testbed(options: TestbedOptions, artefacts: Path, progress: Progress) -> Testbed:
    """A test bed whose kernel comes from the user's cache."""
    store = KernelStore(progress=progress)
    return Testbed(options, store=store, artefacts=artefacts, progress=progress)


class Testbeds:
    """Test beds by kernel; each is made when it is first asked for."""

    __test__ = False

    def __init__(
        self,
        choices: Mapping[str, Choice],
        directory: Path,
        progress: Progress,
        make: TestbedFactory = make_testbed,
    ) -> None:
        """Artefacts of guests go below `directory`."""
        self._choices = choices
        self._directory = directory
        self._progress = progress
        self._make = make
        self._made: dict[str, Testbed] = {}

    def get(self, kernel: str, filesystem: str = "") -> Testbed:
        """The test bed of a kernel; the kernel is built when it is first used.

        A filesystem that does not go with the others gets another build of the same sources.
        """
        own = load_filesystem(filesystem).own_fragments if filesystem else ()
        key = "-".join((kernel, *(fragment.stem for fragment in own)))
        if key not in self._made:
            options = _with_fragments(self._choices[kernel].testbed, own)
            artefacts = self._directory / str(len(self._made))
            self._made[key] = self._make(options, artefacts, self._progress)
        return self._made[key]

    def ready(
        self, kernel: str, filesystems: Sequence[str]
    ) -> tuple[Testbed, Mapping[str, ErrpathError]]:
        """The test bed that guests with these filesystems need, with everything built for them, and
        why some of the filesystems cannot be had.

        Raises:
            UsageError: they need different kernels.
            ErrpathError: what cannot be built.
        """
        own = dict.fromkeys(load_filesystem(name).own_kernel for name in filesystems)
        if len(own) > 1:
            raise UsageError(f"{', '.join(filesystems)}: cannot share a kernel; run them apart")
        testbed = self.get(kernel, filesystems[0])
        testbed.check()
        return testbed, testbed.build(filesystems)

    def built(self) -> tuple[tuple[str, Testbed], ...]:
        """Test beds whose kernel has been built, by name."""
        return tuple((name, bed) for name, bed in self._made.items() if bed.built is not None)

    def close(self) -> None:
        """Let go of what they hold."""
        for testbed in self._made.values():
            testbed.close()


def _with_fragments(options: TestbedOptions, fragments: tuple[Path, ...]) -> TestbedOptions:
    """The options of the same kernel with more configuration; the user's own lines still win."""
    every = (*options.kernel.fragments, *fragments)
    return replace(options, kernel=replace(options.kernel, fragments=every))
