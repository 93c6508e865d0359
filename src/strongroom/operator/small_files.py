"""Small files: read whole or refused, written once.

A secret file is of mode 0600 or stricter. Writing never replaces a file: whoever writes a key over another has lost
the other. Only regular files are read; links are followed for what is public, never for a secret.
"""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from strongroom.errors import Code, InputError, SetupError, StoreError, StrongroomError
from strongroom.operator.drafts import drafted

ROOM = 4096  # bytes that a reserved file takes beforehand; more than any token has


def read_public(path: Path, *, limit: int, what: str) -> bytes:
    """Return the bytes of a small file.

    Args:
        path: the file.
        limit: largest size accepted, in bytes; checked before reading.
        what: what the file is, for the error ("trust file").

    Raises:
        InputError: ARGUMENT if there is no such file, or it is no regular file, empty or too large.
        SetupError: PERMISSIONS if we may not read it.
        StoreError: STORE_IO if the disk fails.
    """
    return _read(path, limit, what, secret=False)


def read_secret(path: Path, *, limit: int, what: str) -> bytes:
    """Return the bytes of a secret file.

    Raises:
        InputError: as `read_public`, and if it is a link.
        SetupError: PERMISSIONS if others may read it, or we may not.
        StoreError: STORE_IO if the disk fails.
    """
    return _read(path, limit, what, secret=True)


def _read(path: Path, limit: int, what: str, *, secret: bool) -> bytes:
    # NONBLOCK: opening a FIFO that nobody writes to would wait for ever, and what is no regular file is refused below
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | (os.O_NOFOLLOW if secret else 0)
    try:
        handle = os.open(path, flags)
    except OSError as error:
        raise _not_opened(error, path, what) from None
    try:
        state = os.fstat(handle)
        if not stat.S_ISREG(state.st_mode):
            next_step = "name a file itself, not a directory, a pipe or a device"
            raise InputError(Code.ARGUMENT, f"the {what} is not a regular file", where=str(path), next_step=next_step)
        if secret and stat.S_IMODE(state.st_mode) & 0o077:
            next_step = f"run: chmod 600 {path}"
            problem = f"the {what} may be read by others"
            raise SetupError(Code.PERMISSIONS, problem, where=str(path), next_step=next_step)
        if not 0 < state.st_size <= limit:
            wrong = "is empty" if not state.st_size else f"has {state.st_size} bytes; at most {limit} are read"
            next_step = f"is this the right file? put the {what} here again, or name another"
            raise InputError(Code.ARGUMENT, f"the {what} {wrong}", where=str(path), next_step=next_step)
        with os.fdopen(handle, "rb", closefd=False) as file:
            return file.read(limit)
    except OSError:
        raise StoreError(Code.STORE_IO, f"the {what} cannot be read", where=str(path)) from None
    finally:
        os.close(handle)


def write_secret(path: Path, data: bytes | bytearray, *, what: str) -> None:
    """Write a secret to a new file of mode 0600; all of it is on the disk, or there is no file.

    Raises:
        InputError: ALREADY_THERE if something has this name.
        SetupError: PERMISSIONS.
        StoreError: STORE_IO.
    """
    try:
        with drafted(path, 0o600) as (draft, handle):
            with os.fdopen(handle, "wb", closefd=False) as file:
                file.write(data)
                file.flush()
                os.fsync(handle)
            place_new(draft, path, what=what)
    except OSError as error:
        raise not_written(error, path, what) from None


class Reserved:
    """A new file of mode 0600 with room in it, made before the secret that it is for exists."""

    def __init__(self, path: Path, handle: int, what: str) -> None:
        """Not for callers: `reserved` makes it."""
        self._path, self._handle, self._what = path, handle, what
        self.written = False

    def write(self, data: bytes) -> None:
        """Put the secret into the file.

        Raises:
            StoreError: DISK_FULL, STORE_IO.
        """
        try:
            os.lseek(self._handle, 0, os.SEEK_SET)
            done = 0
            while done < len(data):
                done += os.write(self._handle, data[done:])
            os.ftruncate(self._handle, len(data))
            os.fsync(self._handle)
        except OSError as error:
            raise not_written(error, self._path, self._what) from None
        self.written = True


