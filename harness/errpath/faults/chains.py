"""Call chains that a recording saw, and the names by which points are known.

A name holds nothing of addresses or lines, so that it survives a rebuild: the functions of the
filesystem's own modules from the outermost in, inlined ones included, and the last function before
the allocator or the block layer.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass

from errpath.errors import InfrastructureError
from errpath.faults.model import KINDS

__all__ = ["Chain", "ChainFrame", "name_chain", "number", "own_functions", "parse_chains"]

_FRAME = re.compile(r"(?P<name>[^+ ]+)\+0x(?P<offset>[0-9a-f]+)/0x(?P<size>[0-9a-f]+)$")
# Longer names are cut in the middle: they become parts of file names.
_LONGEST = 120
# Ways from a function that wants memory or a block to the place where it is asked for.
_PLUMBING = re.compile(
    r"_*(?:kmalloc|kzalloc|kcalloc|kvmalloc|kvzalloc|krealloc|kmem_cache|kmemdup|memdup|vmalloc|"
    r"vzalloc|kstrdup|kstrndup|alloc_pages|alloc_frozen|alloc_percpu|slab_|do_kmalloc|folio_alloc|"
    r"get_free_pages|get_zeroed|mempool|submit_bio|submit_bh|vm_area_alloc|bio_alloc|bvec_alloc|"
    r"alloc_bulk|prepare_alloc_pages|should_fail|kvrealloc|kvcalloc|filemap_alloc_folio|percpu|pcpu|xa_|xas_|"
    r"radix_tree|idr_|ida_|alloc_inode_sb|prealloc_shrinker|list_lru)\w*"
)
# Where the kernel is entered: the same in every chain of a step.
_ENTRY = re.compile(
    r"(?:__?(?:x64|do|se)_sys|do_syscall|x64_sys_call|entry_SYSCALL|ret_from_fork|"
    r"kthread|ftrace|do_mount|path_mount|vfs_cmd_|__do_fast)\w*"
)


@dataclass(frozen=True)
class ChainFrame:
    """A return address as the kernel prints it."""

    function: str
    offset: int
    size: int
    # Name of the module, "" for built-in code.
    module: str = ""


@dataclass(frozen=True)
class Chain:
    """One distinct way to something that can fail."""

    # One of `errpath.faults.model.KINDS`.
    kind: str
    # The function of a call, else "".
    function: str
    # How often the step went this way.
    count: int
    # Hexadecimal; of the frames' text, so the same in every boot of one build.
    hash: str
    # Innermost first; empty for a call.
    frames: tuple[ChainFrame, ...] = ()


def parse_chains(text: str) -> tuple[Chain, ...]:
    """The module's file `chains`, in the order of first sight.

    Raises:
        InfrastructureError: it is not in that form.
    """
    return tuple(_chain(line) for line in text.splitlines())


def _chain(line: str) -> Chain:
    words = line.split(" ")
    try:
        kind, function, count, chain = words[:4]
        frames: list[ChainFrame] = []
        for word in words[4:]:
            if word.startswith("["):
                last = frames.pop()
                module = word.strip("[]").split()[0]
                frames.append(ChainFrame(last.function, last.offset, last.size, module))
                continue
            match = _FRAME.match(word)
            if match is None:
                raise ValueError(word)
            frames.append(ChainFrame(match[1], int(match[2], 16), int(match[3], 16)))
        name = "" if function == "-" else function
        return Chain(KINDS[int(kind)], name, int(count), chain, tuple(frames))
    except (ValueError, IndexError):
        raise InfrastructureError(
            f"errpath_faults: chains: got {line[:80]!r}; expected KIND FUNCTION COUNT CHAIN FRAME…"
        ) from None


# The functions at a frame, innermost first, inlined ones included.
Expand = Callable[[ChainFrame], Sequence[str]]


def name_chain(chain: Chain, modules: Collection[str], expand: Expand) -> str:
    """The name of a chain, as in `ext4_fill_super>ext4_sb_bread_unmovable>getblk`.

    `modules` are the filesystem's own.
    """
    if chain.kind == "call":
        return chain.function
    # Outermost first, each with whether it is the filesystem's.
    steps = [
        (_plain(name), frame.module in modules)
        for frame in reversed(chain.frames)
        for name in reversed(expand(frame))
    ]
    steps = [(name, own) for name, own in steps if not _ENTRY.fullmatch(name)]
    while len(steps) > 1 and _PLUMBING.fullmatch(steps[-1][0]):
        steps.pop()
    own = [at for at, (_, mine) in enumerate(steps) if mine]
    names = [name for name, mine in steps if mine]
    # What the filesystem called last, or, where it had no part, the way there.
    names += [name for name, _ in steps[own[-1] + 1 :]][-2:] if own else [n for n, _ in steps][-3:]
    names = [name for at, name in enumerate(names) if at == 0 or names[at - 1] != name]
    return _shortened(names or ["entry"])


def own_functions(chain: Chain, modules: Collection[str], expand: Expand) -> tuple[str, ...]:
    """The functions of `modules` on a chain, innermost first; of a call, the function."""
    if chain.kind == "call":
        return (chain.function,)
    found = (
        _plain(name) for frame in chain.frames if frame.module in modules for name in expand(frame)
    )
    return tuple(dict.fromkeys(found))


def _plain(name: str) -> str:
    """A function's name without what the compiler and the build added."""
    return re.sub(r"\..*|_noprof$", "", name)


def _shortened(names: list[str]) -> str:
    """Names joined; of a long way, where it begins and ends, and a hash of what is between."""
    text = ">".join(names)
    if len(text) <= _LONGEST:
        return text
    tail: list[str] = []
    for name in reversed(names[1:]):
        if len(names[0]) + len(">".join((name, *tail))) + 10 > _LONGEST and tail:
            break
        tail.insert(0, name)
    between = ">".join(names[1 : len(names) - len(tail)])
    digest = hashlib.sha256(between.encode()).hexdigest()[:6]
    return ">".join((names[0], f"~{digest}", *tail))


def number(names: Iterable[str]) -> list[str]:
    """`names` with `#2`, `#3` … at those that came before."""
    seen: Counter[str] = Counter()
    out = []
    for name in names:
        seen[name] += 1
        out.append(name if seen[name] == 1 else f"{name}#{seen[name]}")
    return out
