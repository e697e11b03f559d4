"""A guest without QEMU: the agent's verbs over a model of kmemleak, at the `Channel` boundary.

What a case does in it is written in its first step's `data`, as comma-separated words:

    leak=512            the case's task loses an object of 512 bytes; leak=512/32: of 32 in a later
                        boot than the first
    worker=64           a kernel worker loses one on the case's behalf
    once                what is lost, or vanishes, does so in the first boot only
    warn                the kernel logs a WARNING meanwhile
    worker-warns        it does so once the case is over; with once, in the first boot only
    inversion           lockdep reports it, and nothing any more in this guest
    oops                the kernel logs an oops and kills the task
    reclaim             the kernel panics when it reclaims memory, in a later boot than the first
    scan                it panics when kmemleak scans it, once the case is over
    panic               the console says so, and the guest is gone
    vanish              the guest is gone without a word
    crowd               what is lost hides every canary of this guest
    blind               kmemleak sees nothing any more in this guest
    hang                the task does not end
    later               it oopses, hangs, vanishes or is not hit in a later boot than the first only
    again               it vanishes when it runs for the second time in one guest
    refuse              the agent cannot set the case up
    unfired             the fault does not hit
    errno=EIO           the first step gives this instead of what is expected
    chance              it does so in the first boot only
    interrupt           the user interrupts the run

What a case leaves behind that kmemleak does not see:

    references=2        two references to the module nls_test; -1: gives one back that it never took
    objects=3           three objects
    first=2             two objects, when it runs for the first time in a guest
    fluke=2             two objects, in the first boot only
    bios=4              a bio more in the processor's cache, four times in a boot
    waiting=1           an object that waits for RCU, and goes before the next case is over
    corrupts            reclaim, which counts wait for, uses memory after it was freed
    borrows=1           a reference to the module nls_test, in the first boot only
    stays               the module hfs does not unload any more
    listed              a superblock stays listed
    arms=5              a timer that is due in 5 s; with freed, the kernel panics when it fires

`id=NAME` does nothing: it tells cases apart.
"""

from __future__ import annotations

import errno
import itertools
import re
import socket
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from errpath.cases.case import Device, MountCase
from errpath.cases.steps import Mount
from errpath.errors import BootError
from errpath.faults.plan import FaultPlan
from errpath.guest.channel import AgentError, ChannelClosedError, Reply
from errpath.guest.console import Console
from errpath.guest.machine import Guest
from errpath.oracles import canary, kmemleak
from errpath.oracles.modules import PENDING
from errpath.runner.guests import PreparedGuest
from errpath.util.deadline import Deadline
from errpath.util.errnos import errno_value
from suites.selftest.oracles.kmemleak_model import KmemleakModel, RefusedError

__all__ = ["PLACE", "SimChannel", "World", "make_case"]

_CANARY_SIZES = (64, 512, 2048)
# Files that take anything: ftrace's, and what the counts of resources are settled with.
_WRITABLE = ("/sys/kernel/tracing/", "/proc/sys/vm/", "/sys/kernel/debug/errpath_probe")
# Where the objects of a case are allocated, and how many references to nls_test there are at first.
PLACE = "fs/hfs/super.c:1 [hfs] func:keeps"
_BIOS = "block/bio.c:566 func:bio_alloc_bioset"
_REFERENCES = 50
_WARNING = "WARNING: fs/super.c:638 at generic_shutdown_super+0x10b/0x160, CPU#0: x/33"
_INVERSION = "WARNING: possible circular locking dependency detected"
_OOPS = "BUG: kernel NULL pointer dereference, address: 0000000000000318"
_CORRUPTION = """\
==================================================================
BUG: KASAN: slab-use-after-free in shrink_lruvec+0x124c/0x2740
Read of size 8 at addr ffff88800587aa60 by task errpath-agent/38
==================================================================
"""
_PANIC = "Kernel panic - not syncing: Fatal exception"


def make_case(name: str, does: str = "", *, expect: str = "EIO", fault: str = "f") -> MountCase:
    """A case that forces `fault` and does in the sim what `does` says."""
    plan = FaultPlan(fault, expect or "EIO") if fault else None
    return MountCase(
        name,
        "hfs",
        Device(),
        (Mount("hfs", options=does, fail=plan, expect=expect),),
        point="setup_bdev_super",
        errno=expect,
    )


