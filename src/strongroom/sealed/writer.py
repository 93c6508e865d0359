"""Sealing: sources in, one sealed file out (docs/spec/sealed-file.md section 11).

The core header binds the table of contents, and the table of contents holds every file's SHA-256, so sources are read
twice: to hash them, then to seal them, and the second time must give the same bytes (`plain.py`). Each thread reads,
encrypts, hashes and writes a segment piece by piece. The head part is written last: a file whose sealing was
interrupted has no head and opens nowhere.
"""

import hashlib
import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from typing import BinaryIO

from strongroom.errors import Code, InputError
from strongroom.sealed import fields
from strongroom.sealed.fields import CoreHeader, FileLink
from strongroom.sealed.header import Head, build_head, planned
from strongroom.sealed.keys import FileKeys, ModelKey, Subject, blind_content, blind_subject, derive
from strongroom.sealed.layout import Binding, Layout
from strongroom.sealed.plain import PlainPayload
from strongroom.sealed.pool import Buffers, in_order, thread_count
from strongroom.sealed.segments import PIECE, PIECE_BUFFER, seal_as_read, seal_pieces
from strongroom.sealed.sink import Sink
from strongroom.sealed.sources import Source
from strongroom.sealed.suites import SUITES
from strongroom.sealed.toc import Description, FileEntry, check_paths, describe
from strongroom.sealed.wiping import wipe
from strongroom.signing import Signer

DEFAULT_SEGMENT = 2**24  # bytes
_NOTHING_SAID = Description()


def seal(
    sources: Sequence[Source],
    sink: BinaryIO,
    *,
    mek: ModelKey,
    subject: Subject,
    signers: Sequence[Signer] = (),
    kind: str = fields.MODEL,
    epoch: int = 1,
    counter: int = 1,
    base: FileLink | None = None,
    description: Description = _NOTHING_SAID,
    segment_size: int = DEFAULT_SEGMENT,
    suite: int = 1,
    key_id: bytes | None = None,
    workers: int | None = None,
    progress: Callable[[int], None] | None = None,
    random: Callable[[int], bytes] = os.urandom,
) -> Head:
    """Seal files under a fresh key, streaming: nothing in the clear touches a disk, and memory stays bounded.

    On an error the sink holds a part that opens nowhere; removing it is the caller's.

    Args:
        sources: the files, at least one, in the order their bytes will have.
        sink: seekable; the sealed file begins at its current position.
        mek: a key that has sealed nothing before. Chunk nonces rest on that, with the fresh `file_id` behind it.
        subject: what the file is for.
        signers: owners; each key once.
        kind: model, overlay or delta.
        epoch: major order of a model's versions.
        counter: order of the versions in an epoch.
        base: the file an overlay or delta belongs to.
        description: what the model is.
        segment_size: bytes; a power of two from 2**20 to 2**26. Readers hold one or two segments, in the clear and as
            stored: above 2**24, readers of streams and parts need more than 64 MiB of memory.
        suite: number of the payload cipher.
        key_id: 16 opaque bytes under which the vault knows the key; random if None.
        workers: threads; None for what suits the machine.
        progress: called in this thread with the bytes of plaintext sealed so far.
        random: source of random bytes; the cipher's own salts do not come from it.

    Returns:
        The head of the file as written.

    Raises:
        InputError: ARGUMENT, PATH, FILE_LIMIT, FILE_SOURCE_CHANGED; CLOSED if the key was wiped.
        SetupError: PERMISSIONS.
        StoreError: DISK_FULL, STORE_IO.
    """
    if kind not in (fields.MODEL, fields.OVERLAY, fields.DELTA) or (base is None) != (kind == fields.MODEL):
        raise InputError(Code.ARGUMENT, f"kind {kind[:20]!a} cannot be sealed like this")
    if suite not in SUITES:
        raise InputError(Code.ARGUMENT, f"cipher suite {suite} is not known here")
    if key_id is not None and len(key_id) != 16:
        raise InputError(Code.ARGUMENT, "a key id is 16 bytes")
    _check_order_and_sizes(sources, epoch, counter, segment_size)
    check_signers(signers)
    out = Sink(sink)
    payload = PlainPayload(sources, random(32))
    digests = payload.digests(workers)
    entries = (FileEntry(one.path, one.size, digest) for one, digest in zip(sources, digests, strict=True))
    toc = describe(tuple(entries), description)
    toc_bytes = bytearray(toc.encode())
    if len(toc_bytes) > fields.toc_limit(kind, segment_size):
        raise InputError(Code.FILE_LIMIT, f"table of contents of {len(toc_bytes)} bytes", next_step="seal fewer files")
    file_id = random(32)
    keys = derive(mek, file_id, suite)
    core = CoreHeader(
        file_id=file_id,
        kind=kind,
        key_id=random(16) if key_id is None else key_id,
        subject=blind_subject(keys.blind, subject),
        content=blind_content(keys.blind, toc_bytes),
        commitment=keys.commitment,
        segment_size=segment_size,
        toc_length=len(toc_bytes),
        payload_length=toc.payload_length,
        segments=fields.segment_count(toc.payload_length, segment_size),
        epoch=epoch,
        counter=counter,
        base=base,
    )
    try:
        writer = _SegmentWriter(suite, keys, *planned(core, suite, signers), out)
        manifest = writer.write_all(toc_bytes, payload, workers, progress)
        head = build_head(core, manifest, suite, keys, signers)
        out.write(0, head.head_part)
    finally:
        wipe(toc_bytes)
        keys.wipe()
    return head


