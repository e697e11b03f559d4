"""Exceptions by cause.

The cause decides what a run may conclude: what the user gave cannot be tested (`UsageError`),
the kernel under test misbehaves (`KernelError`), or the infrastructure broke
(`InfrastructureError`), which is never a verdict about a kernel. The text of each is one line: what
was wrong, where, what was expected.
"""

__all__ = [
    "NO_ANSWER",
    "AbsentError",
    "BootError",
    "BuildError",
    "ConfigError",
    "DefinitionError",
    "ErrpathError",
    "GuestLostError",
    "GuestPoisonedError",
    "InfrastructureError",
    "KernelError",
    "PatchError",
    "SourceError",
    "ToolMissingError",
    "UnknownFunctionError",
    "UsageError",
]


# Exit status of a command that cannot answer: no verdict on a kernel. `git bisect run` skips it.
NO_ANSWER = 125


class ErrpathError(Exception):
    """Base of every error that errpath reports as one line. `exit_status` is the command's."""

    exit_status = NO_ANSWER


class UsageError(ErrpathError):
    """What the user gave cannot be used."""

    exit_status = 2


class DefinitionError(UsageError):
    """A YAML definition is wrong; the text begins with `file:line:`."""


class SourceError(UsageError):
    """A kernel spec names no usable kernel source."""


class AbsentError(SourceError):
    """The kernel under test does not have what was asked for, such as a filesystem."""


class PatchError(UsageError):
    """A patch does not apply; the text names the patch, the file and the hunk."""


class ConfigError(UsageError):
    """The final kernel configuration lost a requested option; the text names each."""


class UnknownFunctionError(UsageError):
    """A fault plan names a function that the kernel under test has no code for."""


class KernelError(ErrpathError):
    """The kernel under test misbehaved."""

    exit_status = 1


class BuildError(KernelError):
    """The kernel under test does not compile; the text holds the first compiler error."""


class BootError(KernelError):
    """The kernel under test did not reach the agent; the text holds the last console line."""


class InfrastructureError(ErrpathError):
    """QEMU, the channel, the disk or a host tool failed. Never a verdict on a kernel."""


class ToolMissingError(InfrastructureError):
    """A host program is not installed; the text names the package that brings it."""


class GuestPoisonedError(ErrpathError):
    """The guest is unusable after a fatal event; the text is the original cause."""


class GuestLostError(GuestPoisonedError):
    """The guest went away and its kernel said nothing: QEMU was killed, or the channel broke. What
    it had not finished may be tried again in another guest."""
