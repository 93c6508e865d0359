"""Where sealed bytes are read from: memory, or a regular file that was opened once.

A reader asks by position and never by path, so that the file it checked is the file it reads.
"""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol, Self, runtime_checkable

from strongroom.errors import Code, InputError, IntegrityError, SetupError, StoreError


class Readable(Protocol):
    """Bytes of a known size, read by position from any thread."""

    @property
    def size(self) -> int:
        """Size in bytes, fixed when it was opened."""
        ...

    def pread(self, offset: int, length: int) -> bytes:
        """Return the bytes from `offset` on; fewer than `length` only at the end."""
        ...


@runtime_checkable
class ReadableInto(Protocol):
    """An optional ability: reading into memory the caller keeps for many reads."""

    def pread_into(self, offset: int, into: memoryview) -> int:
        """Fill `into` from `offset` on; return how many bytes there were."""
        ...


class BytesReadable:
    """Sealed bytes in memory."""

    def __init__(self, data: bytes | bytearray | memoryview) -> None:
        self._data = memoryview(data)

    @property
    def size(self) -> int:
        return len(self._data)

    def pread(self, offset: int, length: int) -> bytes:
        return bytes(self._data[offset : offset + length])

    def pread_into(self, offset: int, into: memoryview) -> int:
        piece = self._data[offset : offset + len(into)]
        into[: len(piece)] = piece
        return len(piece)


class FileReadable:
    """A regular file, opened once. Make it with `FileReadable.open(path)`."""

    def __init__(self, descriptor: int, size: int, name: str) -> None:
        self._descriptor = descriptor
        self._size = size
        self._name = name

    @classmethod
    @contextmanager
    def open(cls, path: Path | str) -> Iterator[Self]:
        """Open a regular file for the length of a `with` block. A symbolic link as last part of the path is refused.

        Raises:
            InputError: PATH.
            SetupError: PERMISSIONS.
            StoreError: STORE_IO.
        """
        descriptor, size = open_regular(path)
        try:
            yield cls(descriptor, size, str(path))
        finally:
            os.close(descriptor)

    @property
    def size(self) -> int:
        return self._size

    def status(self) -> os.stat_result:
        """Return what the system knows of the file that was opened, whatever lies under its path by now."""
        return os.fstat(self._descriptor)

    def pread(self, offset: int, length: int) -> bytes:
        try:
            return os.pread(self._descriptor, length, offset)
        except OSError as error:
            raise self._failed(error) from None

    def pread_into(self, offset: int, into: memoryview) -> int:
        try:
            return os.preadv(self._descriptor, [into], offset)
        except OSError as error:
            raise self._failed(error) from None

    def _failed(self, error: OSError) -> StoreError:
        return StoreError(Code.STORE_IO, f"reading failed: {error.strerror}", where=self._name)


def open_regular(path: Path | str, *, directory: int | None = None, shown: str = "") -> tuple[int, int]:
    """Open a regular file for reading; return its descriptor and its size. The caller closes the descriptor.

    Args:
        path: the file; no symbolic link, though a directory before it may be one.
        directory: descriptor of the directory that a relative path begins in; None for the current one.
        shown: what an error calls the file; by default its path.

    Raises:
        InputError: PATH.
        SetupError: PERMISSIONS.
        StoreError: STORE_IO.
    """
    where = ascii(shown or str(path))
    try:
        # NONBLOCK: opening a FIFO must not wait for a writer before we can see that it is no regular file.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=directory)
    except PermissionError:
        raise SetupError(Code.PERMISSIONS, "no permission to read", where=where) from None
    except (FileNotFoundError, NotADirectoryError, ValueError):
        raise InputError(Code.PATH, "no such file", where=where) from None
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise linked(where) from None
        if error.errno in {errno.ENXIO, errno.EOPNOTSUPP}:  # a socket
            raise _not_regular(where) from None
        raise StoreError(Code.STORE_IO, f"opening failed: {error.strerror}", where=where) from None
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        os.close(descriptor)
        raise _not_regular(where)
    return descriptor, status.st_size


def linked(where: str) -> InputError:
    """Return what is raised for a symbolic link."""
    step = "name the file or directory it points to"
    return InputError(Code.PATH, "symbolic links are not followed", where=where, next_step=step)


def _not_regular(where: str) -> InputError:
    step = "name a regular file, not a directory, pipe, socket or device"
    return InputError(Code.PATH, "not a regular file", where=where, next_step=step)


def read_up_to(readable: Readable, offset: int, length: int) -> bytes:
    """Read bytes of which some may not be there: fewer than `length` only at the end."""
    data = readable.pread(offset, length)
    if len(data) >= length or not data:
        return data
    parts = bytearray(data)  # a source may return less than it has; nothing at all means the end
    while len(parts) < length and (more := readable.pread(offset + len(parts), length - len(parts))):
        parts += more
    return bytes(parts)


def read_exactly(readable: Readable, offset: int, length: int) -> bytes:
    """Read bytes that must all be there.

    Raises:
        IntegrityError: FILE_TRUNCATED.
    """
    data = read_up_to(readable, offset, length)
    if len(data) < length:
        raise _cut(offset, length)
    return data


def read_into(readable: Readable, offset: int, into: memoryview) -> None:
    """Fill memory with bytes that must all be there.

    Raises:
        IntegrityError: FILE_TRUNCATED.
    """
    if not isinstance(readable, ReadableInto):
        into[:] = read_exactly(readable, offset, len(into))
        return
    done = 0
    while done < len(into):
        count = readable.pread_into(offset + done, into[done:])
        if count <= 0:
            raise _cut(offset, len(into))
        done += count


def _cut(offset: int, length: int) -> IntegrityError:
    return IntegrityError(Code.FILE_TRUNCATED, f"the file ends within the {length} bytes from {offset} on")
