"""HFS+ names: UTF-16, decomposed as Apple decomposes, and the orders that catalogs are sorted in.

TN1150 fixes both at the state of Unicode 2.1 and never changed them: canonical decomposition, and
a case folding that also ignores some characters. The kernel does the same in
fs/hfsplus/unicode.c. Python has the data of Unicode 3.2, so what came later or was corrected in
between is listed here as ranges and exceptions.
"""

from __future__ import annotations

from functools import cache
from unicodedata import ucd_3_2_0

from errpath.errors import UsageError

__all__ = ["MAX_NAME", "case_fold", "decode_name", "decompose", "encode_name", "sort_key"]

# UTF-16 code units of a name, after decomposition.
MAX_NAME = 255


def _expand(ranges: str) -> frozenset[int]:
    codes: set[int] = set()
    for item in ranges.split():
        low, _, high = item.partition("-")
        codes.update(range(int(low, 16), int(high or low, 16) + 1))
    return frozenset(codes)


# Characters that fold to lower case. Those that decompose never stand in a name.
_FOLDED = _expand(
    "41-5a c6 d0 d8 de 110 126 132 13f 141 14a 152 166 181-182 184 186-187 189-18b 18e-191 193-194 "
    "196-198 19c-19d 19f 1a2 1a4 1a7 1a9 1ac 1ae 1b1-1b3 1b5 1b7-1b8 1bc 1c4-1c5 1c7-1c8 1ca-1cb "
    "1e4 1f1-1f2 391-3a1 3a3-3a9 3e2 3e4 3e6 3e8 3ea 3ec 3ee 402 404-406 408-40b 40f-418 41a-42f "
    "460 462 464 466 468 46a 46c 46e 470 472 474 478 47a 47c 47e 480 490 492 494 496 498 49a 49c "
    "49e 4a0 4a2 4a4 4a6 4a8 4aa 4ac 4ae 4b0 4b2 4b4 4b6 4b8 4ba 4bc 4be 4c3 4c7 4cb 531-556 "
    "2160-216f ff21-ff3a"
)
# Georgian capitals fold into another block than the one that later Unicode gave them.
_GEORGIAN = _expand("10a0-10c5")
# Joiners and directional marks, which do not count in a comparison.
_IGNORED = _expand("200c-200f 202a-202e 206a-206f feff")

# Decompose in Unicode 3.2, not in TN1150.
_KEPT = _expand(
    "1f8-1f9 218-21b 21e-21f 226-233 400 40d 450 45d 4ec-4ed 622-626 6c0 6c2 6d3 a33 a36 dda "
    "ddc-dde 1026 1f82-1f87 1f8a-1f8f 1f92-1f97 1f9a-1f9f 1fa2-1fa7 1faa-1faf 2000-2001 2126 "
    "212a-212b 219a-219b 21ae 21cd-21cf 2204 2209 220c 2224 2226 2241 2244 2247 2249 2260 2262 "
    "226d-2271 2274-2275 2278-2279 2280-2281 2284-2285 2288-2289 22ac-22af 22e0-22e3 22ea-22ed "
    "2329-232a 2adc f900-fa6a fb1d"
)
# Greek tonos was U+030D (vertical line above), today U+0301 (acute).
_TONOS = _expand("344 385-386 388-38a 38c 38e-390 3ac-3b0 3cc-3ce 3d3")
# Greek with ypogegrammeni, and Tibetan vowels, with their two marks the other way round.
_SWAPPED = _expand(
    "f73 f75 f81 1f80-1f81 1f88-1f89 1f90-1f91 1f98-1f99 1fa0-1fa1 1fa8-1fa9 1fb2 1fb4 1fb7 1fc2 "
    "1fc4 1fc7 1ff2 1ff7"
)
# The rest, as in the kernel's table; 1ff4 decomposes to omicron there, not to omega.
_SPECIAL = {
    int(code, 16): tuple(int(item, 16) for item in to.split())
    for code, to in {
        "310": "306 307",
        "4d4": "c6",
        "4d5": "e6",
        "4d8": "18f",
        "4d9": "259",
        "4da": "18f 308",
        "4db": "259 308",
        "4e0": "1b7",
        "4e1": "292",
        "4e8": "19f",
        "4e9": "275",
        "4ea": "19f 308",
        "4eb": "275 308",
        "9b0": "9ac 9bc",
        "a5c": "a21 a3c",
        "b5f": "b2f b3c",
        "e33": "e4d e32",
        "eb3": "ecd eb2",
        "f77": "fb2 f80 f71",
        "f79": "fb3 f80 f71",
        "1ff4": "3bf 345 301",
    }.items()
}

