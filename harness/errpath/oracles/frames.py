"""Which frame of a stack names a failure: the first function that is no helper.

The one list of helpers. A leak is not in kmemdup(), an oops not in what prints it, and a hung task
not in the scheduler.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

__all__ = ["StackFrame", "base_name", "first_named", "is_helper", "own_frames", "stack_frames"]

# What the compiler appends to the name of a part or a copy of a function.
_SUFFIX = re.compile(r"\.(?:isra|constprop|part|cold|llvm)(?:\.\d+)*(?:\.\w+)*$")
_FRAME = re.compile(
    r"^\s*(?:\[<[0-9a-f]+>\] )?([A-Za-z_][\w.]*)\+0x[0-9a-f]+/0x[0-9a-f]+(?: \[([\w-]+)\])?"
)

# Regular expressions that a helper's whole name matches.
_HELPERS = (
    # Allocators, and what copies into what it has allocated.
    r"kmemleak\w*|set_track_prepare|stack_trace_save|stack_depot_\w+",
    r"_*k[mvz]*alloc\w*|_*kv?[mz]alloc\w*|_*k[cr]ealloc\w*|_*kcalloc\w*|__do_k\w+",
    r"\w+_k[vmz]+alloc\w*|_*kv(?:malloc|zalloc|calloc|realloc)\w*|_*kmem_cache_z?alloc\w*|_*slab_\w+|alloc_from_new_slab",
    r"_*v[mz]?alloc\w*|_*alloc_(?:frozen_)?pages\w*|_*folio_alloc\w*|filemap_alloc_folio\w*",
    r"_*get_free_pages?\w*|get_zeroed_page\w*|_*alloc_percpu\w*|pcpu_alloc\w*|mempool_\w*alloc\w*",
    r"kv?mem?dup\w*|kmemdup\w*|kstrn?dup\w*|v?memdup_user\w*|strndup_user|match_strdup|kv?asprintf\w*",
    r"kvasprintf\w*|kobject_set_name\w*|dev_set_name|devm_k\w+|bitmap_z?alloc\w*|alloc_inode_sb\w*",
    r"idr_alloc\w*|ida_alloc\w*|xas_(?:alloc|nomem)|radix_tree_\w*|__list_lru_\w+",
    # What prints and what checks.
    r"dump_stack\w*|show_stack\w*|print_\w+|__warn\w*|report_bug|handle_bug|exc_\w+|asm_\w+",
    r"_*(?:k[ac]san|asan|kmsan|kfence|ubsan|msan|tsan)_\w+|__ubsan\w*|ubsan\w*|check_memory_region",
    r"v?panic|oops_\w+|die\w*|page_fault_oops|kernel_?mode_fixup_or_oops|make_task_dead",
    r"refcount_warn_saturate|__list_(?:add|del)\w*|object_err|slab_err|fixup_\w+",
    r"_*lock_acquire|_*lock_release|validate_chain|check_\w+_lock\w*|check_noncircular|mark_lock\w*",
    r"lockdep_\w+|debug_\w+|rcu_read_lock\w*|__might_\w+|might_\w+",
    r"mem(?:cpy|set|move|cmp|chr)\w*|_*str(?:n?len|n?cpy|l?cpy|n?cmp|s?cpy|chr)\w*|_*copy_\w*user\w*",
    # What waits, and what interrupted it.
    r"_*schedule\w*|io_schedule\w*|preempt_schedule\w*|context_switch|_*cond_resched\w*",
    r"_*mutex_lock\w*|_*down_(?:read|write)\w*|_*down\w*|rwsem_\w+|percpu_(?:down|rwsem)\w*",
    r"_raw_(?:spin|read|write)_\w+|_*raw_spin\w*|queued_\w+|native_queued\w*|rt_mutex\w*|_*rt_\w*lock\w*",
    r"_*wait_(?:on|for)_\w+|out_of_line_wait_\w+|bit_wait\w*|_*folio_(?:lock|wait)\w*|_*lock_buffer",
    r"_*wait_event\w*|do_wait\w*|wb_wait_for_completion|submit_bio_wait|bio_await|blk_\w*wait\w*",
    r"_*flush_(?:work|workqueue)\w*|msleep\w*|usleep\w*|autoremove_wake\w*|do_nanosleep",
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


def stack_frames(text: str) -> tuple[StackFrame, ...]:
    """The certain frames of a stack as the kernel prints it; those with a question mark are not."""
    found = map(_FRAME.match, text.splitlines())
    return tuple(StackFrame(match[1], match[2] or "") for match in found if match is not None)
