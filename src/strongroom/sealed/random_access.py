"""Reading parts of a sealed file, a segment at a time (docs/spec/sealed-file.md section 10, random access).

Every byte given out is of a segment that was opened whole, digest and tags included. Whole files are not hashed here,
so what was read this way may not be called a whole model: `open_sealed` and `open_local` can.
"""

import io
import os
import threading
from types import TracebackType
from typing import Never, Self

from strongroom.errors import Code, InputError, IntegrityError
from strongroom.sealed.keys import ModelKey
from strongroom.sealed.opening import OpenInto, read_head, segment_opener
from strongroom.sealed.pool import Buffers
from strongroom.sealed.readable import Readable, read_exactly
from strongroom.sealed.reader import Expected, Unlocked, unlock
from strongroom.sealed.toc import TableOfContents
from strongroom.sealed.wiping import wipe

_Writable = bytearray | memoryview


class RandomAccess:
    """The payload of an unlocked file by position; the last segment is kept. Use it as a context manager.

    May be shared between threads, which then take turns. The first failure is final: from then on everything is
    refused, what was read before included.

    Attributes:
        head: what the file says of itself.
        toc: its files and description.
    """

    def __init__(self, unlocked: Unlocked, toc: TableOfContents, open_into: OpenInto) -> None:
        """Not for callers: `open_random_access` and `open_local_random_access` are the ways here."""
        self.head = unlocked.head
        self.toc = toc
        self._unlocked = unlocked
        self._open_into = open_into
        self._lock = threading.Lock()
        self._plain = memoryview(bytearray(min(self.head.core.segment_size, self.head.core.payload_length)))
        self._index = 0  # of the segment in `_plain`; 0 is none, since the table of contents is never in it

    @property
    def size(self) -> int:
        """Bytes of all files together. Under the head's MAC, so that positions from the end need no other proof."""
        return self.head.core.payload_length

    def read_at(self, offset: int, length: int) -> bytes:
        """Return bytes of the payload; fewer than `length` only at its end.

        Raises:
            IntegrityError: FILE_TRUNCATED, FILE_DIGEST, FILE_SEGMENT, FILE_REFUSED.
            InputError: ARGUMENT.
            StoreError: STORE_IO.
        """
        if length < 0:
            raise InputError(Code.ARGUMENT, f"a length of {length}")
        into = bytearray(max(0, min(length, self.size - offset)) if offset >= 0 else 0)
        try:
            self.read_into(offset, into)
            return bytes(into)
        finally:
            wipe(into)

    def read_into(self, offset: int, into: _Writable) -> int:
        """Fill memory from a position of the payload; return how many bytes there were. On failure `into` is zeros.

        Raises:
            IntegrityError: FILE_TRUNCATED, FILE_DIGEST, FILE_SEGMENT, FILE_REFUSED.
            InputError: ARGUMENT.
            StoreError: STORE_IO.
        """
        view = _writable(into)
        if offset < 0:
            raise InputError(Code.ARGUMENT, "a position before the beginning")
        done, whole = 0, False
        try:
            with self._lock:
                self._unlocked.require_usable()
                wanted = max(0, min(len(view), self.size - offset))
                while done < wanted:
                    index, start = divmod(offset + done, self.head.core.segment_size)
                    part = self._segment(index + 1)[start : start + wanted - done]
                    view[done : done + len(part)] = part
                    done += len(part)
            whole = True
        finally:
            if not whole:
                wipe(view)
        return done

    def open_file(self, path: str) -> "SealedFile":
        """Return one file of the model, to be read and sought like a file on disk.

        Raises:
            InputError: PATH.
        """
        return SealedFile(self, *self.toc.range_of(path))

    def open_payload(self) -> "SealedFile":
        """Return all files, one behind the other, as one."""
        return SealedFile(self, 0, self.size)

    def close(self) -> None:
        """Overwrite keys and the segment that was kept, and refuse everything from now on."""
        with self._lock:
            self._forget()
            self._unlocked.close()

    def _segment(self, index: int) -> memoryview:
        view = self._plain[: self.head.plain_length(index)]
        if self._index != index:
            self._forget()
            try:
                self._open_into(index, view)
            except IntegrityError:
                self._unlocked.close()  # a file that is too short was not noticed by `Unlocked` itself
                raise
            self._index = index
        return view

    def _forget(self) -> None:
        self._index = 0
        wipe(self._plain)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class SealedFile(io.RawIOBase):
    """A read-only, seekable file over a range of the payload. Closing it leaves the `RandomAccess` open.

    Errors are those of `RandomAccess.read_into`; using it after `close` is an InputError with code CLOSED. What it can
    never do is `io.UnsupportedOperation`, which code that takes any file looks for.
    """

    def __init__(self, access: RandomAccess, start: int, end: int) -> None:
        """Not for callers: `RandomAccess.open_file` and `open_payload` are the ways here."""
        super().__init__()
        self._access, self._start, self._size = access, start, end - start
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        self._require_open()
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Move; a position past the end is allowed, and nothing is read there.

        Raises:
            InputError: ARGUMENT, CLOSED.
        """
        self._require_open()
        begins = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}
        if whence not in begins or begins[whence] + offset < 0:
            raise InputError(Code.ARGUMENT, "a position before the beginning, or from nowhere")
        self._position = begins[whence] + offset
        return self._position

    def readinto(self, buffer: _Writable, /) -> int:  # type: ignore[override] # typeshed's Buffer is newer than 3.11
        """Fill memory from where the file stands; 0 means the end."""
        self._require_open()
        view = _writable(buffer)
        wanted = max(0, min(len(view), self._size - self._position))
        done = self._access.read_into(self._start + self._position, view[:wanted]) if wanted else 0
        self._position += done
        return done

    def read(self, size: int | None = -1, /) -> bytes:
        """Return the next `size` bytes, fewer only at the end; everything to the end if it is None or negative."""
        self._require_open()
        left = max(0, self._size - self._position)
        data = self._access.read_at(self._start + self._position, left if size is None or size < 0 else min(size, left))
        self._position += len(data)
        return data

    def readall(self) -> bytes:
        return self.read()

    def write(self, _: object, /) -> Never:
        raise io.UnsupportedOperation("a sealed file is read only")

    def _require_open(self) -> None:
        if self.closed:
            raise InputError(Code.CLOSED, "the file is closed")


def _writable(into: _Writable) -> memoryview:
    """Return memory as bytes.

    Raises:
        InputError: ARGUMENT.
    """
    view = memoryview(into)
    if view.readonly or not view.c_contiguous:
        raise InputError(Code.ARGUMENT, "writable memory in one piece is needed")
    return view.cast("B") if view.nbytes else memoryview(bytearray())  # what has a dimension of 0 is never cast


def open_random_access(readable: Readable, mek: ModelKey, expected: Expected) -> RandomAccess:
    """Check a model, overlay or delta as far as its table of contents (steps 1 to 8), for reading parts of it.

    Args:
        readable: the sealed file; it must stay open as long as it is read from.
        mek: its key, not needed afterwards.
        expected: what the caller knows about the file.

    Raises:
        IntegrityError: any FILE_ code, and JSON_NOT_CANONICAL.
        StoreError: STORE_IO.
    """
    unlocked = unlock(read_head(readable), mek, expected)
    head = unlocked.head
    try:
        toc = unlocked.read_toc(read_exactly(readable, head.offset(0), head.stored_length(0)))
    except BaseException:
        unlocked.close()
        raise
    size = head.stored_length(1) if head.segment_count > 1 else 1
    return RandomAccess(unlocked, toc, segment_opener(readable, unlocked, Buffers(size, 1)))
