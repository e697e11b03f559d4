"""Which frame of a stack names a failure: the first function that is no helper.

The one list of helpers. A leak is not in kmemdup(), an oops not in what prints it, and a hung task
not in the scheduler.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

__all__ = [
    "StackFrame",
    "base_name",
    "first_named",
    "frame_of",
    "is_helper",
    "own_frames",
    "stack_frames",
]

# What the compiler appends to the name of a part or a copy of a function.
_SUFFIX = re.compile(r"\.(?:isra|constprop|part|cold|llvm)(?:\.\d+)*(?:\.\w+)*$")
# With up to two addresses in front; of arm, "[<…>] (f) from [<…>] (g+0x1/0x2)".
_FRAME = re.compile(
    r"^\s*\(?(?:\[<?(?:0x)?[0-9a-f]+>?\] ?){0,2}"
    r"(?:\([\w.]+\) from \[<[0-9a-f]+>\] \(|[\w.]+ from )?"
    r"([A-Za-z_][\w.]*)\+0x[0-9a-f]+/0x[0-9a-f]+(?: \[([\w-]+)[^\]]*\])?"
)

# Regular expressions that a helper's whole name matches.
_HELPERS = (
    # Allocators, and what copies into what it has allocated.
    r"kmemleak\w*|set_track_prepare|stack_trace_\w+|stack_depot_\w+",
    r"_*k[mvz]*alloc\w*|_*kv?[mz]alloc\w*|_*k[cr]ealloc\w*|_*kcalloc\w*|__do_k\w+",
    r"\w+_k[vmz]+alloc\w*|_*kv(?:malloc|zalloc|calloc|realloc)\w*|_*kmem_cache_\w+|_*slab_\w+|alloc_from_new_slab",
    r"_*v[mz]?alloc\w*|_*alloc_(?:frozen_)?pages?\w*|\w*_alloc_page\w*|_*folio_alloc\w*",
    r"_*get_free_pages?\w*|get_zeroed_page\w*|_*alloc_percpu\w*|pcpu_alloc\w*|mempool_\w*alloc\w*",
    r"kv?mem?dup\w*|kmemdup\w*|kstrn?dup\w*|v?memdup_user\w*|strndup_user|match_strdup|kv?asprintf\w*",
    r"kvasprintf\w*|kobject_\w+|__kobject_\w+|dev_set_name|devm_k\w+|bitmap_z?alloc\w*|alloc_inode_sb\w*",
    r"idr_alloc\w*|ida_(?:alloc|free)\w*|radix_tree_\w*|__list_lru_\w+|kv?free|kfree_skb\w*",
    r"_*xas_(?:alloc|nomem|start|load|find)\w*|filemap_alloc_folio\w*|_*filemap_get_folio\w*",
    r"find_or_create_page|do_read_cache_folio|(?:do_)?read_cache_page\w*|pagecache_get_page\w*",
    r"grab_cache_page_write_begin|find_lock_entries|truncate_inode_pages_range",
    # What prints and what checks.
    r"dump_stack\w*|dump_backtrace\w*|walk_stackframe\w*|show_stack\w*|print_\w+|_*warn\w*|report_bug",
    r"handle_bug|exc_\w+|asm_\w+|\w*printk\w*|va_format|_?dev_(?:info|notice|warn|err|crit|emerg|alert)",
    r"_*(?:k[ac]san|asan|kmsan|hwasan|kfence|ubsan|msan|tsan|sanitizer)_\w+|__ubsan\w*|ubsan\w*",
    r"check_memory_region\w*|_*check_(?:heap_)?object\w*|\w*[a-z]_word_(?:at_a_time|nocheck)|get_taint",
    r"\w*panic\w*|__fortify_\w+|assertfail|hex_dump_to_buffer|die\w*|oops_\w+",
    r"page_fault_oops|kernel_?mode_fixup_or_oops|make_task_dead|(?:do_)?invalid_op|do_error\w*",
    r"\w+_trap|do_trap\w*|do_(?:kernel|translation)_fault|do_mem_abort|el1_abort|el1h_64_sync\w*",
    r"program_check_\w+|__x86_indirect_thunk\w*|__phys_addr\w*|seqprop_\w+|__seqprop\w*",
    r"_*refcount_\w+|_*kref_\w+|ref_tracker_\w+|_*(?:list|rb|klist)_\w+|object_err|slab_err|fixup_\w+",
    r"_*lock_acquire\w*|_*lock_release\w*|validate_chain|check_\w+_lock\w*|check_noncircular|lock_timer_base",
    r"mark_lock\w*|\w*_held_locks|\w*lock_class\w*|hlock_\w+|lockdep_\w+|_*(?:hard|soft)irqs?_\w+",
    r"(?:trace|lockdep)_(?:hard|soft)irqs?\w*|_*debug_\w+|perf_trace_\w+|(?:timer|work)_is_static_object",
    r"rcu_read_lock\w*|_*might_\w+|_*local_bh_\w*|\w*bh_(?:en|dis)able\w*|rhashtable_lookup\w*",
    r"\w*mem(?:cpy|set|move|cmp|chr)\w*|_*str(?:n?len|n?cpy|l?cpy|n?cmp|s?cpy|n?str|chr|n?dup)\w*",
    r"\w*copy_\w*user|\w*copy_(?:page_|folio_)?(?:to|from)_iter\w*|copy(?:in|out)|\w*(?:get|put)_user\w*",
    r"\w*string|pointer|\w*sc?nprintf|_*(?:raw_)?(?:read|write)[bwlq]|logic_(?:in|out)\w*|crc\d+\w*|crc_itu_t",
    r"\w*atomic(?:64)?_(?:dec|inc|read|set|or|xor|and|add|sub|fetch|xchg|cmpxchg|try)\w*",
    r"\w*(?:set|clear|change|test)_bit\w*|extract_(?:user|iter)_to_sg",
    # What takes and lets go of what is somebody else's.
    r"iput|iput_final|ihold|(?:fast_)?dput|drop_nlink|mark_buffer_dirty|cleanup_srcu_struct",
    r"(?:get_device_parent|device_(?:add|del|unregister|destroy|release)|put_device|devres_release_all)\w*",
    r"device_for_each_child|device_remove_file|\w*sysfs_remove\w*|add_uevent_var|unregister_netdev\w*",
    r"rollback_registered\w*|tty_unregister_device|hwrng_unregister|i2c_del_adapter|__unregister_client",
    r"usb_(?:kill_urb|kill_anchored_urbs|control_msg|hcd_submit_urb|submit_urb)|dummy_urb_enqueue",
    # What waits, what wakes, and what interrupted it.
    r"_*schedule\w*|io_schedule\w*|preempt_schedule\w*|context_switch|_*cond_resched\w*",
    r"_*(?:rt_)?mutex_\w+|_*down_(?:read|write)\w*|_*down\w*|_*up_(?:read|write)\w*|rwsem_\w+",
    r"percpu_(?:down|rwsem)\w*|owner_on_cpu|osq_\w*lock|raw_spin_rq\w*|_*folio_unlock|(?:un)?lock_page\w*",
    r"\w*(?:spin|read|write)_(?:try|un)?lock\w*|_raw_(?:spin|read|write)_\w+|_*raw_spin\w*",
    r"queued_\w+|native_queued\w*|rt_mutex\w*|_*rt_\w*lock\w*|__wake_up\w*|complete|finish_wait",
    r"_*wait_(?:on|for)_\w+|out_of_line_wait_\w+|bit_wait\w*|_*folio_(?:lock|wait)\w*|_*lock_buffer",
    r"_*wait_event\w*|do_wait\w*|wb_wait_for_completion|submit_bio_wait|bio_await|blk_\w*wait\w*",
    r"_*flush_(?:work|workqueue)\w*|(?:drain|destroy)_workqueue\w*|_*cancel_(?:delayed_)?work\w*|kthread_stop",
    r"try_to_grab_pending|insert_work|_*queue_(?:delayed_)?work\w*|\w*(?:del|mod)_timer\w*|_*timer_delete\w*",
    r"sk_stop_timer\w*|msleep\w*|usleep\w*|autoremove_wake\w*|do_nanosleep",
    r"irqentry_\w+|sysvec_\w+|common_interrupt|ret_from_\w+|unwind_\w+|arch_stack_walk",
)
_HELPER = re.compile("|".join(_HELPERS))


@dataclass(frozen=True)
class StackFrame:
    """A function on a stack, and the module that holds it."""

    function: str
    # Empty for built-in code.
    module: str = ""


def base_name(function: str) -> str:
    """A function's name without the compiler's suffixes, which change from build to build."""
    return _SUFFIX.sub("", function)


def is_helper(function: str) -> bool:
    """Whether a failure is not named after this function."""
    return function.startswith("0x") or _HELPER.fullmatch(base_name(function)) is not None


def own_frames(functions: Iterable[str]) -> list[str]:
    """The functions of a stack, innermost first, without helpers and compiler's suffixes."""
    return [base_name(function) for function in functions if not is_helper(function)]


def first_named(functions: Sequence[str]) -> str:
    """The function that names a stack; its innermost where all are helpers; "" for no stack."""
    own = own_frames(functions)
    return own[0] if own else base_name(functions[0]) if functions else ""


def frame_of(line: str) -> StackFrame | None:
    """The frame that a line of a stack shows; None for another line, and for a doubtful frame."""
    match = _FRAME.match(line)
    return StackFrame(match[1], match[2] or "") if match is not None else None


def stack_frames(text: str) -> tuple[StackFrame, ...]:
    """The certain frames of a stack as the kernel prints it; those with a question mark are not."""
    found = map(frame_of, text.splitlines())
    return tuple(frame for frame in found if frame is not None)
