"""errpath: fault injection and leak checks for the mount error paths of Linux filesystems."""

__all__ = ["__version__"]

__version__ = "0.1.0"
