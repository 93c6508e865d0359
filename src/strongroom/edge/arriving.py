"""The stored segments of a file, as they come from the network and from an earlier try (protocol.md section 8).

Only ciphertext waits here. What has come of a segment is kept in a file of its own, so that neither a broken line nor
a killed process has it fetched again; how much is there is the file's size. What an earlier process left is matched to
the signed digest before anything else sees it, and fetched anew if it does not fit.
"""

import contextlib
import os
from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from threading import Lock

from strongroom import sealed
from strongroom.edge.folder import Folder, translated, write_all
from strongroom.edge.incoming import reopened
from strongroom.edge.links import Links
from strongroom.errors import IntegrityError, StoreError
from strongroom.sealed import Head
from strongroom.sealed.pool import Buffers

AHEAD = 2  # segments being downloaded while one is worked on
_SUFFIX = ".part"
_LEAST, _MOST = 16_384, 65_536  # bytes that are written at once, so that a kill loses no more of each range


class _StoppedError(Exception):
    """Nobody waits for this range any more."""


class Part:
    """What has come of one segment, in memory and in a file that grows with it. Closed from any thread."""

    def __init__(self, handle: int, where: Path, view: memoryview) -> None:
        """Take over an open file; what it holds is read into `view`, as far as there is room."""
        self._handle, self._where, self._view = handle, where, view
        self._step = min(max(len(view) // 256, _LEAST), _MOST)
        self._lock = Lock()
        self.size = 0  # bytes of `view` that are there
        with contextlib.suppress(OSError):  # what cannot be read is fetched
            while self.size < len(view) and (count := os.readv(handle, [view[self.size :]])):
                self.size += count
        self._written = self.size

    def arrived(self, size: int) -> None:
        """Note that the first `size` bytes are there, and write them down in steps. Raises StoreError."""
        with self._lock:
            if self._handle < 0:
                raise _StoppedError
            self.size = size
            if size - self._written >= self._step:
                self._write()

    def restart(self) -> None:
        """Forget what is there. Raises StoreError."""
        with self._lock, translated(self._where):
            if self._handle < 0:
                raise _StoppedError
            self.size = self._written = 0
            os.ftruncate(self._handle, 0)
            os.lseek(self._handle, 0, os.SEEK_SET)

    def close(self) -> None:
        """Write down what has come and let go of the file; whoever is still filling the memory is stopped."""
        with self._lock:
            handle = self._handle
            if handle < 0:
                return
            try:
                self._write()
            finally:
                self._handle = -1
                os.close(handle)

    def _write(self) -> None:
        with translated(self._where):
            write_all(self._handle, self._view[self._written : self.size])
        self._written = self.size


class Arriving:
    """The segments of one file of a grant on their way in."""

    def __init__(self, links: Links, file: int, head: Head, folder: Folder) -> None:
        self._links, self._file, self._head, self._folder = links, file, head, folder
        self._parts: dict[int, Part] = {}
        self._lock = Lock()
        self._over = False

    def segments(self, first: int) -> Generator[memoryview, None, None]:
        """Give out the stored segments from `first` on, in order, downloading a few ahead.

        A segment given out is the caller's alone until the next is asked for: what was checked is what is opened. Then
        it is kept no longer: the caller has written what it made of it.

        Raises:
            StoreError: DISK_FULL, STORE_IO.
            DeniedError, RefusedError, UnreachableError: as `Links.read_into`.
        """
        self._forget(first)
        buffers = Buffers(largest(self._head), AHEAD + 1)
        waiting: deque[Future[bytearray]] = deque()
        count = self._head.segment_count
        with ThreadPoolExecutor(AHEAD, thread_name_prefix="strongroom-fetch") as pool:
            try:
                for index in range(first, count + AHEAD):
                    if index < count:
                        waiting.append(pool.submit(self._fetched, index, buffers))
                    if index >= first + AHEAD:
                        buffer = waiting.popleft().result()
                        yield memoryview(buffer)[: self._head.stored_length(index - AHEAD)]
                        self._folder.remove(part_name(self._file, index - AHEAD))
                        buffers.give(buffer)
            finally:
                pool.shutdown(wait=False, cancel_futures=True)
                self._stop()

    def discard(self) -> None:
        """Remove whatever waits of segments, since the store gave what the owners did not sign. Raises StoreError.

        Only once nobody waits for a segment any more: no thread begins one then.
        """
        self._forget(self._head.segment_count)

    def _forget(self, first: int) -> None:
        """Remove what waits of segments that are sealed again already, and what is none."""
        wanted = {part_name(self._file, index) for index in range(first, self._head.segment_count)}
        for name in self._folder.names():
            if name.startswith(f"{self._file}.") and name.endswith(_SUFFIX) and name not in wanted:
                self._folder.remove(name)

    def _fetched(self, index: int, buffers: Buffers) -> bytearray:
        buffer = buffers.take()
        view = memoryview(buffer)[: self._head.stored_length(index)]
        with self._part(index, view) as part:
            if part.size:
                self._complete(index, view, part)
                try:
                    sealed.check_stored(self._head, index, view)
                except IntegrityError:  # a power cut, a failing disk, a mirror that lied then: the next answer decides
                    part.restart()
            self._complete(index, view, part)  # which asks for nothing if nothing is missing
        return buffer

    def _complete(self, index: int, view: memoryview, part: Part) -> None:
        self._links.read_into(self._file, self._head.offset(index), view, have=part.size, arrived=part.arrived)

    @contextlib.contextmanager
    def _part(self, index: int, view: memoryview) -> Iterator[Part]:
        name = part_name(self._file, index)
        with self._lock:
            if self._over:
                raise _StoppedError
            part = Part(reopened(self._folder, name), self._folder.path / name, view)
            self._parts[index] = part
        with contextlib.closing(part):
            yield part
        self._parts.pop(index)

    def _stop(self) -> None:
        """Keep what has come of the segments that nobody waits for, and have their threads end soon."""
        with self._lock:
            self._over = True
            for part in [*self._parts.values()]:
                with contextlib.suppress(StoreError):  # then it is fetched again; the first failure is the one to tell
                    part.close()


def largest(head: Head) -> int:
    """Return the bytes of the largest segment as it is stored."""
    return max(head.stored_length(index) for index in (0, min(1, head.segment_count - 1)))


def part_name(file: int, index: int) -> str:
    """Return the name under which a segment waits."""
    return f"{file}.{index}{_SUFFIX}"
