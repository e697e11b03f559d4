"""Where members of the kernel's structures lie, read from a module that was compiled to say it."""

from __future__ import annotations

import functools
import struct
from pathlib import Path
from typing import NamedTuple

from errpath.errors import InfrastructureError
from errpath.kernel.symbols.elf import section_bytes
from errpath.util.resources import GUESTS

__all__ = ["OFFSETS_DIRECTORY", "Offsets", "read_offsets"]

# The source of the module.
OFFSETS_DIRECTORY = GUESTS / "modules" / "offsets"
_SECTION = "errpath_offsets"


class Offsets(NamedTuple):
    """Bytes, in the order of guests/modules/offsets."""

    # struct buffer_head
    b_this_page: int
    b_page: int
    b_count: int
    # struct inode
    i_count: int
    i_data_host: int
    i_sb: int
    inode_size: int
    # struct dentry
    d_count: int
    d_sb: int
    dentry_size: int
    # struct super_block
    s_list: int
    # struct slab
    slab_cache: int
    # struct kmem_cache
    cache_size: int
    cache_object_size: int
    cache_red_left_pad: int
    cache_oo: int
    cache_name: int
    cache_list: int


@functools.cache
def read_offsets(module: Path) -> Offsets:
    """The offsets that a compiled module holds.

    Raises:
        InfrastructureError: it is another module.
    """
    data = section_bytes(module, _SECTION)
    expected = len(Offsets._fields)
    if len(data) != 8 * expected:
        text = f"{module}: {len(data) // 8} offsets in {_SECTION}; expected {expected}"
        raise InfrastructureError(text)
    return Offsets(*struct.unpack(f"<{expected}Q", data))
