"""One directory of the device store, reached through its descriptor (docs/spec/protocol.md section 13).

Every name is opened relative to the descriptor and without following links, so that a planted link leads nowhere.
Files are made 0600 and directories 0700 whatever the umask. Names are ours: none is built from a caller's text.
"""

import contextlib
import errno
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from strongroom.errors import Code, SetupError, StoreError

FILE_MODE, FOLDER_MODE = 0o600, 0o700
FRESH = ".new-"  # begins the name of a file that is not yet complete; anything so named may be removed

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_FORBIDDEN = {errno.EACCES, errno.EPERM}
_ODD = {errno.ELOOP, errno.ENOTDIR, errno.EISDIR, errno.ENXIO}
_OPEN_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_OPEN_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC  # NONBLOCK: a planted FIFO must not hang us
_CREATE_FILE = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


@contextlib.contextmanager
def translated(where: Path) -> Iterator[None]:
    """Turn what the operating system says about `where` into our errors.

    Raises:
        StoreError: DISK_FULL, PERMISSIONS, STORE_DAMAGED (a link or device where a file belongs), STORE_IO.
    """
    try:
        yield
    except OSError as error:
        reason, number = error.strerror or "failed", error.errno
        if number in _FULL:
            what, step = "the disk is full", "free some space and try again; what was installed is untouched"
            raise StoreError(Code.DISK_FULL, what, where=str(where), next_step=step) from error
        if number == errno.EROFS:
            what, step = "the file system is read-only", "make it writable again; what is installed still opens"
            raise StoreError(Code.STORE_IO, what, where=str(where), next_step=step) from error
        if number in _FORBIDDEN:
            what, step = f"no permission: {reason.lower()}", "let this user own the directory, mode 0700"
            raise StoreError(Code.PERMISSIONS, what, where=str(where), next_step=step) from error
        if number in _ODD:
            what, step = f"something foreign lies in the store: {reason.lower()}", "look at it and move it away"
            raise StoreError(Code.STORE_DAMAGED, what, where=str(where), next_step=step) from error
        what, step = f"the store cannot be read or written: {reason.lower()}", "check the disk and the directory"
        raise StoreError(Code.STORE_IO, what, where=str(where), next_step=step) from error


