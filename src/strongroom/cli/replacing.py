"""A sealed file that takes the place of the same file with fewer signatures, and of nothing else."""

import fcntl
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

from strongroom.cli import printing
from strongroom.errors import Code, InputError, StoreError

if TYPE_CHECKING:
    from strongroom.sealed import Head
    from strongroom.signing import Signer


def replace_signed(path: Path, signers: "Sequence[Signer]") -> "Head":
    """Write a sealed file again with signatures added, and give it the old one's name, owner, group and mode.

    Raises:
        IntegrityError, InputError: as `copy_signed`; FILE_SOURCE_CHANGED if something else lies there by then.
        SetupError: PERMISSIONS.
        StoreError: LOCKED: another signer is at the same point; DISK_FULL, STORE_IO.
    """
    from strongroom.operator.drafts import drafted
    from strongroom.operator.small_files import not_written, sync_directory
    from strongroom.sealed import FileReadable, copy_signed

    try:
        with FileReadable.open(path) as readable, printing.progress("signing", readable.size) as reached:
            before = readable.status()  # not of the path: something else may lie there already
            with drafted(path, 0o600) as (draft, handle):
                with os.fdopen(handle, "w+b", closefd=False) as out:
                    head = copy_signed(readable, cast("BinaryIO", out), *signers, progress=reached)
                    _take_after(handle, before)
                    out.flush()
                    os.fsync(handle)
                with _unchanged(path, before):
                    draft.replace(path)
                sync_directory(path.parent)
    except OSError as error:
        raise not_written(error, path, "sealed file") from None
    return head


def _take_after(handle: int, before: os.stat_result) -> None:
    """Give a file the owner, the group and the mode of the one that it replaces, as far as this user may."""
    for user, group in ((before.st_uid, -1), (-1, before.st_gid)):
        with suppress(OSError):  # only root gives files away, and others only to groups they are in
            os.fchown(handle, user, group)
    os.fchmod(handle, stat.S_IMODE(before.st_mode))


@contextmanager
def _unchanged(path: Path, before: os.stat_result) -> Iterator[None]:
    """See that a file still is what was read, and let no other signer replace it while the block runs.

    Another owner may be signing too: the second to finish must not take the first one's signature away.
    """
    try:
        # NONBLOCK: something else may lie there by now, a pipe for one
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        raise _changed(path) from None
    try:
        _lock(handle, path)
        # Asked for under the lock: who replaces the file holds the lock of the one that lies there until then.
        if not _same(os.fstat(handle), before) or not os.path.lexists(path) or not _same(path.lstat(), before):
            raise _changed(path)
        yield
    finally:
        os.close(handle)


def _lock(handle: int, path: Path) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise StoreError(Code.LOCKED, "another process is replacing this file", where=str(path)) from None
    except OSError:  # a file system without locks: the comparison is all there is
        return


def _same(now: os.stat_result, before: os.stat_result) -> bool:
    return os.path.samestat(now, before) and (now.st_size, now.st_mtime_ns) == (before.st_size, before.st_mtime_ns)


def _changed(path: Path) -> InputError:
    what = "the file changed while it was being signed"
    return InputError(Code.FILE_SOURCE_CHANGED, what, where=str(path), next_step="sign again")
