"""A case as one C program that shows it without errpath. Pure.

The volume is in the source. What fails fails by itself where it can: a device that is read-only
stands for a setup_bdev_super() that gives an error, fail-nth for an allocation. Else fail_function
forces it, and the same file compiled as a module puts the function on the error-injection list. Its
first comment is the title, so that `errpath repro` knows what to expect of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from errpath.cases.case import MountCase
from errpath.cases.steps import FsOpen, Mount, Reconfigure, Remount, Step, Umount
from errpath.errors import UsageError
from errpath.faults.model import Alloc
from errpath.faults.plan import FaultPlan
from errpath.images import Image
from errpath.util.errnos import errno_value

__all__ = ["standalone_program"]

# Bytes of a volume that are not zero; a mail takes no more.
_DATA_MAX = 24 << 10
# Bytes of one line of data.
_LINE = 32
_FLAGS = {
    "ro": ("MS_RDONLY", "MOUNT_ATTR_RDONLY"),
    "nosuid": ("MS_NOSUID", "MOUNT_ATTR_NOSUID"),
    "nodev": ("MS_NODEV", "MOUNT_ATTR_NODEV"),
    "noexec": ("MS_NOEXEC", "MOUNT_ATTR_NOEXEC"),
    "sync": ("MS_SYNCHRONOUS", "0"),
    "dirsync": ("MS_DIRSYNC", "0"),
    "silent": ("MS_SILENT", "0"),
}
_HEAD = r"""#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef BLKROSET
#define BLKROSET 0x125d
#endif
"""
_DEVICE = r"""
static char device[32];

static void need(int ok, const char *what)
{
	if (ok)
		return;
	perror(what);
	exit(1);
}

static void report(const char *what, long got)
{
	printf("%s: %s\n", what, got < 0 ? strerror(errno) : "success");
	fflush(stdout);
}

static void attach(void)
{
	int control = open("/dev/loop-control", O_RDWR), image, loop, number;

	need(control >= 0, "/dev/loop-control");
	number = ioctl(control, LOOP_CTL_GET_FREE);
	need(number >= 0, "LOOP_CTL_GET_FREE");
	snprintf(device, sizeof(device), "/dev/loop%d", number);
	image = open("volume.img", O_RDWR | O_CREAT | O_TRUNC, 0600);
	need(image >= 0 && !ftruncate(image, SIZE), "volume.img");
	for (size_t n = 0; n < sizeof(volume) / sizeof(*volume); n++) {
		unsigned char bytes[64];
		size_t length = strlen(volume[n].hex) / 2;

		for (size_t i = 0; i < length; i++)
			sscanf(volume[n].hex + 2 * i, "%2hhx", &bytes[i]);
		need(pwrite(image, bytes, length, volume[n].at) == (ssize_t)length, "volume.img");
	}
	loop = open(device, O_RDWR);
	need(loop >= 0 && !ioctl(loop, LOOP_SET_FD, image), device);
	close(image);
@DEVICE@	mkdir("mnt", 0700);
	close(control);
	close(loop);
}

static void detach(void)
{
	int loop = open(device, O_RDONLY);

	umount2("mnt", MNT_DETACH);
	ioctl(loop, LOOP_CLR_FD, 0);
	close(loop);
}
"""
_CONFIGURE = r"""
/* As linux/mount.h has them, which does not go with sys/mount.h. */
#ifndef MOUNT_ATTR_RDONLY
#define MOUNT_ATTR_RDONLY 1
#define MOUNT_ATTR_NOSUID 2
#define MOUNT_ATTR_NODEV 4
#define MOUNT_ATTR_NOEXEC 8
#endif
enum { SET_FLAG, SET_STRING, CMD_CREATE = 6, CMD_RECONFIGURE = 7 };

static long configure(int context, int command, const char *key, const char *value)
{
	return syscall(SYS_fsconfig, context, command, key, value, 0);
}
"""
_WRITE = r"""
static void write_to(const char *path, const char *text)
{
	int file = open(path, O_WRONLY);

	need(file >= 0 && write(file, text, strlen(text)) > 0, path);
	close(file);
}
"""
_FAIL_NTH = r"""
/* Each allocation of the steps fails in turn (CONFIG_FAILSLAB, CONFIG_FAULT_INJECTION_DEBUG_FS). */
static void fail_each(void)
{
	write_to("/sys/kernel/debug/failslab/ignore-gfp-wait", "N");
	write_to("/sys/kernel/debug/failslab/verbose", "0");
	for (int n = 1; n < 5000; n++) {
		int status;

		if (fork() == 0) {
			char text[16] = "";
			int file = open("/proc/thread-self/fail-nth", O_RDWR);

			need(file >= 0, "/proc/thread-self/fail-nth");
			attach();
			snprintf(text, sizeof(text), "%d", n);
			need(write(file, text, strlen(text)) > 0, "fail-nth");
			steps();
			memset(text, 0, sizeof(text));
			pread(file, text, sizeof(text) - 1, 0);
			write(file, "0", 1);
			detach();
			exit(atoi(text) ? 3 : 0);
		}
		wait(&status);
		/* Not 0: there are fewer allocations than that. */
		if (WIFEXITED(status) && WEXITSTATUS(status))
			break;
	}
}
"""
# Compiled as a module. Only at run time is it known where a static function or a module's lies.
_MODULE = r"""
#ifdef MODULE
#include <linux/error-injection.h>
#include <linux/module.h>

