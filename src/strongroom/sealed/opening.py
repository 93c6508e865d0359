"""Reading a whole sealed file: its head, its check without keys, or all of it into memory."""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field

from strongroom.errors import Code, InputError, IntegrityError
from strongroom.sealed.chunked import SEGMENT_OVERHEAD
from strongroom.sealed.fields import LOCAL
from strongroom.sealed.header import PREAMBLE_SIZE, Head, parse_head, read_preamble
from strongroom.sealed.keys import ModelKey
from strongroom.sealed.payload import FileChecker
from strongroom.sealed.pool import Buffers, in_order, thread_count
from strongroom.sealed.readable import Readable, read_exactly, read_into, read_up_to
from strongroom.sealed.reader import Expected, Unlocked, check_signatures, check_suite, unlock
from strongroom.sealed.segments import PIECE_BUFFER, STORED_PIECE
from strongroom.sealed.toc import TableOfContents
from strongroom.sealed.wiping import wipe
from strongroom.signing import Role

Allocate = Callable[[int], memoryview]
OpenInto = Callable[[int, memoryview], None]  # opens segment `index` into memory of its length


@dataclass(frozen=True, slots=True)
class Opened:
    """A model in memory, checked whole. Wiping `payload` is the caller's."""

    head: Head
    toc: TableOfContents
    payload: memoryview = field(repr=False)

    def file(self, path: str) -> memoryview:
        """Return one file's bytes, a view of `payload`.

        Raises:
            InputError: PATH.
        """
        start, end = self.toc.range_of(path)
        return self.payload[start:end]


def ordinary_memory(size: int) -> memoryview:
    """Allocate memory of the process, writable and filled with zeros."""
    return memoryview(bytearray(size))


def read_head(readable: Readable) -> Head:
    """Read and parse the head part: steps 1 and 2. Says nothing about who made the file.

    Raises:
        IntegrityError: FILE_FORMAT, FILE_UNSUPPORTED, FILE_LIMIT, FILE_TRUNCATED, FILE_TRAILING, JSON_NOT_CANONICAL.
        StoreError: STORE_IO.
    """
    preamble = read_preamble(read_up_to(readable, 0, PREAMBLE_SIZE))
    return parse_head(read_exactly(readable, 0, preamble.head_part_size), file_size=readable.size)


