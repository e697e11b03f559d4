"""HFS names: MacRoman bytes, and the order that the catalog is sorted in.

HFS compares names without regard to case, in "Macintosh lexical order" (Inside Macintosh: Text,
`RelString`): a letter's accented forms follow the letter, and quotation marks stand together. The
kernel does the same in fs/hfs/string.c (`hfs_strcmp`).
"""

from __future__ import annotations

from errpath.errors import UsageError

__all__ = ["MAX_NAME", "decode_name", "encode_name", "sort_key"]

# Bytes of a file or directory name; a volume name has 27.
MAX_NAME = 31

# From the lowest to the highest. Characters in one group are equal; what no group names follows
# in the order of its code, and control characters come first.
_GROUPS = (
    " \xa0 ! \" “ ” « » # $ % & ' ‘ ’ ( ) * + , - . / 0 1 2 3 4 5 6 7 8 9 : ; < = > ? @ "
    "Aa àÀ Ää ãÃ Åå Ææ ` á â ª Bb Cc Çç Dd Ee Éé è ê ë Ff Gg Hh Ii í ì î ï Jj Kk Ll Mm Nn Ññ "
    "Oo Öö õÕ Øø Œœ ó ò ô º Pp Qq Rr Ss ß Tt Uu Üü ú ù û Vv Ww Xx Yy ÿ Zz [ \\ ] ^ _ { | } ~"
)


def _ranks() -> tuple[int, ...]:
    ranks: dict[int, int] = {code: code for code in range(0x20)}
    # The space cannot stand between spaces: it goes first, with the no-break space.
    groups = ["\x20\xa0", *_GROUPS.replace(" \xa0 ", "", 1).split(" ")]
    for rank, group in enumerate(groups, start=0x20):
        for code in group.encode("mac_roman"):
            ranks[code] = rank
    following = 0x20 + len(groups)
    for code in range(0x100):
        if code not in ranks:
            ranks[code] = following
            following += 1
    return tuple(ranks[code] for code in range(0x100))


_RANKS = _ranks()


def sort_key(name: bytes) -> tuple[int, ...]:
    """What names of one directory are sorted by; equal for names that HFS takes for the same."""
    return tuple(_RANKS[code] for code in name)


def encode_name(name: str, *, limit: int = MAX_NAME) -> bytes:
    """The bytes on disk of a name as Linux shows it: its `:` is a `/` on the volume.

    Raises:
        UsageError: empty, over `limit` bytes, or with a character that MacRoman lacks.
    """
    try:
        data = name.replace(":", "/").encode("mac_roman")
    except UnicodeEncodeError as error:
        raise UsageError(f"name {name!r}: MacRoman has no {name[error.start]!r}") from None
    if not 1 <= len(data) <= limit:
        raise UsageError(f"name {name!r} has {len(data)} bytes: expected 1 to {limit}")
    return data


def decode_name(data: bytes) -> str:
    """The name as Linux shows it (with iocharset=utf8 and codepage=macroman)."""
    return data.decode("mac_roman").replace("/", ":")
