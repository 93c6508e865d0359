"""Drafts: files and directories that get their name when all of them is there, and are gone otherwise.

A draft lies beside what it is to become and is named after it: `.NAME.<16 hexadecimal digits>.part`. Who writes it
holds its lock, so that the next run for the same name tells what a killed process left from what another is writing.
"""

import errno
import fcntl
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from strongroom.errors import Code, StoreError

MAX_REPEATED = 200  # bytes of a name that its draft repeats: file names end at 255 bytes
_ENTER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_CREATE = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_LOOK = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_TRIES = 100  # each ends only if another process takes the draft for a stale one before its lock is held


@contextmanager
def drafted(path: Path, mode: int) -> Iterator[tuple[Path, int]]:
    """Open a draft beside a file that is to be made; it is gone when the block ends, unless it got its name.

    Drafts of the same file whose process ended without removing them are removed first.

    Raises:
        OSError: the caller says what was being written.
    """
    with suppress(OSError):  # a directory that does not exist, or may not be listed: opening says it better
        for one in _drafts_of(path.name, os.listdir(path.parent)):  # noqa: PTH208 - names, not paths
            _drop_stale(path.parent / one)
    for _ in range(_TRIES):
        draft = path.parent / _new_name(path.name)
        handle = os.open(draft, _CREATE, mode)
        try:
            if _locked(handle) and os.path.lexists(draft):
                yield draft, handle
                return
        finally:
            os.close(handle)
            with suppress(OSError):
                draft.unlink(missing_ok=True)
    raise _taken_away()


class Draft:
    """A directory that is being filled.

    Attributes:
        name: what it is called beside what it is to become.
        handle: its descriptor.
        placed: whoever gives it its name says so here, and it stays.
    """

    def __init__(self, name: str, handle: int) -> None:
        """Not for callers: `drafted_directory` makes it."""
        self.name, self.handle = name, handle
        self.placed = False


@contextmanager
def drafted_directory(beside: int, name: str) -> Iterator[Draft]:
    """Make an empty directory of our own; it is gone with all in it when the block ends, unless it got its name.

    Drafts of the same name whose process ended without removing them are removed first.

    Args:
        beside: descriptor of the directory to make it in.
        name: what it is to be called there.

    Raises:
        StoreError: STORE_IO: somebody else put another directory into its place.
        OSError: the caller says what was being written.
    """
    for one in _drafts_of(name, os.listdir(beside)):
        _drop_stale_directory(beside, one)
    for _ in range(_TRIES):
        draft = _new_name(name)
        os.mkdir(draft, 0o700, dir_fd=beside)
        try:
            handle = os.open(draft, _ENTER, dir_fd=beside)
            try:
                if not _ours(handle):
                    raise intruder(draft)
                if _locked(handle) and _lies_at(beside, draft, handle):
                    yield from _filled(Draft(draft, handle), beside, name)
                    return
            finally:
                os.close(handle)
        finally:
            with suppress(OSError):  # it has its name, or another one took its place and is not empty
                os.rmdir(draft, dir_fd=beside)
    raise _taken_away()


def intruder(where: str) -> StoreError:
    """Return the error for a draft that another process writes into."""
    what, next_step = "another process put something into the draft directory", "choose a directory that is yours alone"
    return StoreError(Code.STORE_IO, what, where=where, next_step=next_step)


def _filled(draft: Draft, beside: int, name: str) -> Iterator[Draft]:
    try:
        yield draft
    finally:
        # An interrupt can come between the rename and the word for it: then the directory is whole and has its name.
        if not draft.placed and not _lies_at(beside, name, draft.handle):
            _empty(draft.handle)  # by descriptor: the draft's name may be that of another directory by now


def _lies_at(beside: int, name: str, handle: int) -> bool:
    with suppress(OSError):
        return os.path.samestat(os.stat(name, dir_fd=beside, follow_symlinks=False), os.fstat(handle))
    return False


def _new_name(name: str) -> str:
    return f".{_repeated(name)}.{secrets.token_hex(8)}.part"


def _drafts_of(name: str, names: list[str]) -> list[str]:
    pattern = re.compile(rf"\.{re.escape(_repeated(name))}\.[0-9a-f]{{16}}\.part", re.DOTALL)
    return [one for one in names if pattern.fullmatch(one)]


def _repeated(name: str) -> str:
    return os.fsencode(name)[:MAX_REPEATED].decode("utf-8", "ignore")  # no half letter: some systems refuse it


def _locked(handle: int) -> bool:
    """Lock a draft that was just made; until then it looks stale, so the caller asks whether it is still there."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return not isinstance(error, BlockingIOError)  # on a file system without locks nothing looks stale either
    return True


def _drop_stale(draft: Path) -> None:
    with suppress(OSError):
        handle = os.open(draft, _LOOK)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)  # fails while somebody writes it
            draft.unlink()
        finally:
            os.close(handle)


def _drop_stale_directory(beside: int, name: str) -> None:
    with suppress(OSError):
        handle = os.open(name, _ENTER, dir_fd=beside)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)  # fails while somebody fills it
            if _ours(handle):
                _empty(handle)
                os.rmdir(name, dir_fd=beside)
        finally:
            os.close(handle)


def _taken_away() -> OSError:
    return BlockingIOError(errno.EWOULDBLOCK, "another process takes every draft away")


def _ours(handle: int) -> bool:
    state = os.fstat(handle)
    return state.st_uid == os.geteuid() and not state.st_mode & 0o077


def _empty(handle: int) -> None:
    with suppress(OSError):
        for name in os.listdir(handle):
            try:
                os.unlink(name, dir_fd=handle)
            except OSError:  # a directory, for which systems have different errors
                shutil.rmtree(name, ignore_errors=True, dir_fd=handle)
