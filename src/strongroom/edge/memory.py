"""Plaintext in one private place: an anonymous mapping that is wiped before it is given back (R49).

Best effort, and said so: Python may copy what passes through it, and root reads all memory while a model is in use.
Whether pages may go to swap depends on how much memory this process may lock (RLIMIT_MEMLOCK, often 8 MiB).
"""

import contextlib
import ctypes
import mmap
import os
import sys
from types import TracebackType
from typing import Self

from strongroom.errors import Code, InputError, StoreError
from strongroom.sealed.pages import advise
from strongroom.sealed.wiping import wipe, wipe_bytes

_ADVICE = ("MADV_DONTDUMP", "MADV_DONTFORK")  # not in core dumps, not in children
_LINUX = sys.platform == "linux"
_DONTDUMP, _DODUMP, _WIPEONFORK, _KEEPONFORK = 16, 17, 18, 19  # madvise of Linux; Python names half of them
_ONFAULT = 1  # mlock2: lock a page when it is first used
_LIBC = ctypes.CDLL(None) if _LINUX else None


class PrivateBuffer:
    """Writable memory of our own, outside Python's heap. Wiped by `close`, which the `with` block calls.

    A forked child does not have these pages: there, `close` lets go of the views and `view` refuses.

    Attributes:
        size: bytes.
        locked: whether the system promised to keep all of it out of swap.
    """

    def __init__(self, size: int, *, huge: bool = False) -> None:
        """Map the memory; its pages come when they are first written.

        Args:
            size: bytes.
            huge: ask for huge pages, where the system leaves that to programs (docs/performance.md).

        Raises:
            StoreError: MEMORY.
        """
        self.size = size
        self.locked = False
        self._owner = os.getpid()
        try:
            flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
            self._pages = mmap.mmap(-1, max(size, 1), flags=flags)
        except (OSError, ValueError, OverflowError):
            raise _no_memory(size) from None
        for name in _ADVICE:
            advice = getattr(mmap, name, None)
            if advice is not None:  # Linux has both
                self._pages.madvise(advice)
        if huge and _LINUX:
            with contextlib.suppress(OSError):  # a kernel built without them
                self._pages.madvise(mmap.MADV_HUGEPAGE)
        self._view: memoryview | None = memoryview(self._pages)[:size]
        if size:
            self.locked = _lock(ctypes.addressof(ctypes.c_char.from_buffer(self._view)), size)
        self._lent: list[memoryview] = []

    @property
    def view(self) -> memoryview:
        """The whole buffer, writable. Not to be kept after `close`.

        Raises:
            InputError: CLOSED, after `close` and in a forked child.
        """
        if self._view is None:
            what, step = "this memory has been wiped", "use the model inside its `with` block"
            raise InputError(Code.CLOSED, what, next_step=step)
        if os.getpid() != self._owner:
            what, step = "this memory stayed in the process that opened the model", "load the model in the child"
            raise InputError(Code.CLOSED, what, next_step=step)
        return self._view

    def lend(self, view: memoryview) -> memoryview:
        """Return a read-only view of a part of the buffer that `close` will release. Raises InputError(CLOSED)."""
        _ = self.view
        lent = view.toreadonly()
        self._lent.append(lent)
        return lent

    def wipe(self) -> None:
        """Overwrite the whole buffer with zeros; it stays usable. Raises InputError(CLOSED)."""
        wipe(self.view)

    def close(self) -> None:
        """Wipe, release every view that was lent, and give the memory back. Closing twice is no error."""
        view, self._view = self._view, None
        if view is None:
            return
        if os.getpid() == self._owner:  # a child that touched these addresses would be killed: nothing is there
            wipe(view)
        lent, self._lent = self._lent, []
        held = False
        for one in (*lent, view):
            try:
                one.release()
            except BufferError:  # an array was built over it: it now sees zeros, and the pages live as long as it does
                held = True
        if not held:
            try:
                self._pages.close()
            except BufferError:  # the same, through a slice of a slice
                return

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


class TransientBytes:
    """A real `bytes` object for libraries that accept nothing else, filled in place and wiped at the end of the block.

    Writing into a bytes object is right only because nobody else has seen it yet: it is made empty here, never hashed,
    interned or compared, and whoever gets it must not keep it beyond the block (they would see zeros).
    """

    def __init__(self, *sources: bytes | memoryview) -> None:
        """Copy the sources in, one after the other.

        Raises:
            InputError: ARGUMENT, for fewer than two bytes: CPython shares such objects with the whole process.
            StoreError: MEMORY.
        """
        size = sum(len(one) for one in sources)  # of bytes, as all views of this project are
        if size < 2:
            raise InputError(Code.ARGUMENT, f"{size} bytes are no model")
        make, address = ctypes.pythonapi.PyBytes_FromStringAndSize, ctypes.pythonapi.PyBytes_AsString
        make.restype, make.argtypes = ctypes.py_object, (ctypes.c_char_p, ctypes.c_ssize_t)
        address.restype, address.argtypes = ctypes.c_void_p, (ctypes.py_object,)
        try:
            self._value: bytes = make(None, size)
        except MemoryError:
            raise _no_memory(size) from None
        self._place = address(self._value), size
        # Not DONTFORK: these pages are the allocator's, and a child's allocator must find something there.
        advise(*self._place, _DONTDUMP, _WIPEONFORK)
        inside = memoryview((ctypes.c_char * size).from_address(self._place[0])).cast("B")
        done = 0
        for one in sources:
            inside[done : done + len(one)] = one
            done += len(one)

    def __enter__(self) -> bytes:
        return self._value

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        wipe_bytes(self._value)
        advise(*self._place, _DODUMP, _KEEPONFORK)  # the allocator may give these pages to others


def _lock(address: int, size: int) -> bool:
    """Ask that pages stay out of swap; a system or limit that does not grant it is no error."""
    call = getattr(_LIBC, "mlock2", None)
    if call is None:
        return False
    return bool(call(ctypes.c_void_p(address), ctypes.c_size_t(size), ctypes.c_int(_ONFAULT)) == 0)


def _no_memory(size: int) -> StoreError:
    step = "close other programs or use a machine with more memory"
    return StoreError(Code.MEMORY, f"no memory for {size} bytes", next_step=step)
