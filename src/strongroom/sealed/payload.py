"""The files' bytes on their way in and out: hashed before and while sealing, and checked after opening.

Docs: docs/spec/sealed-file.md sections 9 and 11, and step 9 of section 10.
"""

import hashlib
from collections.abc import Sequence
from contextlib import closing
from typing import Never

from strongroom.errors import Code, InputError, IntegrityError, StoreError
from strongroom.sealed.pool import Buffers, in_order, thread_count
from strongroom.sealed.segments import PIECE
from strongroom.sealed.sources import ByteStream, Source
from strongroom.sealed.toc import TableOfContents
from strongroom.sealed.wiping import wipe


def hash_sources(sources: Sequence[Source], workers: int | None) -> list[bytes]:
    """Return each source's SHA-256, several at once.

    Raises:
        InputError: FILE_SOURCE_CHANGED: a source has another size than it was said to have.
        StoreError: STORE_IO.
    """
    threads = min(thread_count(workers, PIECE), len(sources))
    pieces = Buffers(PIECE, threads)

    def digest_of(source: Source) -> bytes:
        digest = hashlib.sha256()
        with closing(opened(source)) as stream, pieces.lent() as buffer:
            left = source.size
            while left:
                part = buffer[: min(left, len(buffer))]
                fill(stream, part, source)
                digest.update(part)
                left -= len(part)
            require_end(stream, source)
        return digest.digest()

    try:
        with closing(in_order(digest_of, sources, threads)) as digests:
            return list(digests)
    finally:
        pieces.wipe()


class PlainPayload:
    """All sources as one stream, hashed again as it passes: what is sealed is what the table of contents names."""

    def __init__(self, sources: Sequence[Source], digests: Sequence[bytes]) -> None:
        self._waiting = list(zip(sources, digests, strict=True))[::-1]
        self._source: Source | None = None
        self._stream: ByteStream | None = None
        self._left = 0
        self._digest = hashlib.sha256()
        self._expected = b""

    def read_into(self, into: memoryview) -> None:
        """Fill memory with the next bytes of the payload.

        Raises:
            InputError: FILE_SOURCE_CHANGED.
            StoreError: STORE_IO.
        """
        done = 0
        while done < len(into):
            if self._source is None or self._stream is None:
                self._next()
                continue
            part = into[done : done + min(self._left, len(into) - done, PIECE)]
            fill(self._stream, part, self._source)
            self._digest.update(part)
            self._left -= len(part)
            done += len(part)
            if not self._left:
                self._end()

    def finish(self) -> None:
        """Read what has no bytes at the end, so that every source was opened and compared.

        Raises:
            InputError: FILE_SOURCE_CHANGED.
        """
        while self._waiting:
            self._next()

    def close(self) -> None:
        """Close the source that is open, if one is."""
        if self._stream is not None:
            self._stream.close()
        self._source = self._stream = None

    def _next(self) -> None:
        self._source, self._expected = self._waiting.pop()
        self._stream = opened(self._source)
        self._left = self._source.size
        self._digest = hashlib.sha256()
        if not self._left:
            self._end()

    def _end(self) -> None:
        if self._source is not None and self._stream is not None:
            require_end(self._stream, self._source)
            if self._digest.digest() != self._expected:
                raise _changed(self._source)
        self.close()


class FileChecker:
    """Compares each file's SHA-256 while the payload passes in order: step 9 of section 10.

    Nothing may call the model whole before `finish` has returned.
    """

    def __init__(self, toc: TableOfContents) -> None:
        self._files = iter(toc.files)
        self._left = 0  # bytes of the file at hand
        self._expected = hashlib.sha256(b"").digest()  # before the first file: nothing, which is right
        self._digest = hashlib.sha256()
        self._refused = False

    def update(self, data: bytes | bytearray | memoryview) -> None:
        """Take the next bytes of the payload.

        Raises:
            IntegrityError: FILE_CHECKSUM, or FILE_REFUSED after an earlier failure.
        """
        self._require_fit()
        view = memoryview(data)
        while view:
            while not self._left:
                if not self._next():
                    self._refuse("the payload is longer than its files")
            part = view[: self._left]
            self._digest.update(part)
            self._left -= len(part)
            view = view[len(part) :]

    def finish(self) -> None:
        """Compare the last file, and see that none is missing.

        Raises:
            IntegrityError: FILE_CHECKSUM, or FILE_REFUSED after an earlier failure.
        """
        self._require_fit()
        while self._next():
            pass

    def _next(self) -> bool:
        """End a file and begin the next; tell whether there is one."""
        if self._left or self._digest.digest() != self._expected:
            self._refuse("a file does not have the SHA-256 it should have")
        following = next(self._files, None)
        if following is None:
            return False
        self._left, self._expected = following.size, following.sha256
        self._digest = hashlib.sha256()
        return True

    def _refuse(self, what: str) -> Never:
        self._refused = True
        raise IntegrityError(Code.FILE_CHECKSUM, what)

    def _require_fit(self) -> None:
        if self._refused:
            raise IntegrityError(Code.FILE_REFUSED, "these files were refused before")


def opened(source: Source) -> ByteStream:
    """Open a source.

    Raises:
        InputError: PATH, or whatever of our own tree the source raises.
        StoreError: STORE_IO.
    """
    try:
        return source.open()
    except OSError as error:
        raise StoreError(Code.STORE_IO, f"opening failed: {error.strerror}", where=ascii(source.path)) from None


def fill(stream: ByteStream, into: memoryview, source: Source) -> None:
    """Fill memory from a source that must still have that much.

    Raises:
        InputError: FILE_SOURCE_CHANGED.
        StoreError: STORE_IO.
    """
    done = 0
    while done < len(into):
        count = _read(stream, into[done:], source)
        if not count:
            raise _changed(source)
        done += count


def require_end(stream: ByteStream, source: Source) -> None:
    """See that a source has no more bytes than it was said to have.

    Raises:
        InputError: FILE_SOURCE_CHANGED.
        StoreError: STORE_IO.
    """
    spare = bytearray(1)
    if _read(stream, memoryview(spare), source):
        wipe(spare)
        raise _changed(source)


def _read(stream: ByteStream, into: memoryview, source: Source) -> int:
    try:
        return stream.readinto(into) or 0
    except OSError as error:
        raise StoreError(Code.STORE_IO, f"reading failed: {error.strerror}", where=ascii(source.path)) from None


def _changed(source: Source) -> InputError:
    return InputError(
        Code.FILE_SOURCE_CHANGED,
        "a file changed while it was being sealed",
        where=ascii(source.path),
        next_step="seal again when nothing writes to it",
    )
