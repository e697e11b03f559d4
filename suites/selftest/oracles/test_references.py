"""Who took references and who put them."""

from __future__ import annotations

from errpath.guest.holders import Access, What
from errpath.guest.pages import Count, page_count
from errpath.oracles.references import count_takers
from suites.selftest.oracles.source_frames import SourceFrame

_CODE = {
    1: [("set_page_refcounted", "include/linux/page_ref.h", 1)],
    2: [("do_read_cache_folio", "mm/filemap.c", 2)],
    3: [("x_block_allocate", "fs/x/bitmap.c", 3)],
    4: [("folio_put", "include/linux/mm.h", 4), ("x_block_allocate", "fs/x/bitmap.c", 5)],
    5: [("folio_put", "include/linux/mm.h", 4)],
    6: [("truncate_inode_pages", "mm/truncate.c", 6)],
    7: [("x_evict_inode", "fs/x/super.c", 7)],
    8: [("alloc_pages_bulk", "mm/page_alloc.c", 8)],
    9: [("x_get_block", "fs/x/io.c", 9)],
    10: [("alloc_buffer_head", "fs/buffer.c", 10)],
    11: [("x_read", "fs/x/io.c", 11)],
    12: [("path_get", "fs/namei.c", 12)],
    13: [("jbd2_journal_add_journal_head", "fs/jbd2/journal.c", 13)],
}


def _resolve(address: int) -> list[SourceFrame]:
    return [SourceFrame(*frame) for frame in _CODE[address]]


def _count(count: int, pc: int, *calls: int) -> Access:
    value = (count & 0xFFFFFFFF) << 32 | 0xFFFFFFFF
    return Access(What.STORED, pc, 0xFFFFEA0000000070, value, 1, calls)


_BORN = _count(1, 1, 2, 3)
_PAGE = page_count(7)


def _told(*accesses: Access) -> list[tuple[str, int, int]]:
    return _of(_PAGE, "do_read_cache_folio", *accesses)


def _of(count: Count, allocator: str, *accesses: Access) -> list[tuple[str, int, int]]:
    takers = count_takers(
        accesses, count, (allocator,), _resolve, lambda file, line: "", own="fs/x/"
    )
    return [(one.place.function, one.taken, one.put) for one in takers]


def test_who_keeps_most_comes_first() -> None:
    # The page cache's and the reader's own; of three of them truncation puts one.
    lost = (_BORN, _count(2, 1, 2, 3), _count(3, 1, 2, 3), _count(2, 5, 6, 7))
    assert _told(*lost) == [("x_block_allocate", 3, 0), ("x_evict_inode", 0, 1)]
    # With the fix it puts what it took.
    assert _told(*lost, _count(1, 4), _count(0, 4)) == [
        ("x_block_allocate", 3, 2),
        ("x_evict_inode", 0, 1),
    ]


def test_who_gives_back_what_it_took_is_not_listed() -> None:
    looked = (_count(2, 1, 7), _count(1, 5, 7))
    assert _told(_BORN, *looked) == [("x_block_allocate", 1, 0)]


def test_only_the_last_life_of_a_page_counts() -> None:
    earlier = (_count(1, 1, 8), _count(2, 1, 7), _count(0, 5, 6, 7))
    assert _told(*earlier, _BORN) == [("x_block_allocate", 1, 0)]
    # A change of the map count alone is none.
    assert _told(_BORN, _count(1, 5, 7)) == [("x_block_allocate", 1, 0)]


def test_a_page_of_somebody_else() -> None:
    assert _told(_count(1, 1, 8)) == []
    assert _told() == []


def _buffer(count: int, pc: int, *calls: int, lock: int = 0) -> Access:
    return Access(What.STORED, pc, 0xFFFF888000000058, lock << 32 | count, 1, calls)


def test_a_buffer_begins_with_no_reference() -> None:
    count = Count(0xFFFF888000000058)
    poison = Access(What.STORED, 10, 0xFFFF888000000058, 0x6B6B6B6B6B6B6B6B, 1, ())
    born = (poison, _buffer(0, 10, 9), _buffer(0, 10, 9, lock=1))
    # What x_get_block() gets for all others, they put; x_read() takes one more.
    used = (_buffer(1, 9), _buffer(0, 7), _buffer(1, 9), _buffer(0, 7), _buffer(1, 9))
    kept = (*used, _buffer(2, 11), _buffer(1, 7))
    assert _of(count, "alloc_buffer_head", *born, *kept) == [
        ("x_read", 1, 0),
        ("x_get_block", 3, 0),
        ("x_evict_inode", 0, 3),
    ]
    # The lock in the other half of the word is no reference, and a put no birth.
    assert _of(count, "alloc_buffer_head", *born, *used, _buffer(0, 7)) == [
        ("x_get_block", 3, 0),
        ("x_evict_inode", 0, 3),
    ]


def test_the_vfs_comes_behind_the_filesystem() -> None:
    assert _told(_BORN, _count(2, 12), _count(3, 12)) == [
        ("x_block_allocate", 1, 0),
        ("path_get", 2, 0),
    ]


def test_what_a_filesystem_is_built_on_comes_behind_it() -> None:
    # The journal's own reference is as it should be; that by which the buffer was taken is not put.
    journal = (_count(2, 13), _count(3, 13), _count(4, 13), _count(5, 3))
    assert _told(_BORN, *journal) == [
        ("x_block_allocate", 2, 0),
        ("jbd2_journal_add_journal_head", 3, 0),
    ]


def test_what_another_function_puts_comes_behind_what_nobody_puts() -> None:
    # x_read() takes three for x_evict_inode() to put. Of two that x_get_block() takes, and of that
    # by which the page was read, others put one each.
    taken = (_count(2, 11), _count(3, 11), _count(4, 11), _count(5, 9), _count(6, 9))
    put = (_count(5, 7), _count(4, 7), _count(3, 7), _count(2, 12))
    assert _told(_BORN, *taken, *put) == [
        ("x_get_block", 2, 0),
        ("x_block_allocate", 1, 0),
        ("x_read", 3, 0),
        ("x_evict_inode", 0, 3),
        ("path_get", 0, 1),
    ]
