"""Error-injection targets: functions of an unmodified kernel, put on its injection list.

fail_function takes only functions on that list, which nothing in fs/super.c nor any fill_super is.
The list also takes the entries that a module carries (lib/error-inject.c). The module under
guests/modules/targets carries nothing else; here its entries are filled in.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterable, Sequence

from elftools.elf.elffile import ELFFile

from errpath.errors import InfrastructureError, UnknownFunctionError
from errpath.guest.machine import Guest, GuestSymbol

__all__ = ["MODULE", "fill_targets", "is_loaded", "load_targets", "look_up", "resolve"]

MODULE = "errpath_targets"
_SECTION = "_error_injection_whitelist"
# struct error_injection_entry { unsigned long addr; int etype; }, padded.
_ENTRY = struct.Struct("<QiI")


def fill_targets(module: bytes, addresses: Sequence[int]) -> bytes:
    """The targets module with one entry per address, its section cut to their number.

    Raises:
        InfrastructureError: the module has no such section, or no room for so many.
    """
    elf = ELFFile(io.BytesIO(module))
    section = elf.get_section_by_name(_SECTION)
    if section is None:
        raise InfrastructureError(
            f"{MODULE}: no section {_SECTION}; expected the module of guests/modules"
        )
    size = len(addresses) * _ENTRY.size
    if size > section["sh_size"]:
        room = section["sh_size"] // _ENTRY.size
        raise InfrastructureError(f"{MODULE}: {len(addresses)} targets; expected at most {room}")
    # EI_ETYPE_ERRNO as this kernel's header numbers it stands in every entry that was compiled.
    _, errno_type, _ = _ENTRY.unpack(section.data()[: _ENTRY.size])
    index = elf.get_section_index(_SECTION)
    if index is None:
        raise InfrastructureError(f"{MODULE}: section {_SECTION} has no header")
    filled = bytearray(module)
    entries = b"".join(_ENTRY.pack(address, errno_type, 0) for address in addresses)
    offset = section["sh_offset"]
    filled[offset : offset + size] = entries
    # sh_size stands 32 bytes into an ELF64 section header.
    at = elf["e_shoff"] + index * elf["e_shentsize"] + 32
    filled[at : at + 8] = struct.pack("<Q", size)
    return bytes(filled)


def resolve(
    functions: Iterable[str], symbols: Iterable[GuestSymbol]
) -> dict[str, GuestSymbol | UnknownFunctionError]:
    """For each function, its symbol in the guest, or why it has none. "hfs:hfs_btree_write" is the
    one of the module hfs."""
    known = list(symbols)
    found: dict[str, GuestSymbol | UnknownFunctionError] = {}
    for function in functions:
        module, _, name = function.rpartition(":")
        exact = [s for s in known if s.name == name and module in ("", s.module)]
        # The cold part of a function is no function: nothing calls it.
        copies = {s.name for s in known if s.name.startswith(f"{name}.")}
        clones = sorted(name for name in copies if not name.endswith(".cold"))
        if len(exact) > 1:
            places = ", ".join(symbol.module or "vmlinux" for symbol in exact)
            found[function] = UnknownFunctionError(
                f"function {function}: {len(exact)} of that name ({places}); expected one, because "
                "fail_function goes by name"
            )
        elif exact:
            found[function] = exact[0]
        elif clones:
            found[function] = UnknownFunctionError(
                f"function {function}: only as {', '.join(clones)}; expected one of these names"
            )
        else:
            found[function] = UnknownFunctionError(
                f"function {function}: not in the running kernel; expected a function with code of "
                "its own (it does not exist, its module is not loaded, or it was inlined away)"
            )
    return found


def look_up(
    guest: Guest, functions: Iterable[str]
) -> dict[str, GuestSymbol | UnknownFunctionError]:
    """`resolve` with what a guest has of these names."""
    wanted = list(functions)
    names = dict.fromkeys(function.rpartition(":")[2] for function in wanted)
    return resolve(wanted, guest.symbols(names))


def load_targets(guest: Guest, module: bytes, symbols: Iterable[GuestSymbol]) -> None:
    """Put `symbols` on the guest's error-injection list and see that they arrived.

    Raises:
        InfrastructureError: an entry is missing from the list.
    """
    wanted = list(symbols)
    guest.load_module(MODULE, fill_targets(module, [symbol.address for symbol in wanted]))
    listed = guest.read_file("/sys/kernel/debug/error_injection/list").decode()
    names = {line.split()[0] for line in listed.splitlines() if line.strip()}
    missing = [symbol.name for symbol in wanted if symbol.name not in names]
    if missing:
        raise InfrastructureError(f"error injection: the kernel did not list {', '.join(missing)}")


def is_loaded(guest: Guest) -> bool:
    """Whether the targets module is in the guest."""
    return MODULE in guest.loaded_modules()
