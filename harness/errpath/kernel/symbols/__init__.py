"""Symbols of built kernels: symbol tables, inlined functions, source lines.

In: vmlinux, System.map and modules. Out: source positions, and where a function has code.
"""
