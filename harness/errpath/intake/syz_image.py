"""Images that a reproducer of syzkaller carries in its source → images.

Both forms of `syz_mount_image`: since 2022 one string, compressed with zlib; before, segments
(`struct fs_image_segment`), also those of `syz_read_part_table`. From C, where the memory of the
reproducer is filled by memcpy and stores of constants, and from a syzkaller program (.syz), where
the string is base64.
"""

from __future__ import annotations

import base64
import binascii
import re
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from errpath.errors import UsageError
from errpath.images import Image

__all__ = ["SOURCE_MAX", "CarriedImage", "extract_images", "images_of_calls"]

# Bytes of a source that are read.
SOURCE_MAX = 64 << 20
# Of one image, once unpacked; of what is not zero on it.
SIZE_MAX = 1 << 34
CONTENT_MAX = 256 << 20
_PAGE = 4096
_SEGMENT = 24
_SEGMENTS_MAX = 4096
_CHUNK = 1 << 18

_NUMBER = r"(?:0x[0-9a-fA-F]+|\d+)"
_LITERAL = r'"(?:[^"\\]|\\.)*"'
_FILL = re.compile(
    rf"memcpy\(\s*\(void\*\)({_NUMBER})[ul]*,\s*({_LITERAL}(?:\s*{_LITERAL})*),\s*({_NUMBER})\)"
    rf"|\*\(u?int(8|16|32|64)_t\*\)\(?({_NUMBER})[ul]*\)?\s*=\s*\(?(?:u?int\d+_t\))?({_NUMBER})[ul]*"
    rf"|memset\(\s*\(void\*\)({_NUMBER})[ul]*,\s*({_NUMBER}),\s*({_NUMBER})\)"
    rf"|\b(syz_mount_image|syz_read_part_table)\(([^;{{]*?)\)\s*;",
    re.DOTALL,
)
_COMMENT = re.compile(
    r"/\*.*?\*/|\((?:volatile )?(?:long|void\*|intptr_t|uintptr_t|size_t)\)", re.DOTALL
)
_ESCAPE = re.compile(r"\\(?:x([0-9a-fA-F]{1,2})|([0-7]{1,3})|(.))", re.DOTALL)
_PLAIN = {"n": 10, "t": 9, "r": 13, "a": 7, "b": 8, "f": 12, "v": 11}

_SYZ_CALL = re.compile(
    r"^(?:r\d+ = )?(syz_mount_image(?:\$(\w+))?|syz_read_part_table)\((.*)$", re.MULTILINE
)
_SYZ_PACKED = re.compile(r'="\$([A-Za-z0-9+/=]+)"')
_SYZ_SEGMENT = re.compile(
    r'\{&\(0x[0-9a-f]+\)=(?:"([0-9a-f]*)"|\'((?:[^\'\\]|\\.)*)\'|ANY=\[?[^\]]*\]?)'
    r"(?:/\d+)?, (0x[0-9a-f]+)(?:, (0x[0-9a-f]+))?\}"
)


@dataclass(frozen=True)
class CarriedImage:
    """One image of a reproducer."""

    # The kernel's name of the filesystem; "" for a partition table.
    filesystem: str
    image: Image


def extract_images(text: str) -> tuple[CarriedImage, ...]:
    """The images in C source or in a syzkaller program, in their order; the same one once.

    Raises:
        UsageError: one of them is damaged or too large.
    """
    found = list(_of_program(text) if _is_program(text) else _of_source(text))
    unique = {(one.filesystem, one.image.key): one for one in found}
    return tuple(
        CarriedImage(
            one.filesystem, one.image.renamed(f"mount_{number}{_suffix(one.filesystem)}.img")
        )
        for number, one in enumerate(unique.values())
    )


def images_of_calls(text: str) -> Iterator[Image]:
    """The image of each syz_mount_image of a syzkaller program, in order.

    Raises:
        UsageError: one of them is damaged or too large.
    """
    return (one.image for one in _of_program(text))


