"""Advice to the kernel about pages of memory. It may be ignored anywhere: nothing here changes a byte."""

import ctypes
import os
import sys

POPULATE_WRITE = 23  # MADV_POPULATE_WRITE of Linux 5.14, which Python does not name

_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


def advise(address: int, size: int, *advice: int) -> None:
    """Give advice about the whole pages in a range; what shares its first or last page with others is left as it is."""
    call = getattr(_LIBC, "madvise", None)
    page = os.sysconf("SC_PAGE_SIZE")
    first = -(-address // page) * page
    length = (address + size) // page * page - first
    if call is None or length <= 0:
        return
    for one in advice:
        call(ctypes.c_void_p(first), ctypes.c_size_t(length), ctypes.c_int(one))


def make_present(view: memoryview) -> None:
    """Have the pages of writable memory ready before they are written: one call instead of a fault for each.

    Only worth its price for a piece that is written at once, while it is still in the processor's cache.
    """
    if view.nbytes:
        advise(ctypes.addressof(ctypes.c_char.from_buffer(view)), view.nbytes, POPULATE_WRITE)