# Hangul syllables decompose by rule (The Unicode Standard, 3.12).
_HANGUL, _HANGUL_COUNT = 0xAC00, 11172
_LEADING, _VOWEL, _TRAILING = 0x1100, 0x1161, 0x11A7


def case_fold(unit: int) -> int:
    """A UTF-16 code unit without its case; 0 where the unit does not count.

    NUL sorts after everything, which keeps the private metadata directory last.
    """
    if unit == 0:
        return 0xFFFF
    if unit in _FOLDED:
        return ord(chr(unit).lower())
    if unit in _GEORGIAN:
        return unit + 0x30
    return 0 if unit in _IGNORED else unit


def _canonical(code: int) -> tuple[int, ...]:
    mapping = ucd_3_2_0.decomposition(chr(code))
    if not mapping or mapping.startswith("<"):
        return (code,)
    return tuple(unit for item in mapping.split() for unit in _canonical(int(item, 16)))


@cache
def decompose(code: int) -> tuple[int, ...]:
    """The decomposition of one character of the basic plane; itself where it has none."""
    if _HANGUL <= code < _HANGUL + _HANGUL_COUNT:
        leading, rest = divmod(code - _HANGUL, 21 * 28)
        vowel, trailing = divmod(rest, 28)
        tail = (_TRAILING + trailing,) if trailing else ()
        return (_LEADING + leading, _VOWEL + vowel, *tail)
    if code in _SPECIAL:
        return _SPECIAL[code]
    if code in _KEPT or code > 0xFFFF:
        return (code,)
    units = _canonical(code)
    if code in _TONOS:
        return tuple(0x30D if unit == 0x301 else unit for unit in units)
    if code in _SWAPPED:
        return (*units[:-2], units[-1], units[-2])
    return units


def encode_name(name: str, *, decomposed: bool = True) -> tuple[int, ...]:
    """The UTF-16 code units on disk of a name as Linux shows it.

    Linux's `:` is a `/` on the volume and its U+2400 a NUL; `decomposed=False` writes what a mount
    with `nodecompose` would.

    Raises:
        UsageError: empty, or over 255 units.
    """
    units: list[int] = []
    for char in name:
        code = {0x2400: 0, ord(":"): ord("/")}.get(ord(char), ord(char))
        if code > 0xFFFF:
            high, low = divmod(code - 0x10000, 0x400)
            units += [0xD800 + high, 0xDC00 + low]
        else:
            units += decompose(code) if decomposed else (code,)
    if not 1 <= len(units) <= MAX_NAME:
        raise UsageError(f"name {name!r} has {len(units)} UTF-16 units: expected 1 to {MAX_NAME}")
    return tuple(units)


def decode_name(units: tuple[int, ...]) -> str:
    """The name as Linux shows it, still decomposed."""
    data = b"".join(unit.to_bytes(2, "big") for unit in units)
    text = data.decode("utf-16-be", "replace")
    return text.replace("/", ":").replace("\0", "\u2400")


def sort_key(units: tuple[int, ...], *, case_sensitive: bool) -> tuple[int, ...]:
    """What names of one directory are sorted by: folded (HFS+) or binary (HFSX, if it says so)."""
    if case_sensitive:
        return units
    return tuple(folded for unit in units if (folded := case_fold(unit)))
