"""Files of kind `local`: a device's own copy, under a key nobody shares (docs/spec/sealed-file.md section 12).

The table of contents keeps the origin's head part and the key that blinds its names, never its model key, so that
every open verifies again what the owners signed. Segments need no digests: only this device can make their tags.
"""

import dataclasses
import hmac
import os
from collections.abc import Callable, Iterator

from strongroom.errors import Code, InputError, IntegrityError
from strongroom.sealed import fields
from strongroom.sealed.fields import CoreHeader, FileLink
from strongroom.sealed.header import Head, build_head, parse_head
from strongroom.sealed.keys import FileKeys, ModelKey, Subject, blind_content, blind_subject, derive
from strongroom.sealed.opening import (
    Allocate,
    Opened,
    OpenInto,
    open_payload,
    ordinary_memory,
    read_head,
    stored_pieces,
)
from strongroom.sealed.pages import make_present
from strongroom.sealed.payload import FileChecker
from strongroom.sealed.pool import Buffers, thread_count
from strongroom.sealed.random_access import RandomAccess
from strongroom.sealed.readable import Readable, read_exactly
from strongroom.sealed.reader import Expected, Unlocked, check_head, unlock_any_kind
from strongroom.sealed.segments import PIECE, PIECE_BUFFER, seal_pieces, seal_segment
from strongroom.sealed.toc import OriginRecord, TableOfContents
from strongroom.sealed.wiping import wipe_bytes
from strongroom.signing import Role


class LocalWriter:
    """Seals a device's own copy segment by segment; `head_part`, `first` and the segments in order are the file.

    Before the file becomes active, step 9 must be over for the same plaintext (`FileChecker`): a local file is
    opened without it.
    """

    def __init__(self, head: Head, keys: FileKeys, first: bytes) -> None:
        """Not for callers: `start_local` is the way here."""
        self.head = head
        self.first = first
        self._keys = keys

    @property
    def head_part(self) -> bytes:
        """The bytes before segment 0."""
        return self.head.head_part

    def seal_segment(self, index: int, plain: bytes | bytearray | memoryview) -> bytes:
        """Seal segment `index`, from 1 on, of the origin's length. Any order, any thread, each once.

        Raises:
            InputError: ARGUMENT.
        """
        stored = bytearray()
        for piece in self.seal_pieces(index, plain):
            stored += piece
        return bytes(stored)

    def seal_pieces(self, index: int, plain: bytes | bytearray | memoryview) -> Iterator[memoryview | bytes]:
        """Do what `seal_segment` does, piece by piece; each piece is overwritten when the next is asked for.

        Raises:
            InputError: ARGUMENT.
        """
        if not 1 <= index < self.head.segment_count or len(plain) != self.head.plain_length(index):
            raise InputError(Code.ARGUMENT, f"no segment {index} of {len(plain)} bytes in this file")
        buffer = memoryview(bytearray(PIECE_BUFFER))
        context = self.head.binding.context(index)
        return seal_pieces(self.head.suite, self._keys.payload, context, memoryview(plain), buffer)

    def close(self) -> None:
        """Overwrite the derived keys, best effort."""
        self._keys.wipe()


def start_local(
    origin: Unlocked,
    toc: TableOfContents,
    toc_bytes: bytes | bytearray | memoryview,
    key: ModelKey,
    subject: Subject,
    *,
    random: Callable[[int], bytes] = os.urandom,
) -> LocalWriter:
    """Begin the local copy of an unlocked file.

    Args:
        origin: the file from the network, unlocked, not closed.
        toc: its table of contents, as `read_toc` returned it.
        toc_bytes: the same in bytes: `toc.encode()`.
        key: a fresh local key, which seals nothing else but beginnings of this copy that were given up.
        subject: what the file is for, as it was asked for.
        random: source of random bytes.

    Raises:
        InputError: ARGUMENT: parts that do not belong together.
    """
    source = origin.head
    if source.core.kind == fields.LOCAL or toc.encode() != bytes(toc_bytes):
        raise InputError(Code.ARGUMENT, "a local copy is made of a file from the network and its table of contents")
    same_content = hmac.compare_digest(blind_content(origin.blind, toc_bytes), source.core.content)
    if not hmac.compare_digest(blind_subject(origin.blind, subject), source.core.subject) or not same_content:
        raise InputError(Code.ARGUMENT, "table of contents or subject are not those of the origin")
    record = OriginRecord(source.head_part, bytes(bytearray(origin.blind)))  # its own copy: the origin wipes its own
    local_toc = dataclasses.replace(toc, origin=record).encode()
    file_id = random(32)
    keys = derive(key, file_id, source.suite)
    core = CoreHeader(
        file_id=file_id,
        kind=fields.LOCAL,
        key_id=random(16),
        subject=blind_subject(keys.blind, subject),
        content=blind_content(keys.blind, local_toc),
        commitment=keys.commitment,
        segment_size=source.core.segment_size,
        toc_length=len(local_toc),
        payload_length=source.core.payload_length,
        segments=source.core.segments,
        epoch=source.core.epoch,
        counter=source.core.counter,
        origin=FileLink(source.core.file_id, source.digest),
    )
    head = build_head(core, (), source.suite, keys, ())
    first = seal_segment(source.suite, keys.payload, head.binding.context(0), local_toc)
    wipe_bytes(local_toc)
    return LocalWriter(head, keys, first)


