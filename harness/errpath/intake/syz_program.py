"""A syzkaller program (.syz) → C source, where it holds only what needs no description.

That is `syz_mount_image`, and calls whose arguments are constants, earlier results, strings and
bytes at addresses. Structures need syzkaller's descriptions: such a program is translated by
`syz-prog2c` where that is installed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from errpath.errors import UsageError
from errpath.images import Image
from errpath.intake.syz_image import images_of_calls
from errpath.util import process
from errpath.util.cache import scratch_directory
from errpath.util.deadline import Deadline

__all__ = ["Translation", "translate"]

_CALL = re.compile(r"^(?:r(\d+) = )?(\w+)(?:\$(\w+))?\((.*)\)(?: \([^)]*\))?$")
_NUMBER = re.compile(r"^(-?0x[0-9a-f]+|-?\d+)$")
_RESULT = re.compile(r"^r(\d+)$")
_POINTER = re.compile(
    r"^&\((0x7f[0-9a-f]+)(?:/0x[0-9a-f]+)?\)(?:=(nil)|='((?:[^'\\]|\\.)*)'(?:/\d+)?"
    r"|=\"([0-9a-f]*)\"(?:/\d+)?|=ANY=\[@ANYBLOB=\"([0-9a-f]*)\"(?:/\d+)?\])?$"
)
# A mount option inside a structure: {@flag}, {@name={'name', 0x3d, value}}.
_OPTION = re.compile(r"\{@(\w+)(?:=\{'(\w+)', 0x3d, (?:'([^']*)'|(0x[0-9a-f]+))\})?\}")
_OPTIONS = re.compile(r"^&\((0x7f[0-9a-f]+)\)=\{\[(.*)\](?:, \[\])?\}$")
_BASE, _MAPPED = 0x7F0000000000, 0x20000000
_SECONDS = 60.0

_HEAD = r"""
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/loop.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

struct extent { uint64_t offset, length; };

/* As syz_mount_image does: the image on a loop device, mounted on a new directory. */
static long mount_image(const char *fs, const char *dir, unsigned long flags, const char *options,
			int enter, const unsigned char *data, const struct extent *extents,
			int count, uint64_t size)
{
	char name[32];
	int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
	int number = ioctl(control, LOOP_CTL_GET_FREE);
	int file = memfd_create("image", MFD_CLOEXEC);

	if (ftruncate(file, size) != 0)
		perror("ftruncate");
	for (int i = 0; i < count; data += extents[i++].length)
		if (pwrite(file, data, extents[i].length, extents[i].offset) < 0)
			perror("pwrite");
	snprintf(name, sizeof(name), "/dev/loop%d", number);
	int loop = open(name, O_RDWR | O_CLOEXEC);
	if (ioctl(loop, LOOP_SET_FD, file) != 0)
		perror(name);
	mkdir(dir, 0777);
	if (mount(name, dir, fs, flags, options) != 0)
		perror("mount");
	int opened = open(dir, O_RDONLY | O_DIRECTORY);
	if (enter && chdir(dir) != 0)
		perror(dir);
	ioctl(loop, LOOP_CLR_FD, 0);
	close(loop);
	close(file);
	close(control);
	return opened;
}