def _suffix(filesystem: str) -> str:
    clean = re.sub(r"[^\w-]", "", filesystem)[:20]
    return f"_{clean}" if clean else ""


def _is_program(text: str) -> bool:
    return "#include" not in text and "syscall(" not in text


# -- C -------------------------------------------------------------------------------------------


class _Memory:
    """What a reproducer has stored where."""

    def __init__(self) -> None:
        self._pages: dict[int, bytearray] = {}

    def write(self, address: int, data: bytes) -> None:
        for start in range(0, len(data), _PAGE):
            self._write(address + start, data[start : start + _PAGE])

    def _write(self, address: int, data: bytes) -> None:
        number, offset = divmod(address, _PAGE)
        page = self._pages.setdefault(number, bytearray(_PAGE))
        room = _PAGE - offset
        page[offset : offset + len(data[:room])] = data[:room]
        if len(data) > room:
            self._write(address + room, data[room:])

    def read(self, address: int, length: int) -> bytes:
        out = bytearray()
        while len(out) < length:
            number, offset = divmod(address + len(out), _PAGE)
            page = self._pages.get(number) or bytes(_PAGE)
            out += page[offset : offset + length - len(out)]
        return bytes(out)

    def number(self, address: int) -> int:
        return int.from_bytes(self.read(address, 8), "little")

    def string(self, address: int) -> str:
        return self.read(address, 64).split(b"\0")[0].decode("ascii", errors="replace")


def _of_source(text: str) -> Iterator[CarriedImage]:
    memory = _Memory()
    segmented = "fs_image_segment" in text
    for found in _FILL.finditer(text):
        where, literal, count, bits, at, value, fill_at, fill, fill_count, call, words = (
            found.groups()
        )
        if literal is not None:
            data = _literal(literal)
            length = min(int(count, 0), CONTENT_MAX)
            memory.write(int(where, 0), data[:length].ljust(min(length, len(data) + 1), b"\0"))
        elif bits is not None:
            size = int(bits) // 8
            stored = int(value, 0) & ((1 << int(bits)) - 1)
            memory.write(int(at, 0), stored.to_bytes(size, "little"))
        elif fill is not None:
            length = min(int(fill_count, 0), 1 << 24)
            memory.write(int(fill_at, 0), bytes([int(fill, 0) & 0xFF]) * length)
        else:
            numbers = _constants(words)
            if numbers is not None:
                yield from _mounted(call, numbers, memory, segmented=segmented)


def _constants(words: str) -> list[int] | None:
    """The arguments of a call; None unless all are constants."""
    numbers = []
    for word in _COMMENT.sub("", words).split(","):
        plain = word.strip().strip("()").rstrip("uUlL")
        if not re.fullmatch(rf"-?{_NUMBER}", plain):
            return None
        numbers.append(int(plain, 0))
    return numbers


def _mounted(
    call: str, numbers: Sequence[int], memory: _Memory, *, segmented: bool
) -> Iterator[CarriedImage]:
    if call == "syz_read_part_table":
        if len(numbers) >= 3 and segmented:
            image = _of_segments(numbers[0], numbers[1], numbers[2], memory)
            yield from [CarriedImage("", image)] if image.extents else []
        elif len(numbers) == 2:
            yield CarriedImage("", _unpacked(memory.read(numbers[1], _bounded(numbers[0]))))
    elif segmented and len(numbers) >= 5:
        # A mount without a device has no segments, or empty ones.
        image = _of_segments(numbers[2], numbers[3], numbers[4], memory)
        yield from [CarriedImage(memory.string(numbers[0]), image)] if image.extents else []
    elif len(numbers) == 7:
        packed = memory.read(numbers[6], _bounded(numbers[5]))
        yield CarriedImage(memory.string(numbers[0]), _unpacked(packed))


def _bounded(length: int) -> int:
    if not 0 <= length <= CONTENT_MAX:
        raise UsageError(f"syz_mount_image: {length} bytes; expected at most {CONTENT_MAX}")
    return length


