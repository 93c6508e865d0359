"""What goes into a sealed file: named byte streams, and how to take them from memory or disk."""

import errno
import io
import os
import stat
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from strongroom.errors import Code, InputError, SetupError, StoreError
from strongroom.sealed.readable import open_regular

ByteStream: TypeAlias = io.RawIOBase | io.BufferedIOBase

DEFAULT_PATH = "model"  # of a model given as bare bytes


@dataclass(frozen=True, slots=True)
class Source:
    """One file to be sealed: its path inside the model, its size in bytes, and how to open it.

    It is opened any number of times, from any thread; a stream must be able to seek unless the file is small.
    """

    path: str
    size: int
    open: Callable[[], ByteStream] = field(repr=False)

    @classmethod
    def of_bytes(cls, path: str, data: bytes | bytearray | memoryview) -> "Source":
        """Take bytes in memory; they must not change until they are sealed."""
        return cls(path, len(data), lambda: _Memory(data))

    @classmethod
    def of_file(cls, path_in_model: str, path: Path | str) -> "Source":
        """Take a regular file on disk; symbolic links are refused, now and each time it is opened.

        Raises:
            InputError: PATH.
            SetupError: PERMISSIONS.
            StoreError: STORE_IO.
        """
        return _opened_by(path_in_model, lambda: open_regular(path))


def _opened_by(path_in_model: str, opened: Callable[[], tuple[int, int]]) -> Source:
    """Make a source of what gives a descriptor and a size each time it is asked."""
    descriptor, size = opened()
    os.close(descriptor)
    return Source(path_in_model, size, lambda: io.FileIO(opened()[0], "rb"))


class _Memory(io.RawIOBase):
    """Bytes in memory as a stream, without a copy: `io.BytesIO` copies whatever could change."""

    def __init__(self, data: bytes | bytearray | memoryview) -> None:
        super().__init__()
        self._data = memoryview(data).cast("B")
        self._position = 0

    def readable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Move to a position from the start, the only one that sealing asks for."""
        if whence != os.SEEK_SET:
            raise io.UnsupportedOperation("only positions from the start")
        self._position = offset
        return offset

    def readinto(self, buffer: bytearray | memoryview, /) -> int:  # type: ignore[override] # typeshed's Buffer is newer than 3.11
        piece = self._data[self._position : self._position + len(buffer)]
        buffer[: len(piece)] = piece
        self._position += len(piece)
        return len(piece)


def sources_of(model: Path | str | bytes | bytearray | memoryview) -> list[Source]:
    """Take a model: bytes, one file, or a directory with all regular files under it, sorted by path.

    Raises:
        InputError: PATH: nothing there, a symbolic link, something that is no regular file.
        SetupError: PERMISSIONS.
        StoreError: STORE_IO.
    """
    if isinstance(model, (bytes, bytearray, memoryview)):
        return [Source.of_bytes(DEFAULT_PATH, model)]
    top = Path(model)
    try:
        if not top.is_dir() or top.is_symlink():
            return [Source.of_file(unicodedata.normalize("NFC", top.name), top)]
        found = sorted(_files_under(top))
    except PermissionError as error:
        raise SetupError(Code.PERMISSIONS, "no permission to read", where=ascii(error.filename)) from None
    except OSError as error:
        raise StoreError(Code.STORE_IO, f"reading failed: {error.strerror}", where=ascii(error.filename)) from None
    except ValueError:
        raise InputError(Code.PATH, "no such file", where=ascii(str(model))) from None
    if not found:
        what, step = "the directory holds no file", "name a directory with the model's files in it"
        raise InputError(Code.PATH, what, where=ascii(str(model)), next_step=step)
    return [_below(top, parts, name) for name, parts in found]


_Parts = tuple[str, ...]


def _below(top: Path, parts: _Parts, path_in_model: str) -> Source:
    """Take a file below a directory. Each opening enters every directory again: none may have become a link."""

    def opened() -> tuple[int, int]:
        with _entered(top, parts[:-1]) as directory:
            return open_regular(parts[-1], directory=directory, shown=str(top.joinpath(*parts)))

    return _opened_by(path_in_model, opened)


def _files_under(top: Path) -> list[tuple[str, _Parts]]:
    """Return each file's path inside the model, with the names that lead to it on the disk."""
    found: list[tuple[str, _Parts]] = []
    waiting: list[tuple[str, _Parts]] = [("", ())]
    while waiting:
        prefix, parts = waiting.pop()
        with _entered(top, parts) as directory, os.scandir(directory) as entries:  # never by path: see `_entered`
            for entry in entries:
                name, inner = prefix + unicodedata.normalize("NFC", entry.name), (*parts, entry.name)
                mode = entry.stat(follow_symlinks=False).st_mode
                if stat.S_ISDIR(mode):
                    waiting.append((f"{name}/", inner))
                elif stat.S_ISREG(mode):
                    found.append((name, inner))
                else:
                    what, where = "neither a regular file nor a directory", ascii(str(top.joinpath(*inner)))
                    raise InputError(Code.PATH, what, where=where, next_step=_REMOVE)
    return found


@contextmanager
def _entered(top: Path, parts: _Parts) -> Iterator[int]:
    """Enter a directory below another one name by name, since the system guards the last name of a path only."""
    directory, where = None, top
    try:
        directory = os.open(top, _ENTER)
        for part in parts:
            where /= part
            inner = os.open(part, _ENTER, dir_fd=directory)
            os.close(directory)
            directory = inner
        yield directory
    except PermissionError:
        raise SetupError(Code.PERMISSIONS, "no permission to read", where=ascii(str(where))) from None
    except OSError as error:
        if error.errno in {errno.ENOTDIR, errno.ELOOP, errno.ENOENT}:
            what, step = "this was a directory and is none any more", "seal again when nothing changes there"
            raise InputError(Code.PATH, what, where=ascii(str(where)), next_step=step) from None
        what = f"reading failed: {error.strerror}"
        raise StoreError(Code.STORE_IO, what, where=ascii(str(where))) from None
    finally:
        if directory is not None:
            os.close(directory)


_ENTER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_REMOVE = "seal a directory that holds regular files only"
