"""Small files: read whole or refused, written once.

A secret file is of mode 0600 or stricter. Writing never replaces a file: whoever writes a key over another has lost
the other. Only regular files are read; links are followed for what is public, never for a secret.
"""

import errno
import os
import secrets
import stat
from contextlib import suppress
from pathlib import Path

from strongroom.errors import Code, InputError, SetupError, StoreError, StrongroomError


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
            raise InputError(Code.ARGUMENT, f"the {what} is not a regular file", where=str(path))
        if secret and stat.S_IMODE(state.st_mode) & 0o077:
            next_step = f"run: chmod 600 {path}"
            problem = f"the {what} may be read by others"
            raise SetupError(Code.PERMISSIONS, problem, where=str(path), next_step=next_step)
        if not 0 < state.st_size <= limit:
            wrong = "is empty" if not state.st_size else f"has {state.st_size} bytes; at most {limit} are read"
            raise InputError(Code.ARGUMENT, f"the {what} {wrong}", where=str(path))
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
    draft = path.parent / f".{secrets.token_hex(8)}.part"
    try:
        handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            place_new(draft, path, what=what)
        finally:
            with suppress(OSError):
                draft.unlink(missing_ok=True)
    except OSError as error:
        raise not_written(error, path, what) from None


def place_new(draft: Path, path: Path, *, what: str) -> None:
    """Give a finished draft its name unless the name is taken, and make the name durable.

    Raises:
        InputError: ALREADY_THERE.
        OSError: the caller says what was being written.
    """
    try:
        os.link(draft, path, follow_symlinks=False)
        draft.unlink()
    except FileExistsError:
        raise already_there(path, what) from None
    except OSError:  # a file system without hard links: the check and the rename are two steps there
        if path.is_symlink() or path.exists():
            raise already_there(path, what) from None
        draft.rename(path)
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
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
        return InputError(Code.ARGUMENT, f"no such directory to write the {what} to", where=str(path.parent))
    if isinstance(error, NotADirectoryError):
        return InputError(Code.ARGUMENT, f"the {what} cannot be written below a file", where=str(path.parent))
    if isinstance(error, PermissionError):
        return SetupError(Code.PERMISSIONS, f"the {what} may not be written here", where=str(path.parent))
    if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
        next_step = "free some space and try again; nothing was left behind"
        text = f"the disk is full; the {what} was not written"
        return StoreError(Code.DISK_FULL, text, where=str(path), next_step=next_step)
    return StoreError(Code.STORE_IO, f"the {what} could not be written: {error.strerror}", where=str(path))


def _not_opened(error: OSError, path: Path, what: str) -> StrongroomError:
    if isinstance(error, PermissionError):
        return SetupError(Code.PERMISSIONS, f"the {what} may not be read", where=str(path))
    if isinstance(error, (FileNotFoundError, NotADirectoryError)):
        return InputError(Code.ARGUMENT, f"there is no such {what}", where=str(path))
    if error.errno == errno.ELOOP:
        return InputError(Code.ARGUMENT, f"the {what} is a link", where=str(path), next_step="name the file itself")
    return InputError(Code.ARGUMENT, f"the {what} cannot be opened: {error.strerror}", where=str(path))
