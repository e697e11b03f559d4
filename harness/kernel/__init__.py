"""Kernels under test: source, configuration, build, symbols."""

from harness.kernel.built import BuiltKernel, BuiltModule, KernelRequest
from harness.kernel.functions import FunctionKind, FunctionSite
from harness.kernel.store import KernelStore
from harness.kernel.symbols import Frame, Symbolizer

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