def open_sealed(
    readable: Readable,
    mek: ModelKey,
    expected: Expected,
    *,
    allocate: Allocate = ordinary_memory,
    workers: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> Opened:
    """Open a model, overlay or delta whole: steps 1 to 9. On any failure the memory allocated is zeros.

    Args:
        readable: the sealed file.
        mek: its key.
        expected: what the caller knows about the file.
        allocate: gives writable memory of exactly that many bytes; called once, with sizes already checked, and not
            at all for a model without a byte.
        workers: threads; None for what suits the machine.
        progress: called in this thread with the bytes of plaintext opened so far.

    Raises:
        IntegrityError: any FILE_ code, and JSON_NOT_CANONICAL.
        InputError: ARGUMENT.
        StoreError: STORE_IO.
    """
    head = read_head(readable)
    unlocked = unlock(head, mek, expected)
    try:
        toc = unlocked.read_toc(read_exactly(readable, head.offset(0), head.stored_length(0)))
        size = head.stored_length(1) if head.segment_count > 1 else 1
        threads = min(thread_count(workers, size), head.segment_count)
        into = segment_opener(readable, unlocked, Buffers(size, threads))
        payload = open_payload(
            head, into, allocate=allocate, threads=threads, checker=FileChecker(toc), progress=progress
        )
    finally:
        unlocked.close()
    return Opened(head, toc, payload)


def segment_opener(readable: Readable, unlocked: Unlocked, buffers: Buffers) -> OpenInto:
    """Return what reads a segment whole and opens it; each buffer has room for the largest."""
    head = unlocked.head

    def into(index: int, view: memoryview) -> None:
        with buffers.lent() as buffer:
            stored = buffer[: head.stored_length(index)]
            read_into(readable, head.offset(index), stored)
            unlocked.open_segment(index, stored, view)

    return into


def open_payload(
    head: Head,
    open_into: OpenInto,
    *,
    allocate: Allocate,
    threads: int,
    checker: FileChecker | None,
    progress: Callable[[int], None] | None,
) -> memoryview:
    """Open segments 1 and up into one buffer; on any failure, also one of the caller's, the buffer is zeros.

    Raises:
        IntegrityError: whatever `open_into` and the checker raise.
        InputError: ARGUMENT: `allocate` gave other memory than it was asked for.
    """
    length, step = head.core.payload_length, head.core.segment_size
    payload = allocate(length) if length else memoryview(bytearray())
    if payload.readonly or payload.nbytes != length or not payload.c_contiguous:
        raise InputError(Code.ARGUMENT, f"`allocate` must give {length} writable bytes")
    payload = payload.cast("B")

    def opened(index: int) -> memoryview:
        view = payload[(index - 1) * step : index * step]
        open_into(index, view)
        return view

    whole = False
    try:
        done = 0
        with closing(in_order(opened, range(1, head.segment_count), threads)) as views:
            for view in views:
                if checker is not None:
                    checker.update(view)
                done += len(view)
                if progress is not None:
                    progress(done)
        if checker is not None:
            checker.finish()
        whole = True
    finally:
        if not whole:
            wipe(payload)
    return payload


def verify_sealed(
    readable: Readable,
    owners: Role,
    progress: Callable[[int], None] | None = None,
    *,
    suites: tuple[int, ...] | None = None,
) -> Head:
    """Check a model, overlay or delta without its key: lengths, form, suite, owners' signatures, segments' digests.

    The head returned says which of the three it is, and that is all a reader without the key knows of it.

    Raises:
        IntegrityError: as `read_head`, and FILE_KIND (a local file has no digests), FILE_MISMATCH (a suite that is not
            one of `suites`), FILE_SIGNATURE, FILE_DIGEST.
        StoreError: STORE_IO.
    """
    head = read_head(readable)
    if head.core.kind == LOCAL:
        raise IntegrityError(Code.FILE_KIND, "a local file can be checked with its device's key only")
    check_suite(head, suites)
    check_signatures(head, owners)
    threads = min(thread_count(None, PIECE_BUFFER), head.segment_count)
    buffers = Buffers(PIECE_BUFFER, threads)

    def digest_of(index: int) -> bytes:
        with buffers.lent() as buffer:
            return stored_digest(readable, head, index, buffer)

    done = len(head.head_part)
    with closing(in_order(digest_of, range(head.segment_count), threads)) as digests:
        for index, digest in enumerate(digests):
            if digest != head.digests[index]:
                raise IntegrityError(Code.FILE_DIGEST, f"segment {index} is not the one the manifest names")
            done += head.stored_length(index)
            if progress is not None:
                progress(done)
    return head


def stored_digest(readable: Readable, head: Head, index: int, buffer: memoryview) -> bytes:
    """Return the SHA-256 of a segment as it is stored.

    Raises:
        IntegrityError: FILE_TRUNCATED.
        StoreError: STORE_IO.
    """
    digest = hashlib.sha256()
    for piece in stored_pieces(readable, head, index, buffer):
        digest.update(piece)
    return digest.digest()


def stored_pieces(readable: Readable, head: Head, index: int, buffer: memoryview) -> Iterator[memoryview]:
    """Read a stored segment piece by piece into one buffer, cut so that the cipher never has to keep a remainder.

    Raises:
        IntegrityError: FILE_TRUNCATED.
        StoreError: STORE_IO.
    """
    offset, end = head.offset(index), head.offset(index) + head.stored_length(index)
    length = SEGMENT_OVERHEAD + STORED_PIECE
    while offset < end:
        piece = buffer[: min(length, end - offset)]
        read_into(readable, offset, piece)
        yield piece
        offset += len(piece)
        length = STORED_PIECE
