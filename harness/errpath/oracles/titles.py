"""A report's first lines → its title, in syzbot's words.

The title names the report's kind and one function. Which function that is depends on the kind:
where the processor stood, where a lock was taken, who allocated a page. A `_Rule` says so.
Measured against syzkaller's own collection of reports (docs/reports.md).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from errpath.kernel.log import Crash, is_headline
from errpath.oracles.failure import stable_text
from errpath.oracles.frames import base_name, frame_of, is_helper

__all__ = ["ReportTitle", "report_title"]

# Stands for the function while there is none.
_NOWHERE = "?"
_ADDRESS_MARK = r"(?:\[?<?[0-9a-fx]+>?\]? +)?"
_FUNCTION = r"([A-Za-z_][\w.]*)\+0x[0-9a-f]+(?:/0x[0-9a-f]+)?"

# Where a stack begins, and with that the one before ends.
_STACK = re.compile(
    r"Call [Tt]race|Backtrace:|(?:Allocated|Freed):|(?:Allocated|Freed) by task \d+|[^k] backtrace"
    r"|Uninit was stored to memory at|status: [0-9a-f]{16} badaddr: [0-9a-f]{16} cause:"
)
_TRACE = re.compile(r"Call [Tt]race:|Backtrace:")
# Of x86, arm, powerpc, RISC-V. A processor that stood nowhere or in a program names no function.
_REGISTERS = re.compile(
    r"\b(?:[RE]?IP|NIP|e?pc |PC is at):? (?:\d+:)?"
    rf"(?:\[?<?(?:0x)?[0-9a-f]+>?\]? +){{0,2}}{_FUNCTION}"
    r"|\b(?:[RE]?IP|NIP|e?pc |PC is at):? (?:\d+:)?(?:\[?<?(?:0x)?[0-9a-f]+>?\]?|\s*\(null\))"
)
_TRAPPED = re.compile(rf"(?:{_REGISTERS.pattern})|--- interrupt: [0-9a-f]+ at {_FUNCTION}")
_AT = re.compile(rf"\bat: {_ADDRESS_MARK}{_FUNCTION}")
# "at f+0x1/0x2" of a warning; without "at" up to 6.16, behind file and line.
_WARNING = re.compile(rf"WARNING: .*(?:\bat |:\d+ ){_FUNCTION}")
_IN = re.compile(rf" in {_ADDRESS_MARK}{_FUNCTION}")
_RELEASED = re.compile(rf"^\s*\[<[0-9a-f]+>\] +{_FUNCTION}|^\s*{_FUNCTION}$")
_INTERRUPTED = re.compile(r"apic_timer_interrupt|Exception stack|el1h_64_irq|tick_handle_periodic")
# On arm a line names two frames: "[<…>] (f) from [<…>] (g+0x1/0x2)".
_INNERMOST = re.compile(r"\(([A-Za-z_][\w.]*)\) from ")
_PAGE_OWNER = re.compile(r"page last allocated")

# Lines that must be found one after another before the frames of a stack; what they capture is on
# that stack.
_Way = tuple[re.Pattern[str], ...]
_STOOD: tuple[_Way, ...] = ((_REGISTERS, _TRACE), (_TRACE,), ())
_CALLED: tuple[_Way, ...] = ((_TRACE,), ())
_WARNED: tuple[_Way, ...] = ((_TRAPPED,), (_TRACE,), ())
_NAMED: tuple[_Way, ...] = ((_IN, _TRACE), (_TRACE,), (_IN,))
_LOCKED: tuple[_Way, ...] = ((_AT, _AT), (_AT,), (_TRACE,))

# In `choose`: functions that serve everybody's requests. The one before them, on the way inwards,
# says whose request it was.
_SERVES_ALL = re.compile(
    r"process_one_work|do_(?:fast_)?syscall_|sysenter_dispatch|tracesys_phase2|el0_svc_handler"
    r"|invoke_syscall|ret_fast_syscall|netif_receive_skb|do_softirq|call_timer_fn|_run_timers"
    r"|run_timer_softirq|hrtimer_run|run_ksoftirqd|smpboot_thread_fn|^kthread$|start_secondary"
    r"|cpu_startup_entry|ret_from_fork|vfs_(?:iter_)?(?:write|read|ioctl|open)"
    r"|do_iter_(?:read|write)|call_(?:read|write)_iter|new_sync_(?:read|write)|ksys_ioctl"
    r"|compat_(?:sys_)?ioctl|blkdev_(?:driver_)?ioctl|^call_mmap|mmap_region|do_mmap|do_dentry_open"
    r"|^sock_(?:sendmsg|recvmsg|release|mmap|ioctl|do_ioctl)|^__sock_release|kernel_setsockopt"
    r"|^(?:setsockopt|listen|accept)$|sock_common_setsockopt|kernel_(?:listen|accept)"
    r"|sk_common_release|^compat_sock_ioctl|^(?:nf|rt)netlink_rcv_msg|^netlink_dump"
    r"|^(?:sys_)?(?:socketpair|connect|ioctl)|__do_fault|do_page_fault|^page_fault$|__fput"
    r"|task_work_run|exit_to_usermode|smp_call_function|tasklet_(?:hi_)?action"
)
_WAITS = re.compile(
    r"sched|_lock|_slowlock|down|rwsem|completion|kthread|wait|synchronize|context_switch"
    r"|__switch_to|cancel_delayed_work|rcu_barrier"
)
# Hangs in these are titled by them: what they wait for is not on the stack.
_GRACE_PERIODS = re.compile(r"synchronize_(?:s?rcu|net|sched)")


def _innermost(functions: Sequence[str]) -> str:
    return functions[0] if functions else ""


def _request(functions: Sequence[str]) -> str:
    """The function that a request went into: a task that runs in circles is caught anywhere."""
    found = _innermost(functions)
    for function in functions:
        if "smp_call_function" in function:
            return "smp_call_function"
        if _SERVES_ALL.search(function):
            return found
        found = function
    return ""


def _waiter(functions: Sequence[str]) -> str:
    """The function that waits for what does not come."""
    for function in functions:
        if "rtnl_lock" in function:
            return function
        if _GRACE_PERIODS.search(function):
            return "synchronize_rcu"
    return next((one for one in functions if not _WAITS.search(one)), "")


@dataclass(frozen=True)
class _Rule:
    """How reports of one kind are titled."""

    # Searched in the report's first lines.
    first: re.Pattern[str]
    # {f} is the function, {0}, {1}, … are groups of the first line.
    title: str
    # The ways to the stack; the first on which a function is found.
    ways: tuple[_Way, ...] = _STOOD
    # Further helpers of such reports; None for none.
    helpers: re.Pattern[str] | None = None
    choose: Callable[[Sequence[str]], str] = _innermost


def _rule(
    first: str,
    title: str,
    ways: tuple[_Way, ...] = _STOOD,
    helpers: str = "",
    choose: Callable[[Sequence[str]], str] = _innermost,
) -> _Rule:
    return _Rule(re.compile(first), title, ways, re.compile(helpers) if helpers else None, choose)


_NULL = "BUG: unable to handle kernel NULL pointer dereference in {f}"
_PAGING = "BUG: unable to handle kernel paging request in {f}"
_LOCK_HEADS = r"(?:WARNING|INFO): possible (?:circular|recursive|irq lock|deadlock)"
# Of KASAN on arm64: the way from the fault to the report.
_TAGS = r"kernel_fault|tag_check|mem_abort|^el1h?_"
_OBJECTS = (
    r"debug_|rcu|hrtimer_|timer_|work_|percpu_|vunmap|vfree|__free_|kobject_|stub_timer|hint:"
)

# The first that fits a line.
_RULES = (
    # Sanitizers.
    _rule(
        r"BUG: KASAN: (?:double-free or invalid-free|double-free|invalid-free)",
        "KASAN: invalid-free in {f}",
        _NAMED,
        "slab_|kfree|vunmap|vfree|kmem_cache",
    ),
    _rule(r"BUG: KASAN: ([a-z-]+) in ", "KASAN: {0}{access} in {f}", _NAMED, _TAGS),
    _rule(r"BUG: KASAN: ([a-z-]+) on address", "KASAN: {0}{access}"),
    _rule(
        r"BUG: KFENCE: (use-after-free|out-of-bounds|invalid) (read|write) in ",
        "KFENCE: {0} {1} in {f}",
        _NAMED,
    ),
    _rule(r"BUG: KFENCE: (.+?) in ", "KFENCE: {0} in {f}", _NAMED),
    _rule(
        r"BUG: KMSAN: ([a-z-]+)",
        "KMSAN: {0} in {f}",
        ((),),
        r"alloc_skb|netlink_ack|netlink_rcv_skb|_encrypt$|^(?:crypto|cipher|drbg|rng)_"
        r"|usb_(?:start_wait_urb|bulk_msg|interrupt_msg|submit_urb|control_msg)",
    ),
    _rule(r"BUG: KCSAN: (.*)", "KCSAN: {0}"),
    _rule(
        r"UBSAN: Undefined behaviour in",
        "UBSAN: undefined-behaviour in {f}",
        _CALLED,
        "ubsan|overflow",
    ),
    _rule(r"UBSAN: (.*?) in", "UBSAN: {0} in {f}", _CALLED, "ubsan|overflow"),
    # Faults of the processor.
    _rule(r"[Kk]ernel NULL pointer dereference", _NULL),
    _rule(
        r"[Uu]nable to handle kernel access to user memory",
        _PAGING.replace("paging request", "access to user memory"),
    ),
    _rule(r"[Uu]nable to handle (?:kernel (?:paging|data access)|page fault)", _PAGING),
    _rule(r"general protection fault", "general protection fault in {f}"),
    _rule(r"stack segment", "stack segment fault in {f}"),
    _rule(r"PANIC: double fault", "PANIC: double fault in {f}"),
    _rule(r"double fault", "double fault in {f}"),
    _rule(r"divide[ _]error", "divide error in {f}"),
    _rule(r"stack guard page was hit", "BUG: stack guard page was hit in {f}", choose=_request),
    _rule(r"Internal error:", "Internal error in {f}"),
    # What checks found.
    _rule(r"kernel BUG at mm/usercopy\.c", "BUG: bad usercopy in {f}", _CALLED, "usercopy|__check"),
    _rule(
        r"kernel BUG at lib/list_debug\.c|list_(?:add|del) corruption", "BUG: corrupted list in {f}"
    ),
    _rule(r"kernel BUG at ", "kernel BUG in {f}", helpers="^skb_"),
    _rule(
        r"BUG: ((?:spin|rw)lock) (lockup suspected|already unlocked|recursion|cpu recursion"
        r"|bad magic|wrong owner|wrong CPU|trylock failure)",
        "BUG: {0} {1} in {f}",
        _CALLED,
        "spin_|_lock|_unlock",
    ),
    _rule(
        r"BUG: scheduling while atomic", "BUG: scheduling while atomic in {f}", _CALLED, "schedule"
    ),
    _rule(
        r"BUG: Bad page (state|cache)",
        "BUG: Bad page {0} in {f}",
        ((_PAGE_OWNER,),),
        r"(?:free|put|get|update|release)_page|free_unref|^_*folio|truncate_inode_pages"
        r"|page_frag_free|alloc|vmap|page_owner",
    ),
    _rule(r"BUG: Bad (page map|rss-counter state)", "BUG: Bad {0}"),
    _rule(r"BUG: non-zero (\w+) on freeing mm", "BUG: non-zero {0} on freeing mm"),
    _rule(r"BUG: Dentry .* still in use .*\[(unmount) of", "BUG: Dentry still in use in {0}"),
    _rule(
        r"BUG: sleeping function called",
        "BUG: sleeping function called from invalid context in {f}",
        _CALLED,
    ),
    _rule(
        r"BUG: using (\w+)\(\) in preemptible",
        "BUG: using {0}() in preemptible code in {f}",
        _CALLED,
        "preempt|debug_|processor_id|this_cpu",
    ),
    _rule(
        r"BUG: workqueue leaked lock or atomic",
        "BUG: workqueue leaked lock or atomic in {f}",
        ((re.compile(r"last function: (\w+)"),),),
    ),
    _rule(r"VFS: Close: file count is 0", "VFS: Close: file count is zero (use-after-free)"),
    _rule(
        r"VFS: Busy inodes after unmount of (?:\S+ \((\w+)\))?",
        "VFS: Busy inodes after unmount ({or_freed})",
    ),
    # Locks.
    _rule(r"possible irq lock inversion", "possible deadlock in {f}", ((_AT,), (_TRACE,))),
    _rule(
        r"-safe -> .*-unsafe lock order",
        "possible deadlock in {f}",
        ((re.compile(r"which became .* at:"),), (_AT,)),
    ),
    _rule(
        _LOCK_HEADS,
        "possible deadlock in {f}",
        _LOCKED,
        r"process_one_work|(?:flush|drain|destroy)_workqueue",
    ),
    _rule(r"INFO: inconsistent lock state", "inconsistent lock state in {f}", ((_AT,), (_TRACE,))),
    _rule(r"inconsistent lock state", "inconsistent lock state in {f}", _CALLED),
    _rule(
        r"(WARNING|INFO): suspicious RCU usage",
        "{0}: suspicious RCU usage in {f}",
        _CALLED,
        "rcu|kmem|slab",
    ),
    _rule(
        r"(WARNING|BUG): bad unlock balance",
        "{0}: bad unlock balance in {f}",
        ((_RELEASED, _TRACE), (_TRACE,)),
    ),
    _rule(r"(WARNING|BUG): held lock freed", "{0}: held lock freed in {f}", ((_AT,),)),
    _rule(r"(WARNING|BUG): .*still has locks held", "{0}: still has locks held in {f}", ((_AT,),)),
    _rule(
        r"(WARNING|BUG): lock held when returning to user",
        "{0}: lock held when returning to user space in {f}",
        ((_AT,),),
    ),
    _rule(r"Nested lock was not taken", "WARNING: nested lock was not taken in {f}", _WARNED),
    _rule(
        r"BUG: Invalid wait context",
        "WARNING: locking bug in {f}",
        _CALLED,
        "lock_sock|release_sock",
    ),
    _rule(
        r"INFO: trying to register non-static key",
        "INFO: trying to register non-static key in {f}",
        _CALLED,
        "stack|lock|IRQ",
    ),
    # Warnings of subsystems that check others.
    _rule(r"WARNING: .*lib/debugobjects\.c", "WARNING: ODEBUG bug in {f}", _WARNED, _OBJECTS),
    _rule(
        r"WARNING: .*mm/usercopy\.c", "WARNING: bad usercopy in {f}", _WARNED, "usercopy|__check"
    ),
    _rule(r"WARNING: .*lib/kobject\.c", "WARNING: kobject bug in {f}", _WARNED, "kobject_"),
    _rule(
        r"WARNING: .*fs/proc/generic\.c", "WARNING: proc registration bug in {f}", _WARNED, "proc_"
    ),
    _rule(
        r"WARNING: .*lib/refcount\.c|^refcount_t: ",
        "WARNING: refcount bug in {f}",
        _WARNED,
        "refcount|kobject_",
    ),
    _rule(
        r"WARNING: .*kernel/locking/lockdep\.c.*lock_",
        "WARNING: locking bug in {f}",
        _WARNED,
        "lock_sock|release_sock",
    ),
    _rule(
        r"WARNING: .*mm/.*\.c.* k?.?malloc",
        "WARNING: kmalloc bug in {f}",
        _WARNED,
        "kmalloc|krealloc|slab|kmem",
    ),
    _rule(
        r"WARNING: .*mm/vmalloc\.c.*__vmalloc_node", "WARNING: zero-size vmalloc in {f}", _WARNED
    ),
    _rule(r"WARNING: kernel stack (\w+)", "WARNING: kernel stack {0} has bad value"),
    _rule(r"WARNING: .*\.[chS]:\d+", "WARNING in {f}", ((_WARNING,), *_WARNED)),
    # Tasks and processors that do not get on.
    _rule(r"INFO: task .* blocked ", "INFO: task hung in {f}", _CALLED, choose=_waiter),
    _rule(r"INFO: task .* can't die", "INFO: task can't die in {f}", _CALLED, "schedule"),
    _rule(r"BUG: soft lockup", "BUG: soft lockup in {f}", choose=_request),
    _rule(
        r"INFO: rcu\S* (?:self-)?detected",
        "INFO: rcu detected stall in {f}",
        (
            (re.compile("apic_timer_interrupt"), _REGISTERS),
            (_INTERRUPTED,),
            (_REGISTERS, _TRACE),
            (_TRACE,),
        ),
        "apic_timer_interrupt|rcu",
        _request,
    ),
    _rule(r"BUG: workqueue lockup", "BUG: workqueue lockup"),
    # The end. What it is about was in a report before.
    _rule(
        r"panic - not syncing: stack-protector: .*corrupted in: ([A-Za-z_]\w*)\+0x",
        "kernel panic: stack is corrupted in {0}",
    ),
    _rule(
        r"panic - not syncing: stack-protector:",
        "kernel panic: stack is corrupted in {f}",
        _CALLED,
        "stack_chk",
    ),
    _rule(
        r"panic - not syncing: corrupted stack end",
        "kernel panic: corrupted stack end in {f}",
        _CALLED,
        "schedule|retint_kernel",
        _request,
    ),
    _rule(
        r"panic - not syncing: kernel stack overflow",
        "kernel stack overflow in {f}",
        _CALLED,
        "bad_stack",
        _request,
    ),
    _rule(r"panic - not syncing: Attempted to kill init!", "kernel panic: Attempted to kill init!"),
    _rule(r"Kernel panic - not syncing: (.*)", "kernel panic: {0}"),
    _rule(r"^Oops\b", "Oops in {f}"),
)
_ACCESS = re.compile(r"\b(Read|Write) (?:of size|at addr) ")
_SLAB = re.compile(r"BUG (\S+) \([^)]*\): (.*)")
_TAIL = re.compile(r"\s*(?:\+0x[0-9a-f]+(?:/0x[0-9a-f]+)?)?(?: \[[\w-]+\])?$")
# The first lines of one report, at most: its headlines stand together. Characters of each.
_HEAD_LINES = 60
_HEAD_MAX = 400


@dataclass(frozen=True)
class ReportTitle:
    """What a report is called."""

    text: str
    # The functions of the stack that named it, innermost first.
    functions: tuple[str, ...]
    # The title with the innermost function, where syzbot's words have one further out: what makes
    # two such reports the same. Empty where the title does.
    signature: str = ""


def report_title(crash: Crash) -> ReportTitle:
    """The title of a report."""
    lines = crash.text.splitlines()
    slab = _SLAB.search(crash.title)
    if slab is not None:
        return ReportTitle(f"{slab[2]} in slab {slab[1]}", _on_stack(lines, ()))
    for number, line in ((0, crash.title[:_HEAD_MAX]), *_headlines(lines)):
        for rule in _RULES:
            found = rule.first.search(line)
            if found is not None:
                return _filled(rule, found, line, lines[number:], crash.text)
    return ReportTitle(_TAIL.sub("", _stable_words(crash.title[:_HEAD_MAX])), _on_stack(lines, ()))


def _headlines(lines: Sequence[str]) -> list[tuple[int, str]]:
    """The lines before the stack that could begin a report as well, with their numbers."""
    found = []
    for number, line in enumerate(lines[1:_HEAD_LINES], 1):
        if _TRACE.search(line):
            break
        if is_headline(line):
            found.append((number, line[:_HEAD_MAX]))
    return found


def _filled(
    rule: _Rule, found: re.Match[str], line: str, lines: Sequence[str], text: str
) -> ReportTitle:
    access = _ACCESS.search(text)
    groups = [_stable_words(group or "") for group in found.groups()]

    def titled(function: str) -> str:
        return rule.title.format(
            *groups,
            f=function or _NOWHERE,
            access=f" {access[1]}" if access is not None else "",
            or_freed=groups[0] if groups and groups[0] else "use-after-free",
        ).removesuffix(f" in {_NOWHERE}")

    own, functions = _own_stack(rule, lines)
    if not own:
        inside = _IN.search(line) or _WARNING.search(line)
        return ReportTitle(titled(base_name(inside[1]) if inside is not None else ""), functions)
    title = titled(rule.choose(own) or own[0])
    innermost = titled(own[0])
    return ReportTitle(title, functions, stable_text(innermost) if innermost != title else "")


def _own_stack(rule: _Rule, lines: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The functions of a report's stack that may name it, and all of them."""
    first: tuple[tuple[str, ...], tuple[str, ...]] = ((), ())
    for way in rule.ways:
        every = _on_stack(lines, way)
        own = tuple(
            _entry_name(function)
            for function in every
            if not is_helper(function)
            and (rule.helpers is None or not rule.helpers.search(function))
        )
        if rule.choose(own):
            return own, every
        first = first if first[1] else (own, every)
    return first


