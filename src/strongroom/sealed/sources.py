"""What goes into a sealed file: named byte streams, and how to take them from memory or disk."""

import io
import os
import stat
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from strongroom.errors import Code, InputError, SetupError, StoreError
from strongroom.sealed.readable import open_regular

ByteStream: TypeAlias = io.RawIOBase | io.BufferedIOBase

DEFAULT_PATH = "model"  # of a model given as bare bytes


@dataclass(frozen=True, slots=True)
class Source:
    """One file to be sealed: its path inside the model, its size in bytes, and how to open it, any number of times."""

    path: str
    size: int
    open: Callable[[], ByteStream] = field(repr=False)

    @classmethod
    def of_bytes(cls, path: str, data: bytes | bytearray | memoryview) -> "Source":
        """Take bytes in memory; they must not change until they are sealed."""
        return cls(path, len(data), lambda: io.BytesIO(data))

    @classmethod
    def of_file(cls, path_in_model: str, path: Path | str) -> "Source":
        """Take a regular file on disk; symbolic links are refused, now and each time it is opened.

        Raises:
            InputError: PATH.
            SetupError: PERMISSIONS.
            StoreError: STORE_IO.
        """

        def opened() -> ByteStream:
            return io.FileIO(open_regular(path)[0], "rb")

        descriptor, size = open_regular(path)
        os.close(descriptor)
        return cls(path_in_model, size, opened)


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
        found = sorted(_files_under(top), key=lambda pair: pair[0])
    except PermissionError as error:
        raise SetupError(Code.PERMISSIONS, "no permission to read", where=ascii(error.filename)) from None
    except ValueError:
        raise InputError(Code.PATH, "no such file", where=ascii(str(model))) from None
    except OSError as error:
        raise StoreError(Code.STORE_IO, f"reading failed: {error.strerror}", where=ascii(error.filename)) from None
    if not found:
        raise InputError(Code.PATH, "the directory holds no file", where=ascii(str(model)))
    return [Source.of_file(name, path) for name, path in found]


def _files_under(top: Path) -> list[tuple[str, Path]]:
    found: list[tuple[str, Path]] = []
    waiting = [("", top)]
    while waiting:
        prefix, directory = waiting.pop()
        with os.scandir(directory) as entries:
            for entry in entries:
                name = prefix + unicodedata.normalize("NFC", entry.name)
                mode = entry.stat(follow_symlinks=False).st_mode
                if stat.S_ISDIR(mode):
                    waiting.append((f"{name}/", Path(entry.path)))
                elif stat.S_ISREG(mode):
                    found.append((name, Path(entry.path)))
                else:
                    raise InputError(
                        Code.PATH, "neither a regular file nor a directory", where=ascii(entry.path), next_step=_REMOVE
                    )
    return found


_REMOVE = "seal a directory that holds regular files only"
