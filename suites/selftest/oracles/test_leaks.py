"""Leaked objects and resources as failures."""

from __future__ import annotations

from errpath.oracles.failure import LEAK, RESOURCE_LEAK
from errpath.oracles.kmemleak import CallSite, Record
from errpath.oracles.leaks import leak_failures, resource_failures
from errpath.oracles.resources import Resource, ResourceLeak

_OMFS = ("__kmalloc_node_track_caller_noprof", "kmemdup_noprof", "omfs_get_imap", "omfs_fill_super")
_HFS = ("__kmalloc_cache_noprof", "hfs_init_fs_context", "alloc_fs_context", "path_mount", "a")


def _record(*functions: str, address: int = 1, offset: int = 2, size: int = 512) -> Record:
    sites = tuple(CallSite(name, offset, None) for name in functions)
    return Record(address, size, "t", address, address, sites, f"raw {address}")


def test_the_function_that_asked_for_a_copy_is_named() -> None:
    (found,) = leak_failures([_record(*_OMFS)])
    assert found.title == "memory leak in omfs_get_imap"
    assert found.signature == "memory leak in omfs_get_imap < omfs_fill_super"


def test_a_signature_holds_across_addresses_sizes_and_builds() -> None:
    (first,) = leak_failures([_record(*_HFS)], confirmed=2, repeats=2)
    assert first.kind is LEAK
    assert first.signature == "memory leak in hfs_init_fs_context < alloc_fs_context < path_mount"
    assert first.line == (
        "memory leak in hfs_init_fs_context (1 unreferenced object, 512 bytes, confirmed 2 of 2)"
    )
    built = [name + ".isra.0" if name == "path_mount" else name for name in _HFS]
    (again,) = leak_failures([_record(*built, address=9, offset=7, size=256)])
    assert again.signature == first.signature
    (other,) = leak_failures([_record("hfs_fill_super")])
    assert other.signature != first.signature


def test_each_way_of_losing_is_a_failure() -> None:
    found = leak_failures([_record(*_HFS), _record(*_OMFS, size=64), _record(*_HFS, address=2)])
    assert [(one.title, one.detail) for one in found] == [
        ("memory leak in hfs_init_fs_context", "2 unreferenced objects, 1024 bytes"),
        ("memory leak in omfs_get_imap", "1 unreferenced object, 64 bytes"),
    ]
    assert found[0].evidence == "raw 1\nraw 2"


def test_a_record_without_a_backtrace_is_a_leak() -> None:
    (found,) = leak_failures([_record()])
    assert found.title == found.signature == "memory leak in unknown"


def test_a_resource_is_the_same_however_many_are_kept() -> None:
    thing = Resource("allocations", "fs/buffer.c:3010 func:alloc_buffer_head")
    (found,) = resource_failures([ResourceLeak(thing, 4, 2)])
    assert (found.kind, found.resource) == (RESOURCE_LEAK, str(thing))
    assert found.functions == ("alloc_buffer_head",)
    # How many were counted is chance.
    (again,) = resource_failures([ResourceLeak(thing, 1, 1)])
    assert again.signature == found.signature
