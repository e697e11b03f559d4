"""Fields of on-disk structures, from C as the kernel has it."""

from __future__ import annotations

import pytest

from errpath.errors import InfrastructureError
from errpath.images.broken.structs import Field, fields_of

_SOURCE = """\
#define LABEL 2 * 4	/* bytes */
#define SPAN(from, to) (to - from + 1)
typedef __le16 __bitwise unit_t;
typedef struct { fs16 start; fs32 length; } PACKED run;
struct item { __le32 id; u8 kind; __le64 size; };
struct super {
	__be16 magic;		// the first
	u8 version[SPAN (3, 4)];
	char label[LABEL];
	__le32 first, second;
	struct item items[2];
	run root;
	union {
		struct { unit_t small; } one;
		__le64 large;
	};
	u8 low:4;
	u8 high:4;
	unsigned int seeds[5];
} __packed;
struct natural { u8 a; __le32 b; u8 c; };
struct outer { struct natural n; u8 last; };
"""


def _places(name: str) -> dict[str, tuple[int, int]]:
    return {field.name: (field.offset, field.size) for field in fields_of(_SOURCE, name)}


def test_every_kind_of_member_has_its_place() -> None:
    assert _places("super") == {
        "magic": (0, 2),
        # Short arrays of bytes are numbers.
        "version": (2, 2),
        "label": (4, 8),
        "first": (12, 4),
        "second": (16, 4),
        # The structure in it is padded as the compiler would.
        "items[0].id": (20, 4),
        "items[0].kind": (24, 1),
        "items[0].size": (28, 8),
        "items[1].id": (36, 4),
        "items[1].kind": (40, 1),
        "items[1].size": (44, 8),
        "root.start": (52, 2),
        "root.length": (54, 4),
        "one.small": (58, 2),
        "large": (58, 8),
        # Of a long array, the ends.
        "low": (66, 1),
        "seeds[0]": (67, 4),
        "seeds[4]": (83, 4),
    }


def test_padding_is_as_the_compiler_has_it() -> None:
    assert _places("outer")["n.b"] == (4, 4)
    assert _places("outer")["last"] == (12, 1)


def test_the_byte_order_is_the_type_s_or_the_volume_s() -> None:
    assert fields_of(_SOURCE, "super")[0] == Field("magic", 0, 2, "big")
    run = {field.name: field.order for field in fields_of(_SOURCE, "super", "big")}
    assert (run["root.start"], run["first"], run["seeds[0]"]) == ("big", "little", "big")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("struct other { int a; };", "struct super: not defined"),
        ("struct super { int a[UNKNOWN]; };", r"got \[UNKNOWN\]; expected a number"),
        ("struct super { struct lost a; };", "struct lost: not defined"),
        ("struct super { int a;", "does not close"),
    ],
)
def test_what_is_not_understood_is_told(text: str, expected: str) -> None:
    with pytest.raises(InfrastructureError, match=expected):
        fields_of(text, "super")