class Folder:
    """An open directory. Used as a context manager, so that no descriptor outlives its use."""

    def __init__(self, path: Path, handle: int) -> None:
        self.path = path
        self.handle = handle

    @classmethod
    def open(cls, path: Path, *, ours: Callable[[str], bool] = lambda _: False) -> Self:
        """Open a directory by path, making it (0700) and its parents if they are missing.

        Args:
            path: the directory; not a link.
            ours: tells names that only we use; a directory with nothing else is closed to others without asking.

        Raises:
            SetupError: PERMISSIONS, if others may enter an existing one or it belongs to someone else.
            StoreError: as `translated`.
        """
        with translated(path):
            if not path.exists():
                fresh = [path, *(one for one in path.parents if not one.exists())]
                path.parent.mkdir(parents=True, exist_ok=True)
                _make(path, None)
                for one in fresh:
                    _sync_folder(one.parent)
            handle = os.open(path, _OPEN_FOLDER)
            try:
                _check_private(path, handle, ours)
            except BaseException:
                os.close(handle)
                raise
            return cls(path, handle)

    def folder(self, name: str) -> "Folder":
        """Open a directory in this one, making it (0700) if it is missing. Raises StoreError."""
        with translated(self.path / name):
            if _make(name, self.handle):
                os.fsync(self.handle)  # or the memory may outlive the directory of what it names
            return Folder(self.path / name, os.open(name, _OPEN_FOLDER, dir_fd=self.handle))

    def names(self) -> list[str]:
        """Return the names in the directory, sorted. Raises StoreError."""
        with translated(self.path):
            return _entries(self.handle)

    def open_file(self, name: str) -> tuple[int, int]:
        """Open an existing regular file for reading; return its descriptor and its size in bytes.

        Raises:
            StoreError: STORE_DAMAGED if it is missing, a link or no regular file; else as `translated`.
        """
        where = self.path / name
        with translated(where):
            try:
                handle = os.open(name, _OPEN_FILE, dir_fd=self.handle)
            except FileNotFoundError:
                what, step = "a file of the store is missing", "fetch the model anew: `strongroom pull`"
                raise StoreError(Code.STORE_DAMAGED, what, where=str(where), next_step=step) from None
            status = os.fstat(handle)
            if not stat.S_ISREG(status.st_mode):
                os.close(handle)
                what, step = "not a regular file where the store keeps one", "look at it and move it away"
                raise StoreError(Code.STORE_DAMAGED, what, where=str(where), next_step=step)
            return handle, status.st_size

    def read(self, name: str, *, limit: int) -> bytes | None:
        """Return the content of a small file, or None if there is none; its size is checked before it is read.

        Raises:
            StoreError: STORE_DAMAGED if it is larger than `limit` bytes or no regular file; else as `translated`.
        """
        if not self.has(name):
            return None
        handle, size = self.open_file(name)
        try:
            if size > limit:
                what, step = f"a file of {size} bytes; at most {limit} belong there", "look at it and move it away"
                raise StoreError(Code.STORE_DAMAGED, what, where=str(self.path / name), next_step=step)
            with translated(self.path / name):
                return _read_all(handle, size)
        finally:
            os.close(handle)

    def read_secret(self, name: str, *, size: int) -> bytearray | None:
        """Return the content of a secret file for the caller to wipe, or None if there is none.

        Raises:
            SetupError: PERMISSIONS, if others may read or write it.
            StoreError: STORE_DAMAGED if it has not `size` bytes or is no regular file; else as `translated`.
        """
        if not self.has(name):
            return None
        handle, found = self.open_file(name)
        where = self.path / name
        try:
            with translated(where):
                if stat.S_IMODE(os.fstat(handle).st_mode) & 0o077:
                    what, step = "others may read or write a key of this device", f"run: chmod 600 {where}"
                    raise SetupError(Code.PERMISSIONS, what, where=str(where), next_step=step)
                secret = bytearray(size)
                if found != size or os.readv(handle, [secret]) != size:  # into the buffer that is wiped, no other
                    what = f"a key file of {found} bytes instead of {size}"
                    step = "move the device directory away and enrol again"
                    raise StoreError(Code.STORE_DAMAGED, what, where=str(where), next_step=step)
                return secret
        finally:
            os.close(handle)

    def has(self, name: str) -> bool:
        """Tell whether anything lies under this name, a dangling link included. Raises StoreError."""
        with translated(self.path / name):
            try:
                os.lstat(name, dir_fd=self.handle)
            except FileNotFoundError:
                return False
            return True

    def create(self, name: str) -> int:
        """Make a new file (0600) and return its descriptor; something already there is refused. Raises StoreError."""
        with translated(self.path / name):
            handle = os.open(name, _CREATE_FILE, FILE_MODE, dir_fd=self.handle)
            os.fchmod(handle, FILE_MODE)  # the umask can only have taken bits away
            return handle

    def open_lock(self, name: str) -> int:
        """Open, or make, an empty file (0600) that only serves as a lock. Raises StoreError."""
        with translated(self.path / name):
            flags = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            try:
                handle = os.open(name, os.O_RDWR | os.O_CREAT | flags, FILE_MODE, dir_fd=self.handle)
            except OSError as error:
                if error.errno != errno.EROFS:
                    raise
                return os.open(name, os.O_RDONLY | flags, dir_fd=self.handle)  # enough for flock on local disks
            status = os.fstat(handle)
            if stat.S_IMODE(status.st_mode) != FILE_MODE and status.st_nlink == 1:  # else it is not ours alone
                os.fchmod(handle, FILE_MODE)
            return handle

    def read_only(self) -> bool:
        """Tell whether the file system lets nobody write. Raises StoreError."""
        with translated(self.path):
            return bool(os.fstatvfs(self.handle).f_flag & os.ST_RDONLY)

    def write(self, name: str, data: bytes | bytearray) -> None:
        """Put a whole file in place, durably: the old content or the new after a crash, nothing between.

        Raises:
            StoreError: as `translated`. The old file is then still there, unless the very last step failed.
        """
        fresh = FRESH + os.urandom(8).hex()
        with translated(self.path / name):
            handle = self.create(fresh)
            try:
                try:
                    write_all(handle, data)
                    os.fsync(handle)
                finally:
                    os.close(handle)
                os.replace(fresh, name, src_dir_fd=self.handle, dst_dir_fd=self.handle)
            except OSError:
                with contextlib.suppress(OSError):
                    os.unlink(fresh, dir_fd=self.handle)
                raise
            os.fsync(self.handle)

    def move(self, name: str, target: "Folder") -> None:
        """Move an entry into another directory, durably on both sides. Raises StoreError."""
        with translated(target.path / name):
            os.rename(name, name, src_dir_fd=self.handle, dst_dir_fd=target.handle)
            os.fsync(target.handle)
            os.fsync(self.handle)

    def overwrite(self, name: str) -> None:
        """Write random bytes over a file's content; not if it has a second name, for then it is not ours alone.

        Raises:
            StoreError: as `translated`.
        """
        with translated(self.path / name):
            handle = os.open(name, os.O_WRONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=self.handle)
            try:
                status = os.fstat(handle)
                if stat.S_ISREG(status.st_mode) and status.st_nlink == 1:
                    write_all(handle, os.urandom(status.st_size))
                    os.fsync(handle)
            finally:
                os.close(handle)

    def remove(self, name: str) -> None:
        """Unlink a file if it is there. Raises StoreError."""
        with translated(self.path / name), contextlib.suppress(FileNotFoundError):
            os.unlink(name, dir_fd=self.handle)

    def remove_folder(self, name: str) -> None:
        """Remove a directory of files, without following links; a plain file or link of that name too.

        Raises:
            StoreError: as `translated`.
        """
        with translated(self.path / name):
            try:
                inner = os.open(name, _OPEN_FOLDER, dir_fd=self.handle)
            except FileNotFoundError:
                return
            except OSError:
                os.unlink(name, dir_fd=self.handle)
                return
            try:
                for entry in _entries(inner):
                    os.unlink(entry, dir_fd=inner)
            finally:
                os.close(inner)
            os.rmdir(name, dir_fd=self.handle)

    def sync(self) -> None:
        """Make the directory's entries durable. Raises StoreError."""
        with translated(self.path):
            os.fsync(self.handle)

    def free(self) -> int:
        """Return the bytes this user may still write on the disk. Raises StoreError."""
        with translated(self.path):
            status = os.fstatvfs(self.handle)
            return status.f_bavail * status.f_frsize

    def close(self) -> None:
        if self.handle >= 0:
            os.close(self.handle)
            self.handle = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def write_all(handle: int, data: bytes | bytearray | memoryview) -> None:
    """Write every byte; `os.write` may stop early. Raises OSError."""
    with memoryview(data) as view:
        done = 0
        while done < len(view):
            done += os.write(handle, view[done:])


