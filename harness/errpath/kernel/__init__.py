"""Kernels under test: source, configuration, build, symbols, the kernel log.

In: a kernel spec. Out: a built kernel with its modules, symbols, and crashes found in its log.
"""

from errpath.kernel.build.built import BuiltKernel, BuiltModule, KernelRequest
from errpath.kernel.build.store import KernelStore
from errpath.kernel.symbols.functions import FunctionKind, FunctionSite
from errpath.kernel.symbols.symbolizer import Frame, Symbolizer

__all__ = [
    "BuiltKernel",
    "BuiltModule",
    "Frame",
    "FunctionKind",
    "FunctionSite",
    "KernelRequest",
    "KernelStore",
    "Symbolizer",
]