static struct error_injection_entry target __used __section("_error_injection_whitelist") = {
	.addr = ADDRESS,
	.etype = EI_ETYPE_ERRNO,
};

static int __init target_init(void)
{
	return 0;
}

static void __exit target_exit(void)
{
}

module_init(target_init);
module_exit(target_exit);
MODULE_DESCRIPTION("Error-injection target");
MODULE_LICENSE("GPL");
#else
"""
_FORCE = r"""
#define FAIL "/sys/kernel/debug/fail_function/"

/* Only this task fails, and only while it says so. */
static void force(const char *function, const char *retval, const char *times)
{
	char path[300];

	write_to(FAIL "task-filter", "Y");
	write_to(FAIL "probability", "100");
	write_to(FAIL "interval", "1");
	write_to(FAIL "verbose", "0");
	write_to(FAIL "inject", function);
	snprintf(path, sizeof(path), FAIL "%s/retval", function);
	write_to(path, retval);
	write_to(FAIL "times", times);
}

static void fail(int now)
{
	write_to("/proc/self/make-it-fail", now ? "1" : "0");
}
"""


def standalone_program(case: MountCase, title: str) -> str:
    """The program of a case that shows `title`.

    Raises:
        UsageError: it cannot be shown without errpath; the text says why.
    """
    twin, note = _twin(case)
    forced = twin.fault if isinstance(twin.fault, FaultPlan) else None
    nth = isinstance(case.fault, Alloc)
    traits = "".join(f"\t{line}\n" for line in _traits(twin))
    body = ["", _HEAD, *_volume(_content(twin)), _DEVICE.replace("@DEVICE@", traits)]
    if any(isinstance(step, FsOpen | Reconfigure) for step in twin.steps):
        body.append(_CONFIGURE)
    if nth or forced is not None:
        body.append(_WRITE)
    run = ["fail_each();"] if nth else ["attach();", "steps();", "detach();"]
    if forced is not None:
        body.append(_FORCE)
        retval = f"{-errno_value(forced.errno) & (1 << 64) - 1:#x}"
        run.insert(0, f'force("{forced.function}", "{retval}", "{forced.times}");')
    body += ["", "static void steps(void)", "{", *_steps(twin), "}"]
    if nth:
        body.append(_FAIL_NTH)
    body += ["", "int main(void)", "{", *(f"\t{line}" for line in run), "\treturn 0;", "}"]
    head = [f"// {title}", f"// {case.id}, {note}" if note else f"// {case.id}"]
    if forced is not None:
        head += _how_to_force(forced, case.filesystem)
        body = [_MODULE.rstrip("\n"), *body, "#endif"]
    head.append("// gcc -static; run as root, in an empty directory that can hold the volume")
    return "\n".join([*head, *body]).replace("\n\n\n", "\n\n") + "\n"


def _how_to_force(fault: FaultPlan, filesystem: str) -> Iterator[str]:
    """What has to be done before the program runs; `errpath repro` does it by the second word."""
    yield f"// fails {fault.function}, which is no error-injection target of the kernel: with"
    yield f"// CONFIG_FAIL_FUNCTION, and {filesystem} loaded, this file is compiled as a module and"
    yield "// loaded first (as x.c, with this Kbuild):"
    yield "//	obj-m := x.o"
    yield (
        f'//	ccflags-y := -DADDRESS=0x$(shell awk \'$$3 == "{fault.function}" '
        "{ print $$1; exit }' /proc/kallsyms)"
    )


def _twin(case: MountCase) -> tuple[MountCase, str]:
    """The same case with as little forced as can be, and what stands for what was forced."""
    if case.devices or case.device.node is not None or case.device.held:
        raise UsageError(f"{case.id}: no program: it has several devices, or one without an image")
    if case.places:
        raise UsageError(
            f"{case.id}: no program: two tasks meet in it, for which errpath loads a module "
            "(guests/modules/wait)"
        )
    fault = case.fault
    if fault is None or isinstance(fault, Alloc):
        return case, "each allocation fails in turn" if fault is not None else ""
    mounts = [step for step in case.steps if isinstance(step, Mount | FsOpen) and step.armed]
    if (
        isinstance(fault, FaultPlan)
        and fault.function == "setup_bdev_super"
        and mounts
        and all("ro" not in step.flags for step in mounts)
    ):
        note = "its device is read-only, so that setup_bdev_super() gives -EACCES"
        unforced = tuple(replace(step, fail=None) for step in case.steps)
        return replace(case, steps=unforced, device=replace(case.device, readonly=True)), note
    if isinstance(fault, FaultPlan):
        return case, ""
    raise UsageError(
        f"{case.id}: no program: only a forced failure shows it ({fault.text}), for which "
        "errpath loads a module (guests/modules/faults)"
    )


def _content(case: MountCase) -> Image:
    image = case.device.content
    if image is None:
        raise UsageError(f"{case.id}: no program: it mounts no image")
    return image


def _volume(image: Image) -> Iterator[str]:
    yield f"#define SIZE {image.size}"
    yield "/* What is not zero of the volume. */"
    yield "static const struct { long at; const char *hex; } volume[] = {"
    total = 0
    for offset, data in image.extents:
        for at in range(0, len(data), _LINE):
            piece = data[at : at + _LINE].rstrip(b"\0")
            start = len(piece) - len(piece.lstrip(b"\0"))
            if piece:
                total += len(piece) - start
                yield f'\t{{ {offset + at + start:#x}, "{piece[start:].hex()}" }},'
    if not total:
        yield '\t{ 0, "" },'
    yield "};"
    if total > _DATA_MAX:
        raise UsageError(
            f"{image.name}: no program: {total} bytes of the volume are not zero; expected "
            f"{_DATA_MAX} at most"
        )


def _traits(case: MountCase) -> Iterator[str]:
    device = case.device
    if device.block_size:
        yield f'need(!ioctl(loop, LOOP_SET_BLOCK_SIZE, {device.block_size}L), "block size");'
    if device.readonly:
        yield 'need(!ioctl(loop, BLKROSET, &(int){ 1 }), "BLKROSET");'


def _steps(case: MountCase) -> Iterator[str]:
    for step in case.steps:
        make = _STEPS.get(type(step))
        if make is None:
            # What reads or writes the mounted volume is of errpath's own checks.
            raise UsageError(f"{case.id}: no program: its step {step.op!r} is errpath's own")
        armed = step.armed and isinstance(case.fault, FaultPlan)
        yield from ["\tfail(1);"] if armed else []
        yield from (f"\t{line}" for line in make(step))
        yield from ["\tfail(0);"] if armed else []


def _flags(step: Mount | FsOpen | Remount | Reconfigure, number: int) -> str:
    names = [_FLAGS[flag][number] for flag in step.flags]
    return " | ".join(name for name in names if name != "0") or "0"


def _text(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _mount(step: Step) -> Iterator[str]:
    assert isinstance(step, Mount)
    words = f'device, "mnt", {_text(step.fstype)}, {_flags(step, 0)}, {_text(step.data)}'
    yield f'report("mount", mount({words}));'


def _remount(step: Step) -> Iterator[str]:
    assert isinstance(step, Remount)
    flags = " | ".join(word for word in ("MS_REMOUNT", _flags(step, 0)) if word != "0")
    yield f'report("remount", mount(device, "mnt", NULL, {flags}, {_text(step.data)}));'


def _umount(step: Step) -> Iterator[str]:
    assert isinstance(step, Umount)
    yield f'report("umount", umount2("mnt", {"MNT_DETACH" if step.lazy else 0}));'


def _options(step: FsOpen | Reconfigure) -> Iterator[str]:
    if "ro" in step.flags:
        yield 'report("ro", configure(fs, SET_FLAG, "ro", NULL));'
    for key, value in step.pairs:
        command = "SET_FLAG" if value is None else "SET_STRING"
        words = f"{_text(key)}, {'NULL' if value is None else _text(value)}"
        yield f"report({_text(key)}, configure(fs, {command}, {words}));"


def _fsopen(step: Step) -> Iterator[str]:
    assert isinstance(step, FsOpen)
    yield "{"
    yield f"\tint fs = syscall(SYS_fsopen, {_text(step.fstype)}, 0), mounted = -1;"
    yield ""
    yield '\treport("source", configure(fs, SET_STRING, "source", device));'
    yield from (f"\t{line}" for line in _options(step))
    if step.until != "options":
        yield '\treport("create", configure(fs, CMD_CREATE, NULL, NULL));'
    if step.until == "mount":
        yield f"\tmounted = syscall(SYS_fsmount, fs, 0, {_flags(step, 1)});"
        yield '\treport("fsmount", mounted);'
        yield '\treport("move_mount", syscall(SYS_move_mount, mounted, "", AT_FDCWD, "mnt", 4));'
    yield "\tclose(mounted);"
    yield "\tclose(fs);"
    yield "}"


def _reconfigure(step: Step) -> Iterator[str]:
    assert isinstance(step, Reconfigure)
    yield "{"
    yield '\tint fs = syscall(SYS_fspick, AT_FDCWD, "mnt", 0);'
    yield ""
    yield from (f"\t{line}" for line in _options(step))
    yield '\treport("reconfigure", configure(fs, CMD_RECONFIGURE, NULL, NULL));'
    yield "\tclose(fs);"
    yield "}"


_STEPS: dict[type[Step], Callable[[Step], Iterator[str]]] = {
    Mount: _mount,
    Remount: _remount,
    Umount: _umount,
    FsOpen: _fsopen,
    Reconfigure: _reconfigure,
}