def _read_all(handle: int, size: int) -> bytes:
    data = b""
    while len(data) < size:
        piece = os.read(handle, size - len(data))
        if not piece:
            raise OSError(errno.EIO, "the file became shorter while it was read")
        data += piece
    return data


def _check_private(path: Path, handle: int, ours: Callable[[str], bool]) -> None:
    status = os.fstat(handle)
    if status.st_uid != os.geteuid():
        raise _not_private(path, "belongs to another user", "use a directory of your own (STRONGROOM_HOME)")
    if not stat.S_IMODE(status.st_mode) & 0o077:
        return
    if not all(map(ours, _entries(handle))):
        raise _not_private(path, "can be entered by other users", f"chmod 700 {path}")
    os.fchmod(handle, FOLDER_MODE)


def _entries(handle: int) -> list[str]:
    return sorted(os.listdir(handle))


def _make(name: str | Path, parent: int | None) -> bool:
    try:
        os.mkdir(name, FOLDER_MODE, dir_fd=parent)
    except FileExistsError:
        return False
    os.chmod(name, FOLDER_MODE, dir_fd=parent)
    return True


def _sync_folder(path: Path) -> None:
    with contextlib.suppress(PermissionError):  # whoever may make entries need not be allowed to list them
        handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _not_private(path: Path, what: str, step: str) -> SetupError:
    return SetupError(Code.PERMISSIONS, f"the device directory {what}", where=str(path), next_step=step)
