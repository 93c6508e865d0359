"""One process at a time: advisory locks on files of the device store, waited for up to a limit."""

import contextlib
import errno
import fcntl
import os
import time
from collections.abc import Iterator

from strongroom.edge.folder import Folder, translated
from strongroom.errors import Code, StoreError

_PAUSE = 0.02  # seconds between two tries
_BUSY = {errno.EWOULDBLOCK, errno.EACCES, errno.EINTR}


@contextlib.contextmanager
def locked(folder: Folder, name: str, patience: float) -> Iterator[None]:
    """Hold the lock `name` of a directory for the length of the block. The system frees it when a process dies.

    Args:
        folder: where the lock file lies.
        name: the lock file.
        patience: seconds to wait for another process; 0 tries once.

    Raises:
        StoreError: LOCKED if it is still held after `patience`; else as `folder.translated`.
    """
    where = folder.path / name
    if folder.read_only() and not folder.has(name):
        yield  # nobody can change anything here, and no lock file can be made
        return
    handle = folder.open_lock(name)
    try:
        deadline = time.monotonic() + patience
        while True:
            with translated(where):
                try:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except OSError as error:
                    if error.errno not in _BUSY:
                        raise
            if time.monotonic() >= deadline:
                what = f"another process has held the device store for more than {patience:g} s"
                raise StoreError(
                    Code.LOCKED, what, where=str(where), next_step="wait for it, or end it if it hangs, and try again"
                )
            time.sleep(_PAUSE)
        yield
    finally:
        os.close(handle)
