"""One segment: a complete C2SP chunked-encryption message (docs/spec/sealed-file.md section 8).

Both directions work in pieces of about 1 MiB, so that a segment never has to exist twice in memory, and both leave
the interpreter's lock while they work, so that threads can run several segments at once.
"""

from collections.abc import Iterable, Iterator

from cryptography.exceptions import InvalidTag

from strongroom.errors import Code, IntegrityError
from strongroom.sealed.chunked import CHUNK, SEGMENT_OVERHEAD, TAG
from strongroom.sealed.suites import SUITES, stored_size
from strongroom.sealed.wiping import wipe, wipe_bytes

PIECE = 64 * CHUNK  # bytes of plaintext handed to the cipher at once
STORED_PIECE = 64 * (CHUNK + TAG)
PIECE_BUFFER = SEGMENT_OVERHEAD + STORED_PIECE


def seal_pieces(
    suite: int, key: bytes, context: bytes, plain: memoryview, buffer: memoryview
) -> Iterator[memoryview | bytes]:
    """Seal a segment that is in memory piece by piece; `plain` is the whole segment, the rest as in `seal_as_read`."""
    return seal_as_read(
        suite, key, context, (plain[start : start + PIECE] for start in range(0, len(plain), PIECE)), buffer
    )


def seal_as_read(
    suite: int, key: bytes, context: bytes, pieces: Iterable[memoryview], buffer: memoryview
) -> Iterator[memoryview | bytes]:
    """Seal a segment as its plaintext is read, without holding it whole.

    Args:
        suite: number of the payload cipher.
        key: payload key of the file.
        context: what binds the segment to its place.
        pieces: the segment in pieces of `PIECE` bytes, of which the last may be shorter.
        buffer: at least `PIECE_BUFFER` bytes; each piece lies in it until the next is asked for.

    Yields:
        The stored bytes, in order.
    """
    cipher = SUITES[suite].encryptor(key, context)
    for piece in pieces:
        written = cipher.update_into(piece, buffer)
        yield buffer[:written]
    yield cipher.finalize()


def seal_segment(suite: int, key: bytes, context: bytes, plain: bytes | bytearray | memoryview) -> bytes:
    """Seal a segment that is wanted in memory as a whole."""
    stored = bytearray()
    buffer = memoryview(bytearray(PIECE_BUFFER))
    for piece in seal_pieces(suite, key, context, memoryview(plain), buffer):
        stored += piece
    return bytes(stored)


def open_pieces_into(
    suite: int, key: bytes, context: bytes, pieces: Iterable[bytes | bytearray | memoryview], into: memoryview
) -> None:
    """Open a segment that arrives in pieces straight into the caller's memory; on failure `into` is zeros.

    Args:
        suite: number of the payload cipher.
        key: payload key of the file.
        context: what binds the segment to its place.
        pieces: the stored bytes, in order.
        into: exactly as long as the segment's plaintext.

    Raises:
        IntegrityError: FILE_SEGMENT. Wrong key, tampering and truncation look the same to the cipher.
    """
    if not _opened(suite, key, context, pieces, into):
        raise IntegrityError(Code.FILE_SEGMENT, "a segment was altered, cut, or belongs elsewhere")


def open_segment_into(
    suite: int, key: bytes, context: bytes, stored: bytes | bytearray | memoryview, into: memoryview
) -> None:
    """Open a whole stored segment straight into the caller's memory; on failure `into` is zeros.

    Raises:
        IntegrityError: FILE_SEGMENT.
    """
    if len(stored) != stored_size(len(into)):
        wipe(into)
        raise IntegrityError(Code.FILE_SEGMENT, "a stored segment does not have the length its plaintext needs")
    open_pieces_into(suite, key, context, (stored,), into)


def _opened(
    suite: int, key: bytes, context: bytes, pieces: Iterable[bytes | bytearray | memoryview], into: memoryview
) -> bool:
    done = False
    try:
        cipher = SUITES[suite].decryptor(key, context)
        position = 0
        for piece in pieces:
            position += cipher.update_into(piece, into[position:])
        last = cipher.finalize()
        if position + len(last) == len(into):
            into[position:] = last
            done = True
        wipe_bytes(last)
    except (InvalidTag, ValueError):  # ValueError: more chunks than `into` can hold
        pass
    finally:
        # The cipher writes each chunk before it knows its tag, so a failed segment must not stay behind.
        if not done:
            wipe(into)
    return done
