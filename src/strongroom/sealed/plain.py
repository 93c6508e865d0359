"""The sources as one payload, read twice: to hash them, then to seal them (docs/spec/sealed-file.md section 11).

The first reading takes each file's SHA-256 for the table of contents, and a tag of every piece: GMAC, which is
AES-256-GCM over associated data alone (NIST SP 800-38D), under a key that lives as long as this sealing, with the
piece's number as nonce. The second reading gives out a piece only if its tag is the same. Who changes a source in
between would have to forge a tag without having seen the key or any tag, and the first failure ends the sealing; so
this finds what a second SHA-256 would find, at a tenth of its cost and before the piece is encrypted.

The first reading goes on in another thread while this one hashes. What is kept is a tag for each piece, and two
buffers for each thread that hashes.
"""

import hashlib
from bisect import bisect_right
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from itertools import accumulate

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from strongroom.errors import Code, InputError, StoreError
from strongroom.sealed.pool import Buffers, in_order, thread_count
from strongroom.sealed.segments import PIECE
from strongroom.sealed.sources import ByteStream, Source
from strongroom.sealed.wiping import wipe

_NONCE, _TAG = 12, 16  # bytes, of GMAC


@dataclass(frozen=True, slots=True)
class _Part:
    """A range of the payload within one source and one piece; its number is that of no other part."""

    source: int
    start: int
    end: int

    @property
    def number(self) -> int:
        return self.start // PIECE + self.source  # the next part is of the next piece, or of a later source


class PlainPayload:
    """All sources, one behind the other. First `digests`, then `pieces` from any threads, then `finish`."""

    def __init__(self, sources: Sequence[Source], key: bytes) -> None:
        """Take the sources, and a fresh key of 32 random bytes for the tags."""
        self._sources = tuple(sources)
        self._starts = list(accumulate((one.size for one in sources), initial=0))
        self.size = self._starts[-1]
        self._gmac = AESGCM(key)
        self._tags = bytearray(_TAG * (self.size // PIECE + len(self._sources) + 1))

    def digests(self, workers: int | None) -> list[bytes]:
        """Read everything for the first time; return each source's SHA-256. Several sources are read at once.

        Raises:
            InputError: FILE_SOURCE_CHANGED: a source has another size than it was said to have.
            StoreError: STORE_IO.
        """
        threads = min(thread_count(workers, 2 * PIECE), len(self._sources))
        buffers = Buffers(PIECE, 2 * threads)

        def digest(number: int) -> bytes:
            with buffers.lent() as one, buffers.lent() as other:
                return self._digest(number, one, other)

        try:
            with closing(in_order(digest, range(len(self._sources)), threads)) as digests:
                return list(digests)
        finally:
            buffers.wipe()

    def pieces(self, start: int, end: int, buffer: memoryview) -> Generator[memoryview]:
        """Read a range of the payload again, piece by piece; each lies in the buffer until the next is asked for.

        Close it (`contextlib.closing`) where it may not be read to its end.

        Args:
            start: where the range begins, a multiple of `PIECE`.
            end: where it ends.
            buffer: `PIECE` bytes.

        Raises:
            InputError: FILE_SOURCE_CHANGED: other bytes than `digests` saw, or more behind them.
            StoreError: STORE_IO.
        """
        stream: ByteStream | None = None
        try:
            for position in range(start, end, PIECE):
                piece = buffer[: min(PIECE, end - position)]
                for part in self._parts(position, position + len(piece)):
                    source, begin = self._sources[part.source], self._starts[part.source]
                    if stream is None:
                        stream = opened(source)
                        seek(stream, part.start - begin, source)
                    view = piece[part.start - position : part.end - position]
                    fill(stream, view, source)
                    self._compare(part, view)
                    if part.end == begin + source.size:
                        require_end(stream, source)
                        stream.close()
                        stream = None
                yield piece
        finally:
            if stream is not None:
                stream.close()

    def finish(self) -> None:
        """Look again at what has no bytes, so that every source was opened and compared.

        Raises:
            InputError: FILE_SOURCE_CHANGED.
            StoreError: STORE_IO.
        """
        for source in self._sources:
            if not source.size:
                with closing(opened(source)) as stream:
                    require_end(stream, source)

    def _digest(self, number: int, one: memoryview, other: memoryview) -> bytes:
        source, begin, end = self._sources[number], self._starts[number], self._starts[number + 1]
        digest = hashlib.sha256()
        with closing(opened(source)) as stream, ThreadPoolExecutor(1, "strongroom-ahead") as ahead:

            def read(part: _Part, buffer: memoryview) -> memoryview:
                view = buffer[: part.end - part.start]
                fill(stream, view, source)
                self._mark(part, view)
                return view

            ready = one[:0]
            for part in self._parts(begin, end):
                if part.start == begin:
                    ready = read(part, one)  # here: most small files have no other part and need no thread
                    continue
                coming = ahead.submit(read, part, other)
                digest.update(ready)
                ready, one, other = coming.result(), other, one
            digest.update(ready)
            require_end(stream, source)
        return digest.digest()

    def _parts(self, start: int, end: int) -> Iterator[_Part]:
        """Cut a range where a piece ends and where a source ends, and so in the same places both times."""
        while start < end:
            source = bisect_right(self._starts, start) - 1  # the last that begins here or before: it has bytes here
            stop = min(end, self._starts[source + 1], start - start % PIECE + PIECE)
            yield _Part(source, start, stop)
            start = stop

    def _mark(self, part: _Part, view: memoryview) -> None:
        at = _TAG * part.number
        self._tags[at : at + _TAG] = self._gmac.encrypt(part.number.to_bytes(_NONCE), b"", view)

    def _compare(self, part: _Part, view: memoryview) -> None:
        at = _TAG * part.number
        try:
            self._gmac.decrypt(part.number.to_bytes(_NONCE), self._tags[at : at + _TAG], view)
        except InvalidTag:
            raise _changed(self._sources[part.source]) from None


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


def seek(stream: ByteStream, position: int, source: Source) -> None:
    """Go to a position of a source that was just opened.

    Raises:
        StoreError: STORE_IO.
    """
    try:
        if position:
            stream.seek(position)
    except OSError as error:
        what = f"going back failed: {error.strerror or 'the source cannot seek'}"
        raise StoreError(Code.STORE_IO, what, where=ascii(source.path)) from None


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