def _on_stack(lines: Sequence[str], way: _Way) -> tuple[str, ...]:
    """What the lines of `way` capture, and the frames after them; () where one is missing."""
    found: list[str] = []
    rest = iter(lines)
    for pattern in way:
        match = next((m for m in map(pattern.search, rest) if m is not None), None)
        if match is None:
            return ()
        found += [group for group in match.groups() if group][:1]
    if not way:
        # The first stack, whatever is in front of it.
        rest = iter(lines[1:])
    seen = False
    for line in rest:
        if _STACK.search(line):
            if way or seen:
                break
            continue
        frame = frame_of(line)
        if frame is not None:
            if not seen and (inner := _INNERMOST.search(line)) is not None:
                found.append(inner[1])
            seen = True
            found.append(frame.function)
    return tuple(base_name(one) for one in found)


# How a system call's entry is called on the way in.
_ENTRY = re.compile(
    r"^(?:SYSC_|SyS_|sys_|__(?:x64|ia32|arm64)_|_{2,4}sys_|__se_sys_|__se_|__do_sys_|compat_SYSC_"
    r"|compat_SyS_|ksys_)"
)


def _entry_name(function: str) -> str:
    return _ENTRY.sub("", function) or function


_ADDRESSES = re.compile(r"(?<![A-Za-z0-9])(?:0x)?[0-9a-f]{6,}\b")
_PLACES = re.compile(r"(\.\w+)(?::\d+)+")
_NUMBERS = re.compile(r"(?<=\W)\d+(?=\W|$)")


def _stable_words(text: str) -> str:
    """Words of a first line without what changes from run to run, as syzbot writes them."""
    text = re.sub(rf"{_FUNCTION}", r"\1", text)
    text = _PLACES.sub(r"\1:LINE", _ADDRESSES.sub("ADDR", text))
    return _NUMBERS.sub("NUM", text.replace("CPU#", "CPU ")).strip()