def _of_segments(size: int, count: int, address: int, memory: _Memory) -> Image:
    pieces = []
    for number in range(min(count, _SEGMENTS_MAX)):
        entry = address + number * _SEGMENT
        data, length, offset = (memory.number(entry + 8 * field) for field in range(3))
        pieces.append((offset, memory.read(data, min(length, 1 << 24))))
    return _placed(size, pieces)


def _placed(size: int, pieces: Sequence[tuple[int, bytes]]) -> Image:
    """As the reproducer does: an image that ends before its last segment is longer than it says."""
    kept = [(offset, data) for offset, data in pieces if 0 <= offset < SIZE_MAX]
    end = max([0, *(offset + len(data) for offset, data in kept)])
    size = max(min(size, SIZE_MAX), end)
    if sum(len(data) for _, data in kept) > CONTENT_MAX or size > SIZE_MAX:
        raise UsageError(f"syz_mount_image: more than {CONTENT_MAX >> 20} MiB; expected less")
    return Image.of("image", size, kept)


def _literal(text: str) -> bytes:
    """The bytes of C string literals that stand one after another."""
    out = bytearray()
    for literal in re.findall(_LITERAL, text):
        out += _unescaped(literal[1:-1])
    return bytes(out)


def _unescaped(text: str) -> bytes:
    out = bytearray()
    done = 0
    for escape in _ESCAPE.finditer(text):
        out += text[done : escape.start()].encode("latin-1", errors="replace")
        hexadecimal, octal, plain = escape.groups()
        if hexadecimal is not None:
            out.append(int(hexadecimal, 16))
        elif octal is not None:
            out.append(int(octal, 8) & 0xFF)
        elif plain != "\n":
            out.append(_PLAIN.get(plain, ord(plain) & 0xFF))
        done = escape.end()
    return bytes(out + text[done:].encode("latin-1", errors="replace"))


def _unpacked(packed: bytes) -> Image:
    """The image that is packed in a string."""
    stream = zlib.decompressobj()
    pieces: list[tuple[int, bytes]] = []
    size = kept = 0
    try:
        while not stream.eof and (packed := packed or stream.unconsumed_tail):
            chunk = stream.decompress(packed, _CHUNK)
            if chunk.count(0) != len(chunk):
                pieces.append((size, chunk))
                kept += len(chunk)
            size += len(chunk)
            if size > SIZE_MAX or kept > CONTENT_MAX:
                raise UsageError("syz_mount_image: the image is too large; expected less")
            packed = stream.unconsumed_tail
            if not packed and not chunk:
                break
    except zlib.error as error:
        raise UsageError(f"syz_mount_image: {error}; expected an image packed by zlib") from None
    if size == 0:
        raise UsageError("syz_mount_image: an empty image; expected one packed by zlib")
    return Image.of("image", size, pieces)


# -- syzkaller's programs --------------------------------------------------------------------------


def _of_program(text: str) -> Iterator[CarriedImage]:
    for call in _SYZ_CALL.finditer(text):
        filesystem, words = call[2] or "", call[3]
        packed = _SYZ_PACKED.search(words)
        if packed is not None:
            try:
                data = base64.b64decode(packed[1], validate=True)
            except binascii.Error as error:
                raise UsageError(f"{call[1]}: {error}; expected base64") from None
            yield CarriedImage(filesystem, _unpacked(data))
        else:
            segments = _segments(words)
            if segments:
                size = _SYZ_OLD_SIZE.search(words)
                yield CarriedImage(filesystem, _placed(int(size[1], 0) if size else 0, segments))


# "'./file0\x00', SIZE, COUNT, &(…)=[{…": of the form before 2022.
_SYZ_OLD_SIZE = re.compile(r"(0x[0-9a-f]+), 0x[0-9a-f]+, &\(0x[0-9a-f]+\)=\[\{&")


def _segments(words: str) -> list[tuple[int, bytes]]:
    found = []
    for hexadecimal, plain, length, offset in _SYZ_SEGMENT.findall(words):
        data = bytes.fromhex(hexadecimal) if not plain else _unescaped(plain)
        found.append((int(offset or "0", 0), data[: int(length, 0)]))
    return found
