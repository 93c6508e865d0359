"""Carrying a file over from its model key to its local key, as far as that was not done before.

Every byte of plaintext passes the check of the whole files (step 9 of docs/spec/sealed-file.md section 10): that of
segments sealed again by an earlier process too, which are opened for it. The first of them that does not open, and
all behind it, are made anew.
"""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from strongroom import sealed
from strongroom.edge.folder import translated, write_all
from strongroom.errors import Code, IntegrityError, InternalError, StoreError
from strongroom.sealed import BegunLocal, FileReadable, LocalWriter, ModelKey, Subject, Unlocked


class LocalCopy:
    """The local file on its way to the disk. The descriptor is the caller's."""

    def __init__(self, handle: int, where: Path) -> None:
        self._handle, self._where = handle, where
        with translated(where):
            self.size = os.fstat(handle).st_size  # bytes that are there

    def readable(self) -> FileReadable:
        """Return what reads it."""
        return FileReadable(self._handle, self.size, str(self._where))

    def cut(self, size: int) -> None:
        """Keep only the first `size` bytes, and write behind them. Raises StoreError."""
        with translated(self._where):
            if self.size > size:
                os.ftruncate(self._handle, size)
            os.lseek(self._handle, size, os.SEEK_SET)
        self.size = size

    def write(self, data: bytes | memoryview) -> None:
        """Write behind what is there. Raises StoreError."""
        with translated(self._where):
            write_all(self._handle, data)
        self.size += len(data)

    def sync(self) -> int:
        """Make it durable and return its size. Raises StoreError."""
        with translated(self._where):
            os.fsync(self._handle)
        return self.size


class Resealing:
    """One file on its way from its model key to its local key. Close it: that wipes the derived local keys."""

    def __init__(
        self,
        origin: Unlocked,
        key: ModelKey,
        subject: Subject,
        local: LocalCopy,
        buffer: memoryview,
        done: Callable[[int], None],
    ) -> None:
        """Prepare; nothing is read or written.

        Args:
            origin: the file from the network, unlocked.
            key: its local key.
            subject: what it is for.
            local: where it goes.
            buffer: private memory for the plaintext of one segment.
            done: called with the bytes of each stored segment that is done.
        """
        self._origin, self._key, self._subject = origin, key, subject
        self._local, self._buffer, self._done = local, buffer, done
        self._checker: sealed.FileChecker | None = None
        self._writer: LocalWriter | None = None
        self._begun: BegunLocal | None = None

    def go_on(self) -> int:
        """Take what an earlier process sealed, as far as it is whole; return the first segment that must be fetched.

        Raises:
            IntegrityError: FILE_CHECKSUM.
            StoreError: as `folder.translated`.
        """
        try:
            begun = sealed.go_on_local(self._local.readable(), self._origin, self._key, self._subject)
        except (IntegrityError, StoreError):  # nothing that can be gone on with, whatever the reason
            self._local.cut(0)
            return 0
        self._begun, self._writer, self._checker = begun, begun.writer, sealed.FileChecker(begun.toc)
        head, local, index = self._origin.head, begun.writer.head, 1
        self._done(head.stored_length(0))
        while index < head.segment_count and local.offset(index) + local.stored_length(index) <= self._local.size:
            plain = self._buffer[: head.plain_length(index)]
            try:
                begun.open_segment(index, plain)
            except (IntegrityError, StoreError):
                break
            self._checker.update(plain)
            self._done(head.stored_length(index))
            index += 1
        self._local.cut(local.offset(index - 1) + local.stored_length(index - 1))
        return index

    def finish(self, first: int, stored: Iterator[memoryview]) -> None:
        """Carry over the segments from `first` on, and see that the files are whole.

        Args:
            first: what `go_on` returned.
            stored: the segments from there on, as they come.

        Raises:
            IntegrityError: FILE_*.
            StoreError: as `folder.translated`.
            StrongroomError: whatever `stored` raises.
        """
        for index, piece in enumerate(stored, start=first):
            if index == 0:
                self._begin(piece)
            else:
                self._carry(index, piece)
            self._done(len(piece))
        if self._checker is not None:
            self._checker.finish()

    def close(self) -> None:
        """Overwrite the derived local keys, best effort."""
        for one in (self._begun, self._writer):
            if one is not None:
                one.close()

    def _begin(self, first: memoryview) -> None:
        origin, toc_bytes = self._origin, self._buffer[: self._origin.head.plain_length(0)]
        origin.open_segment(0, first, toc_bytes)
        toc = origin.read_toc(first)
        self._checker = sealed.FileChecker(toc)
        self._writer = writer = sealed.start_local(origin, toc, toc_bytes, self._key, self._subject)
        self._local.write(writer.head_part)
        self._local.write(writer.first)

    def _carry(self, index: int, piece: memoryview) -> None:
        plain = self._buffer[: self._origin.head.plain_length(index)]
        self._origin.open_segment(index, piece, plain)
        if self._checker is None or self._writer is None:
            raise InternalError(Code.INTERNAL, "a segment before the table of contents")
        self._checker.update(plain)
        for part in self._writer.seal_pieces(index, plain):
            self._local.write(part)
