"""Another owner's signature on a file that is sealed already (docs/spec/sealed-file.md section 7).

No model key is needed: signature block, its length and the file's length stand outside MAC and signatures, and nothing
else changes. The head keeps its digest, the segments their bytes; only where they lie moves.
"""

import hashlib
from collections.abc import Callable, Sequence
from typing import BinaryIO

from strongroom.errors import Code, InputError, IntegrityError
from strongroom.sealed.fields import LOCAL, Signature
from strongroom.sealed.header import Head, with_signatures
from strongroom.sealed.opening import read_head, stored_pieces
from strongroom.sealed.readable import Readable
from strongroom.sealed.segments import PIECE_BUFFER
from strongroom.sealed.sink import Sink
from strongroom.sealed.writer import check_signers
from strongroom.signing import SIGNATURE_SIZES, Signer


def add_signature(readable: Readable, *signers: Signer) -> Head:
    """Return the head of a file with signatures added; its `head_part` takes the place of the old one.

    The head part grows, so the segments have to follow it: `copy_signed` writes the whole file. They are not looked at
    here, and what the owners before have signed is not judged.

    Raises:
        IntegrityError: as `read_head`, and FILE_KIND: a local file is not signed.
        InputError: ARGUMENT: a key that has signed already, or that signs no files, or signs wrongly; FILE_LIMIT.
        StoreError: STORE_IO.
    """
    head = read_head(readable)
    _planned(head, signers)
    return _signed(head, signers)


def copy_signed(
    readable: Readable, sink: BinaryIO, *signers: Signer, progress: Callable[[int], None] | None = None
) -> Head:
    """Write a file again with signatures added. Every segment is compared with the manifest before anyone signs.

    On an error the sink holds a part that opens nowhere, since the head part is written last.

    Args:
        readable: the sealed file.
        sink: seekable; the new file begins at its current position.
        signers: owners who have not signed it.
        progress: called with the bytes copied so far.

    Raises:
        IntegrityError: as `add_signature`, and FILE_DIGEST, FILE_TRUNCATED.
        InputError: as `add_signature`.
        StoreError: DISK_FULL, STORE_IO.
    """
    head = read_head(readable)
    moved = _planned(head, signers)
    out = Sink(sink)
    buffer = memoryview(bytearray(PIECE_BUFFER))
    done = 0
    for index in range(head.segment_count):
        digest = hashlib.sha256()
        offset = moved.offset(index)
        for piece in stored_pieces(readable, head, index, buffer):
            digest.update(piece)
            out.write(offset, piece)
            offset += len(piece)
            done += len(piece)
            if progress is not None:
                progress(done)
        if digest.digest() != head.digests[index]:
            raise IntegrityError(Code.FILE_DIGEST, f"segment {index} is not the one the manifest names")
    signed = _signed(head, signers)
    out.write(0, signed.head_part)
    return signed


def _planned(head: Head, signers: Sequence[Signer]) -> Head:
    """Check everything that can be known before signing; return a head of the length the signed one will have."""
    if head.core.kind == LOCAL:
        raise IntegrityError(Code.FILE_KIND, "a local file is not signed: it carries its origin's signatures")
    if not signers:
        raise InputError(Code.ARGUMENT, "nobody to sign with")
    check_signers(signers)
    there = {one.key for one in head.signatures}
    if any(one.public.key_id in there for one in signers):
        raise InputError(Code.ARGUMENT, "this key has signed the file already")
    blank = [Signature(one.public.key_id, one.public.alg, bytes(SIGNATURE_SIZES[one.public.alg])) for one in signers]
    return with_signatures(head, (*head.signatures, *blank))


def _signed(head: Head, signers: Sequence[Signer]) -> Head:
    signatures = [Signature(one.public.key_id, one.public.alg, one.sign(head.signed_bytes)) for one in signers]
    pairs = zip(signatures, signers, strict=True)
    if not all(signer.public.verify(signature.sig, head.signed_bytes) for signature, signer in pairs):
        raise InputError(Code.ARGUMENT, "what the signer returned is not its signature")
    return with_signatures(head, (*head.signatures, *signatures))
