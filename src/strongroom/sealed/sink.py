"""Where sealed bytes are written to: anything that can seek, by position and from any thread."""

import errno
import io
import os
import threading
from typing import BinaryIO

from strongroom.errors import Code, InputError, StoreError


class Sink:
    """A sealed file being written; it begins where the stream stands.

    A plain file is written through its descriptor, which threads can do at the same time; the stream's own position
    stays. Whatever else there is takes turns.
    """

    def __init__(self, stream: BinaryIO) -> None:
        """Take the stream.

        Raises:
            InputError: ARGUMENT: it cannot seek.
            StoreError: DISK_FULL, STORE_IO.
        """
        self._stream = stream
        self._lock = threading.Lock()
        try:
            self._begin = stream.tell()
        except OSError:
            raise InputError(Code.ARGUMENT, "a file is sealed into something seekable") from None
        self._descriptor = _descriptor(stream)

    def write(self, offset: int, data: bytes | memoryview) -> None:
        """Write all of the data at a position of the sealed file.

        Raises:
            StoreError: DISK_FULL, STORE_IO.
        """
        position, done = self._begin + offset, 0
        try:
            if self._descriptor is not None:
                while done < len(data):
                    done += os.pwrite(self._descriptor, data[done:], position + done)
                return
            with self._lock:
                self._stream.seek(position)
                while done < len(data):  # an unbuffered stream may take less than it is given
                    done += self._stream.write(data[done:])
        except OSError as error:
            raise _not_written(error) from None


def _descriptor(stream: BinaryIO) -> int | None:
    """Return the descriptor of a plain file, its buffer emptied. A subclass may do more than write: it is no such."""
    try:
        raw = getattr(stream, "raw", None) if type(stream) in {io.BufferedRandom, io.BufferedWriter} else stream
        if type(raw) is not io.FileIO:
            return None
        stream.flush()
        return stream.fileno()
    except OSError as error:
        raise _not_written(error) from None


def _not_written(error: OSError) -> StoreError:
    if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
        what = "the disk is full; the sealed file was not written"
        return StoreError(Code.DISK_FULL, what, next_step="free some space and try again")
    what = f"the sealed file could not be written: {error.strerror or 'the stream refused'}"
    return StoreError(Code.STORE_IO, what, next_step="look at the disk and at the system's log, or write elsewhere")