@contextmanager
def reserved(path: Path, *, what: str) -> Iterator[Reserved]:
    """Make the file that a secret will go to before the secret is asked for; without the secret it goes away again.

    Raises:
        InputError: ALREADY_THERE.
        SetupError: PERMISSIONS.
        StoreError: DISK_FULL, STORE_IO.
    """
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        raise already_there(path, what) from None
    except OSError as error:
        raise not_written(error, path, what) from None
    place = Reserved(path, handle, what)
    try:
        try:
            os.write(handle, bytes(ROOM))
            os.fsync(handle)
            sync_directory(path.parent)
        except OSError as error:
            raise not_written(error, path, what) from None
        yield place
    finally:
        os.close(handle)
        if not place.written:
            with suppress(OSError):
                path.unlink()


def replace_file(path: Path, data: bytes, *, what: str) -> None:
    """Put a file in the place of another of the same name, whole and durable, or leave what is there.

    Raises:
        SetupError: PERMISSIONS.
        StoreError: DISK_FULL, STORE_IO.
    """
    try:
        with drafted(path, 0o600) as (draft, handle):
            with os.fdopen(handle, "wb", closefd=False) as file:
                file.write(data)
                file.flush()
                os.fsync(handle)
            draft.replace(path)
            sync_directory(path.parent)
    except OSError as error:
        raise not_written(error, path, what) from None


def place_new(draft: Path, path: Path, *, what: str) -> None:
    """Give a finished draft its name unless the name is taken, and make the name durable.

    After ALREADY_THERE the draft did not get its name. After anything else it may have it.

    Raises:
        InputError: ALREADY_THERE.
        OSError: the caller says what was being written.
    """
    try:
        os.link(draft, path, follow_symlinks=False)
    except FileExistsError:
        if not _is_one_file(draft, path):  # it is where an answer of the file system was lost and asked for again
            raise already_there(path, what) from None
    except OSError:  # a file system without hard links: the check and the rename are two steps there
        if path.is_symlink() or path.exists():
            raise already_there(path, what) from None
        draft.rename(path)
    with suppress(OSError):  # it has its name: a second one does no harm
        draft.unlink(missing_ok=True)
    sync_directory(path.parent)


def _is_one_file(one: Path, other: Path) -> bool:
    with suppress(OSError):
        return os.path.samestat(one.lstat(), other.lstat())
    return False


def sync_directory(path: Path) -> None:
    """Make the names in a directory durable. Raises OSError."""
    directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def not_taken(path: Path, *, what: str) -> None:
    """Ask before the work whether a name is free; it is asked again when the file gets it.

    Raises:
        InputError: ALREADY_THERE.
    """
    if path.is_symlink() or path.exists():
        raise already_there(path, what)


def already_there(path: Path, what: str) -> InputError:
    """Return the error for a name that is taken."""
    next_step = "choose another name, or move the old file away"
    text = f"there is a file here already; no {what} is written over it"
    return InputError(Code.ALREADY_THERE, text, where=str(path), next_step=next_step)


def not_written(error: OSError, path: Path, what: str) -> StrongroomError:
    """Translate why a file could not be written."""
    if isinstance(error, FileNotFoundError):
        text, next_step = f"no such directory to write the {what} to", f"make it: mkdir -p {path.parent}"
        return InputError(Code.ARGUMENT, text, where=str(path.parent), next_step=next_step)
    if isinstance(error, NotADirectoryError):
        text, next_step = f"the {what} cannot be written below a file", "name a directory that is one"
        return InputError(Code.ARGUMENT, text, where=str(path.parent), next_step=next_step)
    if isinstance(error, PermissionError):
        text, next_step = f"the {what} may not be written here", "choose a directory that is yours"
        return SetupError(Code.PERMISSIONS, text, where=str(path.parent), next_step=next_step)
    if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
        next_step = "free some space and try again; nothing was left behind"
        text = f"the disk is full; the {what} was not written"
        return StoreError(Code.DISK_FULL, text, where=str(path), next_step=next_step)
    return StoreError(Code.STORE_IO, f"the {what} could not be written: {error.strerror}", where=str(path))


def _not_opened(error: OSError, path: Path, what: str) -> StrongroomError:
    if isinstance(error, PermissionError):
        next_step = "run this as the user whose file it is"
        return SetupError(Code.PERMISSIONS, f"the {what} may not be read", where=str(path), next_step=next_step)
    if isinstance(error, (FileNotFoundError, NotADirectoryError)):
        next_step = "check the path; a relative one begins in the current directory"
        return InputError(Code.ARGUMENT, f"there is no such {what}", where=str(path), next_step=next_step)
    if error.errno == errno.ELOOP:
        return InputError(Code.ARGUMENT, f"the {what} is a link", where=str(path), next_step="name the file itself")
    return InputError(Code.ARGUMENT, f"the {what} cannot be opened: {error.strerror}", where=str(path))
