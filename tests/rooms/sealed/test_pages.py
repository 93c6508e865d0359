"""Advice about pages changes no byte, and stays within the whole pages of what it is given."""

import array
import ctypes
import mmap
from pathlib import Path

from strongroom.sealed import pages

PAGE = mmap.PAGESIZE


def resident(memory: mmap.mmap) -> int:
    """Pages of a mapping that are there: bit 63 of each entry of the kernel's page map."""
    first = ctypes.addressof(ctypes.c_char.from_buffer(memory)) // PAGE
    with Path("/proc/self/pagemap").open("rb") as file:
        file.seek(first * 8)
        entries = array.array("Q", file.read(len(memory) // PAGE * 8))
    return sum(entry >> 63 for entry in entries)


def fresh(count: int) -> mmap.mmap:
    memory = mmap.mmap(-1, count * PAGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    memory.madvise(mmap.MADV_NOHUGEPAGE)
    return memory


def test_whole_pages_are_made_present():
    memory = fresh(16)
    assert resident(memory) == 0
    with memoryview(memory) as view:
        pages.make_present(view[100 : 9 * PAGE + 100])  # pages 1 to 8 are whole
        assert resident(memory) == 8
        pages.make_present(view[:0])
        pages.make_present(view[10 * PAGE + 1 : 11 * PAGE])
    assert resident(memory) == 8
    assert bytes(memory) == bytes(16 * PAGE)


def test_what_is_there_stays():
    content = bytes(range(256)) * (8 * PAGE // 256)
    for memory in (bytearray(content), fresh(8)):
        memory[:] = content
        with memoryview(memory) as view:
            pages.make_present(view)
            pages.make_present(view[1:-1])
        assert bytes(memory) == content


def test_without_a_kernel_that_listens(monkeypatch):
    """Elsewhere, and on kernels that do not know the advice, nothing happens."""
    memory = fresh(4)
    with memoryview(memory) as view:
        monkeypatch.setattr(pages, "POPULATE_WRITE", 9999)
        pages.make_present(view)
        monkeypatch.setattr(pages, "_LIBC", None)
        pages.make_present(view)
    assert resident(memory) == 0
