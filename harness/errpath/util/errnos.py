"""Linux errno values by name, and back. A guest's errno is Linux's, whatever the host is."""

from __future__ import annotations

import errno

from errpath.errors import UsageError

__all__ = ["errno_name", "errno_value"]


def errno_name(value: int) -> str:
    """ "-EIO" for 5, "0" for success."""
    if value == 0:
        return "0"
    return f"-{errno.errorcode.get(value, value)}"


def errno_value(name: str) -> int:
    """5 for "EIO" or "-EIO".

    Raises:
        UsageError: there is no errno of that name.
    """
    value = getattr(errno, name.removeprefix("-"), None)
    if not isinstance(value, int):
        raise UsageError(f"errno {name}: unknown; expected a name such as EIO or -EIO")
    return value