def open_local(
    readable: Readable,
    key: ModelKey,
    *,
    subject: Subject,
    owners: Role,
    origin_head: bytes,
    kind: str = fields.MODEL,
    allocate: Allocate = ordinary_memory,
    workers: int | None = None,
    checksums: bool = False,
) -> Opened:
    """Open a device's own copy whole, its origin verified again. On any failure the memory allocated is zeros.

    Args:
        readable: the local file.
        key: its local key.
        subject: what the caller wants to open.
        owners: who must have signed the origin.
        origin_head: SHA-512 of the origin's head, as the device recorded it when the file became active.
        kind: what the origin must be.
        allocate: as in `open_sealed`.
        workers: threads; None for what suits the machine.
        checksums: compare each file's SHA-256 as well, which costs more than opening does.

    Returns:
        The model; its table of contents is the origin's.

    Raises:
        IntegrityError: any FILE_ code, and JSON_NOT_CANONICAL.
        InputError: ARGUMENT.
        StoreError: STORE_IO.
    """
    unlocked, toc = _unlock_local(readable, key, subject, owners, origin_head, kind)
    head = unlocked.head
    try:
        threads = min(thread_count(workers, PIECE_BUFFER), head.segment_count)
        payload = open_payload(
            head,
            _pieces_opener(readable, unlocked, Buffers(PIECE_BUFFER, threads)),
            allocate=allocate,
            threads=threads,
            checker=FileChecker(toc) if checksums else None,
            progress=None,
        )
    finally:
        unlocked.close()
    return Opened(head, toc, payload)


def open_local_random_access(
    readable: Readable, key: ModelKey, *, subject: Subject, owners: Role, origin_head: bytes, kind: str = fields.MODEL
) -> RandomAccess:
    """Check a device's own copy as far as its table of contents, its origin included, for reading parts of it.

    Args and errors are those of `open_local`; the table of contents is the origin's. `readable` must stay open.
    """
    unlocked, toc = _unlock_local(readable, key, subject, owners, origin_head, kind)
    return RandomAccess(unlocked, toc, _pieces_opener(readable, unlocked, Buffers(PIECE_BUFFER, 1)))


def _unlock_local(
    readable: Readable, key: ModelKey, subject: Subject, owners: Role, origin_head: bytes, kind: str
) -> tuple[Unlocked, TableOfContents]:
    """Make every check before the payload; return the file unlocked and the origin's table of contents."""
    head = read_head(readable)
    unlocked = unlock_any_kind(head, key, Expected(kind=fields.LOCAL, subject=subject, owners=None))
    try:
        full = unlocked.read_toc(read_exactly(readable, head.offset(0), head.stored_length(0)))
        _check_origin(head, full, subject, owners, origin_head, kind)
    except BaseException:
        unlocked.close()
        raise
    return unlocked, full.without_origin()


def _pieces_opener(readable: Readable, unlocked: Unlocked, buffers: Buffers) -> OpenInto:
    def pieces(index: int, buffer: memoryview, view: memoryview) -> Iterator[memoryview]:
        start = 0
        for piece in stored_pieces(readable, unlocked.head, index, buffer):
            make_present(view[start : start + PIECE])
            yield piece
            start += PIECE

    def into(index: int, view: memoryview) -> None:
        with buffers.lent() as buffer:
            unlocked.open_local_pieces(index, pieces(index, buffer, view), view)

    return into


def _check_origin(
    head: Head, toc: TableOfContents, subject: Subject, owners: Role, origin_head: bytes, kind: str
) -> None:
    """Verify the origin as if it had just arrived, as far as that goes without its model key."""
    if toc.origin is None or head.core.origin is None:
        raise IntegrityError(Code.FILE_CONTENT, "a local file without its origin")
    origin = parse_head(toc.origin.head_part, file_size=None)
    core, own = origin.core, head.core
    if core.kind == fields.LOCAL or core.kind != kind:
        raise IntegrityError(Code.FILE_KIND, f"a local file made from one of kind {core.kind}, not {kind}")
    link = head.core.origin
    check_head(origin, Expected(core.kind, None, None, file_id=link.file_id, head=link.head))
    check_head(origin, Expected(core.kind, None, owners, head=origin_head))
    same = ("segment_size", "payload_length", "segments", "epoch", "counter")
    if any(getattr(core, name) != getattr(own, name) for name in same):
        raise IntegrityError(Code.FILE_MISMATCH, "the local file does not have its origin's lengths and order")
    if not hmac.compare_digest(blind_subject(toc.origin.blind, subject), core.subject):
        raise IntegrityError(Code.FILE_SUBJECT, "the origin was sealed for another account, model, version or user")
    if not hmac.compare_digest(blind_content(toc.origin.blind, toc.without_origin().encode()), core.content):
        raise IntegrityError(Code.FILE_CONTENT, "the local file does not hold its origin's files")
