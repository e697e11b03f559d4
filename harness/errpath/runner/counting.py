"""Ask a guest what its kernel counts."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping

from errpath.cases.case import MountCase
from errpath.cases.run import put_images
from errpath.guest.channel import AgentError
from errpath.guest.machine import Guest
from errpath.oracles.resources import settle

__all__ = ["begin_counts", "read_counts"]


def read_counts(guest: Guest) -> Mapping[str, str]:
    """What the kernel counts now, by source; differences are reported from here on."""
    return dict(guest.call("counts").values["counts"])


def begin_counts(guest: Guest, cases: Iterable[MountCase]) -> Mapping[str, str]:
    """What the kernel counts before cases that will run: their images are in the guest by then."""
    for case in cases:
        # Without room for it, the case is an error.
        with contextlib.suppress(AgentError):
            put_images(guest, case)
    # As after the cases: what settling itself takes, such as entries of /proc/sys, is there before.
    settle(guest)
    return read_counts(guest)
