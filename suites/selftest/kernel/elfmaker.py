"""A small ELF64 file with chosen sections, made by hand: a module as far as it matters here."""

from __future__ import annotations

import struct

__all__ = ["make_module"]

# Elf64_Ehdr and Elf64_Shdr (include/uapi/linux/elf.h).
_EHDR = struct.Struct("<16sHHIQQQIHHHHHH")
_SHDR = struct.Struct("<IIQQQQIIQQ")
_ET_REL, _EM_X86_64, _SHT_PROGBITS, _SHT_STRTAB = 1, 62, 1, 3


def make_module(sections: dict[str, bytes]) -> bytes:
    """A relocatable file for x86-64 with `sections` in this order."""
    names = b"\0"
    headers = [_SHDR.pack(0, 0, 0, 0, 0, 0, 0, 0, 0, 0)]
    body = b""
    strings = b"\0" + b"".join(name.encode() + b"\0" for name in (*sections, ".shstrtab"))
    for name, data in (*sections.items(), (".shstrtab", strings)):
        body += bytes(-len(body) % 8)
        kind = _SHT_STRTAB if name == ".shstrtab" else _SHT_PROGBITS
        headers.append(
            _SHDR.pack(len(names), kind, 2, 0, _EHDR.size + len(body), len(data), 0, 0, 8, 0)
        )
        names += name.encode() + b"\0"
        body += data
    body += bytes(-len(body) % 8)
    identity = b"\x7fELF\x02\x01\x01" + bytes(9)
    head = _EHDR.pack(
        identity,
        _ET_REL,
        _EM_X86_64,
        1,
        0,
        0,
        _EHDR.size + len(body),
        0,
        _EHDR.size,
        0,
        0,
        _SHDR.size,
        len(headers),
        len(headers) - 1,
    )
    return head + body + b"".join(headers)