def _check_order_and_sizes(sources: Sequence[Source], epoch: int, counter: int, segment_size: int) -> None:
    if not sources:
        raise InputError(Code.ARGUMENT, "a model has at least one file")
    check_paths([one.path for one in sources])
    if not (1 <= epoch < 2**53 and 1 <= counter < 2**53):
        raise InputError(Code.ARGUMENT, "epoch and counter count from 1")
    if not fields.MIN_SEGMENT <= segment_size <= fields.MAX_SEGMENT or segment_size & (segment_size - 1):
        raise InputError(Code.ARGUMENT, "a segment size is a power of two from 2**20 to 2**26 bytes")
    if any(one.size < 0 for one in sources):
        raise InputError(Code.ARGUMENT, "a file cannot have less than no bytes")
    segments = fields.segment_count(sum(one.size for one in sources), segment_size)
    if segments > fields.MAX_SEGMENTS:
        what = f"{segments} segments; at most {fields.MAX_SEGMENTS}"
        raise InputError(Code.FILE_LIMIT, what, next_step="choose a larger segment size")


def check_signers(signers: Sequence[Signer]) -> None:
    """See that these keys sign files, each once.

    Raises:
        InputError: ARGUMENT.
    """
    if any(one.public.alg not in fields.SIGNATURE_ALGORITHMS for one in signers):
        raise InputError(Code.ARGUMENT, f"files are signed with one of {', '.join(fields.SIGNATURE_ALGORITHMS)}")
    if len({one.public.key_id for one in signers}) != len(signers):
        raise InputError(Code.ARGUMENT, "a key signs a file once")


class _SegmentWriter:
    """Seals segments on threads and puts each where it belongs."""

    def __init__(self, suite: int, keys: FileKeys, layout: Layout, binding: Binding, sink: Sink) -> None:
        self._suite, self._key, self._layout, self._binding = suite, keys.payload, layout, binding
        self._sink = sink

    def write_all(
        self, toc: bytearray, payload: PlainPayload, workers: int | None, progress: Callable[[int], None] | None
    ) -> tuple[bytes, ...]:
        """Seal all segments; return the SHA-256 of each as stored."""
        core = self._layout.core
        threads = min(thread_count(workers, 2 * PIECE_BUFFER), core.segments)
        plain, stored = Buffers(PIECE, threads), Buffers(PIECE_BUFFER, threads)

        def sealed(index: int) -> bytes:
            start = (index - 1) * core.segment_size
            end = start + self._layout.plain_length(index)
            with plain.lent() as one, stored.lent() as other, closing(payload.pieces(start, end, one)) as pieces:
                return self._written(index, seal_as_read(self._suite, self._key, self._context(index), pieces, other))

        try:
            with stored.lent() as buffer:
                first = seal_pieces(self._suite, self._key, self._context(0), memoryview(toc), buffer)
                manifest = [self._written(0, first)]
            with closing(in_order(sealed, range(1, core.segments), threads)) as digests:
                for digest in digests:
                    manifest.append(digest)
                    if progress is not None:
                        progress(min((len(manifest) - 1) * core.segment_size, core.payload_length))
            payload.finish()
        finally:
            plain.wipe()
        return tuple(manifest)

    def _context(self, index: int) -> bytes:
        return self._binding.context(index)

    def _written(self, index: int, stored: Iterable[memoryview | bytes]) -> bytes:
        """Write one segment as it is sealed; return the SHA-256 of what was written."""
        offset = self._layout.offset(index)
        digest = hashlib.sha256()
        for piece in stored:
            digest.update(piece)
            self._sink.write(offset, piece)
            offset += len(piece)
        return digest.digest()
