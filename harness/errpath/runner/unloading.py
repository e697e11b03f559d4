"""What is left when a batch is over: superblocks, and modules that do not unload or leave objects
in their caches."""

from __future__ import annotations

import contextlib

from errpath.errors import GuestPoisonedError
from errpath.faults import injection_list, point_module
from errpath.filesystems import load_filesystem
from errpath.guest.channel import AgentError
from errpath.kernel.log import Crash, find_crashes
from errpath.oracles.failure import RESOURCE_LEAK, Failure
from errpath.oracles.kernel_log import log_failures
from errpath.oracles.superblocks import supers_left
from errpath.runner.guests import PreparedGuest

__all__ = ["MODULE_STAYS", "unload_all"]

# Before the name of a module that does not unload.
MODULE_STAYS = "modules: "


def unload_all(prepared: PreparedGuest) -> tuple[Failure, ...]:
    """Unload the filesystems in the guest where cases ran: what stays, and what the kernel said.
    No case can run in it afterwards."""
    guest = prepared.guest
    try:
        fstypes = {load_filesystem(name).fstype for name in prepared.modules}
        left = list(supers_left(guest, fstypes))
        # Injection targets and probes point into the modules.
        guest.call("fault.clear")
        for own in (injection_list.MODULE, point_module.MODULE):
            with contextlib.suppress(AgentError):
                guest.unload_module(own)
        names = dict.fromkeys(name for modules in prepared.modules.values() for name in modules)
        printed = len(guest.dmesg())
        for name in reversed(names):
            try:
                guest.unload_module(name)
            except AgentError as error:
                if _crashes(prepared):
                    # Whatever it held it holds for ever: nothing else unloads.
                    raise guest.poison(str(error)) from None
                left.append(
                    Failure(
                        RESOURCE_LEAK,
                        f"module {name} does not unload",
                        resource=f"{MODULE_STAYS}{name}",
                        detail=str(error),
                    )
                )
        return (*left, *log_failures(find_crashes(guest.dmesg()[printed:])))
    except GuestPoisonedError as error:
        fatal = _crashes(prepared)
        if not fatal:
            raise
        return (
            *log_failures(fatal),
            Failure(RESOURCE_LEAK, "unloading took the guest down", detail=str(error)),
        )


def _crashes(prepared: PreparedGuest) -> tuple[Crash, ...]:
    """What the kernel does not survive."""
    console = prepared.guest.console
    return tuple(crash for crash in (console.crashes() if console else ()) if crash.fatal)
