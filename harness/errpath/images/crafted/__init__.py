"""Crafted HFS and HFS+ images: a catalogue of valid and corrupted volumes, mutants, decoding.

In: base volumes and changes by field name (`hfs.yaml`, `hfsplus.yaml`). Out: images, each with the
outcome that the kernel must give.
"""