"""


@dataclass(frozen=True)
class Translation:
    """A program as C."""

    text: str
    # Files that the source includes by name.
    files: dict[str, bytes]


def translate(text: str, name: str) -> Translation:
    """The C source of a syzkaller program.

    Raises:
        UsageError: it needs syzkaller's descriptions and `syz-prog2c` is not installed, or fails.
    """
    try:
        return _translated(text)
    except _NotPlainError as reason:
        program = process.program_path("syz-prog2c")
        if program is None:
            raise UsageError(
                f"{name}: {reason}: needs syzkaller's descriptions; expected syz-prog2c on PATH, "
                "or the C reproducer"
            ) from None
        return Translation(_by_syzkaller(program, text, name), {})


class _NotPlainError(Exception):
    """What a program has that needs descriptions."""


def _by_syzkaller(program: str, text: str, name: str) -> str:
    with scratch_directory() as scratch:
        file = scratch / "prog"
        file.write_text(text)
        try:
            done = process.run(
                [program, "-prog", file], deadline=Deadline.after(_SECONDS, "syz-prog2c")
            )
        except process.ProgramError as error:
            raise UsageError(f"{name}: {error}; expected a program for syz-prog2c") from None
        return done.stdout.decode(errors="replace")


def _translated(text: str) -> Translation:
    images = images_of_calls(text)
    files: dict[str, bytes] = {}
    data: list[str] = []
    body: list[str] = []
    results: set[str] = set()
    lines = [line.strip() for line in text.splitlines()]
    for line in lines:
        if not line or line.startswith("#"):
            continue
        call = _CALL.match(line)
        if call is None:
            raise _NotPlainError(f"{line[:60]!r}")
        result, name, variant, words = call.groups()
        arguments = list(_split(words))
        if name == "syz_mount_image":
            image = next(images)
            number = len(files)
            files[f"image{number}"] = b"".join(piece for _, piece in image.extents)
            data.append(_image_data(number, image))
            fill, value = _mount(arguments, variant or "", number, image)
        elif name.startswith("syz_"):
            raise _NotPlainError(name)
        else:
            fill, value = _plain_call(name, arguments)
        if result is not None:
            results.add(result)
            value = f"r{result} = {value}"
        body += [*fill, f"{value};"]
    used = results | set(re.findall(r"\br(\d+)\b", "\n".join(body)))
    declared = "".join(f"static long r{number} = -1;\n" for number in sorted(used))
    indented = "".join(f"\t{line}\n" for line in body)
    main = (
        f"int main(void)\n{{\n\tmmap((void *){_MAPPED:#x}, 0x1000000, 7, 0x32, -1, 0);\n"
        f"{indented}\treturn 0;\n}}\n"
    )
    return Translation(f"{_HEAD}{''.join(data)}{declared}{main}", files)


def _split(words: str) -> Iterator[str]:
    """Arguments, at the commas outside of brackets and strings."""
    depth, start, quote = 0, 0, ""
    skip = False
    for at, character in enumerate(words):
        if skip:
            skip = False
        elif quote:
            skip = character == "\\"
            quote = "" if character == quote else quote
        elif character in "'\"":
            quote = character
        elif character in "([{":
            depth += 1
        elif character in ")]}":
            depth -= 1
        elif character == "," and depth == 0:
            yield words[start:at].strip()
            start = at + 1
    if words[start:].strip():
        yield words[start:].strip()


def _plain_call(name: str, arguments: list[str]) -> tuple[list[str], str]:
    fill: list[str] = []
    values = []
    for word in arguments:
        value, more = _value(word)
        values.append(value)
        fill += more
    return fill, f"syscall({', '.join((f'SYS_{name}', *values))})"


def _value(word: str) -> tuple[str, list[str]]:
    """An argument as a C expression, and the statements that fill what it points to."""
    if word == "nil":
        return "0L", []
    if _NUMBER.match(word):
        return f"{int(word, 0) & (2**64 - 1):#x}UL", []
    if (result := _RESULT.match(word)) is not None:
        return f"r{result[1]}", []
    pointer = _POINTER.match(word)
    if pointer is None:
        raise _NotPlainError(f"argument {word[:60]!r}")
    address = f"{int(pointer[1], 16) - _BASE + _MAPPED:#x}UL"
    _, _, text, hexadecimal, blob = pointer.groups()
    if text is not None:
        return address, [f'memcpy((void *){address}, "{_as_c(text)}", sizeof("{_as_c(text)}"));']
    raw = bytes.fromhex(hexadecimal or blob or "")
    if not raw:
        return address, []
    literal = '""'.join(f"\\x{byte:02x}" for byte in raw)
    return address, [f'memcpy((void *){address}, "{literal}", {len(raw)});']


def _as_c(text: str) -> str:
    """A string of syzkaller's as a C literal; a hexadecimal escape ends where syzkaller's ends."""
    return re.sub(r"(\\x[0-9a-f]{2})", r'\1""', text.replace('"', '\\"'))


def _mount(arguments: list[str], variant: str, number: int, image: Image) -> tuple[list[str], str]:
    """fs, dir, flags, opts, chdir, size, img; earlier fs, dir, size, nsegs, segs, flags, opts."""
    packed = any('="$' in word for word in arguments)
    if len(arguments) < 7:
        raise _NotPlainError(f"syz_mount_image with {len(arguments)} arguments")
    chosen = [arguments[i] for i in ((0, 1, 2, 3, 4) if packed else (0, 1, 5, 6))]
    if re.fullmatch(r"&\(0x7f[0-9a-f]+\)", chosen[0]):
        # The type is a constant of the description.
        chosen[0] += f"='{variant}\\x00'"
    options = _options(chosen[3])
    if options is not None:
        chosen[3] = options
    fill: list[str] = []
    values = []
    for word in chosen:
        value, more = _value(word)
        values.append(value)
        fill += more
    fs, directory, flags, data = values[:4]
    enter = values[4] if packed else "0"
    return fill, (
        f"mount_image((char *){fs}, (char *){directory}, {flags}, (char *){data}, {enter}, "
        f"image{number}, extents{number}, {len(image.extents)}, {image.size:#x}UL)"
    )


def _options(word: str) -> str | None:
    """A structure of mount options as a string argument; None for any other argument."""
    found = _OPTIONS.match(word)
    if found is None:
        return None
    pairs = []
    for flag, name, text, value in _OPTION.findall(found[2]):
        pairs.append(f"{name}={text or int(value, 16)}" if name else flag)
    if _OPTION.sub("", found[2]).strip(", "):
        raise _NotPlainError(f"mount options {found[2][:60]!r}")
    return f"&({found[1]})='{','.join(pairs)}\\x00'"


def _image_data(number: int, image: Image) -> str:
    """The image's bytes from a file beside the source, and where they go."""
    places = ", ".join(f"{{{offset:#x}, {len(piece):#x}}}" for offset, piece in image.extents)
    return (
        f"extern const unsigned char image{number}[];\n"
        f'__asm__(".section .rodata\\nimage{number}: .incbin \\"image{number}\\"\\n.byte 0\\n'
        '.previous");\n'
        f"static const struct extent extents{number}[] = {{ {places or '{0, 0}'} }};\n"
    )
