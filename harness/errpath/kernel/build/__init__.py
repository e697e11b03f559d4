"""Kernel builds: configuration, make, out-of-tree modules, the build cache.

In: a `KernelRequest` (spec, patches, fragments). Out: a `BuiltKernel` and its `BuiltModule`s.
"""