@dataclass
class World:
    """Everything that outlives one guest, and what all guests of a test are like."""

    # Where console logs go; None: the guests have no console.
    directory: Path | None = None
    # Guests whose boot fails, counted from 1, and with what.
    failing_boots: dict[int, Exception] = field(default_factory=dict)
    # As without slab_debug=U.
    sheaves: bool = False
    # Functions that cannot be failed, and why.
    unknown: dict[str, str] = field(default_factory=dict)
    # Functions that the kernel does not have, and filesystems that do not load, and why.
    absent: dict[str, str] = field(default_factory=dict)
    broken: dict[str, str] = field(default_factory=dict)
    # Guests that are lost, counted from 1, at the first use of a verb.
    lost: set[tuple[int, str]] = field(default_factory=set)
    # Files of every guest.
    files: dict[str, bytes] = field(default_factory=dict)
    # Called with each new guest's channel, and with its number.
    on_boot: Callable[[SimChannel, int], None] = lambda channel, number: None
    # Called with the request of each case that has run and its answer: what of it is otherwise.
    on_case: Callable[[SimChannel, Mapping[str, Any], Mapping[str, Any]], Mapping[str, Any]] = (
        lambda channel, request, answer: {}
    )
    # Whether /proc/timer_list is there, and cases take time.
    clock: bool = False
    boots: int = 0
    open: int = 0
    # What ran, in order, by the words of its first step, with the boot's number.
    ran: list[tuple[str, int]] = field(default_factory=list)
    # Names and texts of all files that were written.
    written: list[tuple[str, str]] = field(default_factory=list)

    def boot(self) -> PreparedGuest:
        """What an runner calls for a fresh guest."""
        self.boots += 1
        if self.boots in self.failing_boots:
            raise self.failing_boots[self.boots]
        folder = (self.directory or Path()) / f"guest-{self.boots}"
        if self.directory is not None:
            folder.mkdir(parents=True)
            (folder / "qemu.argv").write_text("sim\n")
            (folder / "qemu.log").write_text("")
        channel = SimChannel(self, self.boots, folder / "console.log")
        self.on_boot(channel, self.boots)
        guest = Guest(channel, release="7.2.0-sim", console=channel.console)
        return PreparedGuest(
            guest,
            folder,
            dict(self.unknown),
            modules={"hfs": ("hfs",)},
            absent=dict(self.absent),
            broken=dict(self.broken),
        )

    def runs(self, words: str) -> int:
        """How often a case that does `words` ran."""
        return Counter(does for does, _ in self.ran)[words]


class SimChannel:
    """The agent's verbs."""

    def __init__(self, world: World, number: int, log: Path) -> None:
        self.world = world
        self.number = number
        self.model = KmemleakModel(sheaves=world.sheaves)
        self.files = {canary.CANARY_FILE: b"64\n512\n2048\n"} | world.files
        self.console: Console | None = None
        self._serial: socket.socket | None = None
        if world.directory is not None:
            host, self._serial = socket.socketpair()
            self.console = Console(host, log)
        self._pids = itertools.count(30)
        self._references = _REFERENCES
        # Objects since they were counted last, and those of them that wait.
        self._objects = 0
        self._waiting = 0
        # Bios since they were counted last, and those of this boot.
        self._bios = 0
        self._cached = 0
        # What cases here were told apart by, and all that they did.
        self._ran: set[str] = set()
        self._left: set[str] = set()
        self._gone = False
        self._crowded = False
        self._lockdep_off = False
        # What the kernel logged since the last case was over.
        self._since = ""
        # Timers that are armed: seconds until they are due, task, whether their memory is freed.
        self._timers: list[tuple[float, str, bool]] = []
        self._closed = False
        world.open += 1

    def hello(self, deadline: Deadline) -> Mapping[str, Any]:
        return {"hello": 1, "release": "7.2.0-sim"}

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self.world.open -= 1
            self._hang_up()
            if self.console is not None:
                self.console.close()

    def call(
        self, verb: str, arguments: Mapping[str, Any], *, blob: bytes, deadline: Deadline
    ) -> Reply:
        if (self.number, verb) in self.world.lost:
            self.world.lost.remove((self.number, verb))
            self._gone = True
        if self._gone or self._closed:
            raise ChannelClosedError("agent: channel closed by the guest")
        handlers = {
            "file.read": self._read,
            "file.write": self._write,
            "sleep": self._sleep,
            "quiesce": self._quiesce,
            "case.run": self._case,
            "counts": self._tell_counts,
            "image.put": self._done,
            "fault.clear": self._done,
            "dmesg": self._done,
            "module.unload": self._unload,
        }
        if verb not in handlers:
            raise AgentError(verb, errno.ENOSYS, "no such verb in the sim")
        return handlers[verb](arguments, blob)

    def say(self, text: str) -> None:
        """Print on the console."""
        if self._serial is not None:
            self._serial.sendall(text.encode() + b"\r\n")

    def show(self, text: str) -> None:
        """Print a line, and see it on the console."""
        self.say(text)
        if self.console is not None:
            self.console.wait(re.escape(text), Deadline.after(10, "what is printed"))

    def _hang_up(self) -> None:
        if self._serial is not None:
            self._serial.close()

    # -- verbs -----------------------------------------------------------------------------------

    def _read(self, arguments: Mapping[str, Any], _: bytes) -> Reply:
        path = arguments["path"]
        if path == kmemleak.SCAN_FILE:
            return Reply({}, self.model.read().encode())
        if path == "/proc/timer_list" and self.world.clock:
            now = f"now at {self.model.monotonic_ms * 1_000_000} nsecs\n"
            return Reply({}, f"{now}\ncpu: 0\njiffies: {self.model.jiffies}\n".encode())
        supers = b"tmpfs tmpfs active\n" + b"hfs loop0 dead\n" * ("listed" in self._left)
        timers = "".join(f"{due * 1000:.0f} {task} f [hfs]\n" for due, task, _ in self._timers)
        files = {
            "/sys/kernel/debug/errpath_supers": supers,
            PENDING.file: timers.encode(),
        } | self.files
        if path not in files:
            raise AgentError("file.read", errno.ENOENT, path)
        return Reply({}, files[path])

    def _tell_counts(self, _arguments: Mapping[str, Any], _: bytes) -> Reply:
        return Reply({"counts": self._counts()}, b"")

    def _counts(self) -> dict[str, str]:
        """The kernel's accounts of its resources."""
        changed = {PLACE: self._objects, _BIOS: self._bios}
        self._objects = self._bios = 0
        return {
            "allocations": "".join(f"{n} {place}\n" for place, n in changed.items() if n),
            "modules": f"hfs 4096 0 - Live 0x0\nnls_test 4096 {self._references} - Live 0x0\n",
        }

    def _write(self, arguments: Mapping[str, Any], blob: bytes) -> Reply:
        path, text = arguments["path"], blob.decode()
        self.world.written.append((path, text))
        if path == kmemleak.SCAN_FILE and text == "scan" and "scan" in self._left:
            self._panic()
        elif path == kmemleak.SCAN_FILE:
            try:
                self.model.write(text)
            except RefusedError as error:
                raise AgentError("file.write", error.number, path) from None
        elif path == canary.CANARY_FILE and text == "plant":
            # Where it is crowded, something points to each of them.
            for size in self._sizes(path):
                frames = ("__kmalloc_noprof+0x1/0x2", "errpath_canary_plant+0x1/0x9 [canary]")
                self.model.leak(size, str(arguments["as"]), next(self._pids), frames)
        elif path == canary.CANARY_FILE and text == "reap":
            self.model.free_by("errpath_canary_plant")
        elif text == "press" and "reclaim" in self._left and self.number > 1:
            self._panic()
        elif not path.startswith(_WRITABLE):
            raise AgentError("file.write", errno.ENOENT, path)
        return Reply({}, b"")

    def _panic(self) -> None:
        self.say(_PANIC)
        self._gone = True
        self._hang_up()
        raise ChannelClosedError("agent: channel closed by the guest")

    def _sizes(self, path: str) -> list[int]:
        return [] if self._crowded else [int(word) for word in self.files[path].split()]

    def _sleep(self, arguments: Mapping[str, Any], _: bytes) -> Reply:
        seconds = arguments["ms"] / 1000
        self.model.sleep(seconds)
        if any(due <= seconds and freed for due, _, freed in self._timers):
            self._panic()
        self._timers = [
            (due - seconds, task, freed) for due, task, freed in self._timers if due > seconds
        ]
        return Reply({}, b"")

    def _done(self, _arguments: Mapping[str, Any], _: bytes) -> Reply:
        return Reply({}, b"")

    def _unload(self, arguments: Mapping[str, Any], _: bytes) -> Reply:
        stays = "stays" in self._left or self._references > _REFERENCES
        if arguments["name"] == "hfs" and stays:
            raise AgentError("module.unload", errno.EWOULDBLOCK, "hfs")
        return Reply({}, b"")

    def _quiesce(self, _arguments: Mapping[str, Any], _: bytes) -> Reply:
        self.model.quiesce()
        return Reply({}, b"")

    def _case(self, arguments: Mapping[str, Any], _: bytes) -> Reply:
        step = arguments["steps"][0]
        does = dict(word.partition("=")[::2] for word in step.get("data", "").split(",") if word)
        self.world.ran.append((step.get("data", ""), self.number))
        pid = next(self._pids)
        if self.world.clock:
            self.model.sleep(_CASE_SECONDS)
        began = self.model.monotonic_ms
        if self.world.clock:
            self.model.sleep(_CASE_SECONDS)
        if "interrupt" in does:
            raise KeyboardInterrupt
        if "refuse" in does:
            raise AgentError("case.run", errno.ENOSPC, "loop device")
        if "panic" in does:
            self.say(_PANIC)
        first = "once" not in does or self.number == 1
        if "blind" in does:
            self.model.sheaves = True
        ends = "later" not in does or self.number > 1
        vanishes = ("vanish" in does and first and ends) or (
            "again" in does and does["id"] in self._ran
        )
        if "panic" in does or vanishes:
            self._gone = True
            self._hang_up()
            raise ChannelClosedError("agent: channel closed by the guest")
        self._keep(does, arguments["name"], settle=bool(arguments.get("settle")))
        if first:
            self._lose(does, arguments["name"], pid)
        fault = arguments["fault"]
        expected = -fault["retval"] if fault else 0
        wrong = "errno" in does and ("chance" not in does or self.number == 1)
        number = errno_value(does["errno"]) if wrong else expected
        # What comes after a step that fails is not tried; anything else works.
        rest = () if number else arguments["steps"][1:]
        further = [{"errno": 0, "syscall": step["op"], "log": ""} for step in rest]
        self.files["/sys/kernel/tracing/trace"] = _TRACE
        values: dict[str, Any] = {
            "pid": pid,
            "began_ms": began,
            "steps": [{"errno": number, "syscall": "mount", "log": ""}, *further],
            "fired": (0 if "unfired" in does and ends else 1) if fault else None,
        }
        if arguments.get("count"):
            values["counts"] = self._counts()
        if self._since:
            values["kmsg_before"] = self._since
        # Reclaim reports what the case left.
        corrupts = "corrupts" in does and bool(arguments.get("settle"))
        self._since = _CORRUPTION if corrupts else ""
        if "worker-warns" in does and first:
            self._since = _WARNING
            self.show(_WARNING)
        if "warn" in does:
            values["kmsg"] = _WARNING
        if "inversion" in does and not self._lockdep_off:
            self._lockdep_off = True
            values["kmsg"] = _INVERSION
        if "oops" in does and ends:
            values |= {"kmsg": _OOPS, "signal": 9, "steps": []}
        if "hang" in does and ends:
            values |= {"hung": True, "stack": "[<0>] super_lock+0x6d/0x130", "steps": []}
        return Reply(values | dict(self.world.on_case(self, arguments, values)), b"")

    def _keep(self, does: Mapping[str, str], task: str, *, settle: bool) -> None:
        """What a case keeps of the resources that are counted."""
        name = does.get("id", "")
        self._references += int(does.get("references", 0))
        self._references += int(does.get("borrows", 0)) if self.number == 1 else 0
        kept = int(does.get("objects", 0))
        kept += int(does.get("first", 0)) if name not in self._ran else 0
        kept += int(does.get("fluke", 0)) if self.number == 1 else 0
        waiting = 0 if settle else int(does.get("waiting", 0))
        self._objects += kept + waiting - self._waiting
        self._waiting = waiting
        if self._cached < int(does.get("bios", 0)):
            self._cached += 1
            self._bios += 1
        self._ran.add(name)
        if "arms" in does:
            self._timers.append((float(does["arms"]), task, "freed" in does))
        self._left |= does.keys()

    def _lose(self, does: Mapping[str, str], task: str, pid: int) -> None:
        frames: tuple[str, ...] = (
            "__kmalloc_cache_noprof+0x1/0x2",
            "hfs_init_fs_context+0x1f/0x90 [hfs]",
            "alloc_fs_context+0x114/0x1e0",
        )
        if "leak" in does:
            sizes = does["leak"].split("/")
            self.model.leak(int(sizes[0 if self.number == 1 else -1]), task, pid, frames)
        self._crowded |= "crowd" in does
        if "worker" in does:
            frames = ("__kmalloc_cache_noprof+0x1/0x2", "hfs_flush_work+0x2/0x9 [hfs]")
            self.model.leak(int(does["worker"]), "kworker/0:1", 7, frames)


_CASE_SECONDS = 0.1
_TRACE = b"""\
# tracer: function_graph
 get_tree_bdev_flags() {
   sget_fc();
   deactivate_locked_super() {
     kill_block_super();
   }
 }
"""


def boot_error() -> BootError:
    """A kernel that does not reach its agent."""
    return BootError("kernel bzImage: did not reach the agent: nothing was printed")
