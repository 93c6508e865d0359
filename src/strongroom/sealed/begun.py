"""Going on with a local file that was begun (docs/spec/sealed-file.md section 12, protocol.md section 13).

Nothing of what lies there is believed: the head by its MAC, the origin by comparing it with the file that is being
fetched, each segment by its tags. Whoever goes on opens the segments in order, as far as they are whole, and seals the
others anew.
"""

import hmac
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Self

from strongroom.errors import Code, IntegrityError
from strongroom.sealed.fields import LOCAL, FileLink
from strongroom.sealed.header import PREAMBLE_SIZE, parse_head, read_preamble
from strongroom.sealed.keys import FileKeys, ModelKey, Subject, blind_content, derive
from strongroom.sealed.local import LocalWriter
from strongroom.sealed.opening import stored_pieces
from strongroom.sealed.readable import Readable, read_exactly
from strongroom.sealed.reader import Expected, Unlocked, unlock_any_kind
from strongroom.sealed.segments import PIECE_BUFFER
from strongroom.sealed.toc import TableOfContents


class BegunLocal:
    """A local file whose head and table of contents are those of its origin. Made by `go_on_local`.

    Attributes:
        toc: the origin's table of contents.
        writer: seals the segments that are not there.
    """

    def __init__(self, readable: Readable, unlocked: Unlocked, toc: TableOfContents, keys: FileKeys) -> None:
        """Not for callers: `go_on_local` is the way here."""
        self.toc = toc
        self.writer = LocalWriter(unlocked.head, keys, b"")
        self._readable = readable
        self._unlocked = unlocked
        self._buffer = memoryview(bytearray(PIECE_BUFFER))

    def open_segment(self, index: int, into: memoryview) -> None:
        """Open segment `index`, from 1 on, as it lies there; on failure `into` is zeros, and no other opens any more.

        Args:
            index: which segment.
            into: writable, exactly as long as the segment's plaintext.

        Raises:
            IntegrityError: FILE_SEGMENT, FILE_TRUNCATED, FILE_REFUSED.
            InputError: ARGUMENT: no such segment, or `into` has another length.
            StoreError: STORE_IO.
        """
        pieces = stored_pieces(self._readable, self._unlocked.head, index, self._buffer)
        self._unlocked.open_local_pieces(index, pieces, into)

    def close(self) -> None:
        """Overwrite the derived keys, best effort."""
        self._unlocked.close()
        self.writer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def go_on_local(readable: Readable, origin: Unlocked, key: ModelKey, subject: Subject) -> BegunLocal:
    """Check the beginning of a local file that may end anywhere, and return what goes on with it.

    Args:
        readable: the local file as far as it is there.
        origin: the file from the network, unlocked, not closed.
        key: the local key it was begun with.
        subject: what the file is for, as it was asked for.

    Raises:
        IntegrityError: any FILE_ code, and JSON_NOT_CANONICAL: it cannot be gone on with.
        StoreError: STORE_IO.
    """
    source = origin.head
    preamble = read_preamble(read_exactly(readable, 0, PREAMBLE_SIZE))
    head = parse_head(read_exactly(readable, 0, preamble.head_part_size), file_size=None)
    expected = Expected(
        kind=LOCAL,
        subject=subject,
        owners=None,
        suite=source.suite,
        epoch=source.core.epoch,
        counter=source.core.counter,
    )
    unlocked = unlock_any_kind(head, key, expected)
    with _closed_on_error(unlocked):
        full = unlocked.read_toc(read_exactly(readable, head.offset(0), head.stored_length(0)))
        toc = full.without_origin()
        same = ("segment_size", "payload_length", "segments")
        fits = (
            head.core.origin == FileLink(source.core.file_id, source.digest)
            and full.origin is not None
            and full.origin.head_part == source.head_part  # signatures included: they were judged when it was fetched
            and hmac.compare_digest(full.origin.blind, origin.blind)
            and hmac.compare_digest(blind_content(origin.blind, toc.encode()), source.core.content)
            and all(getattr(head.core, name) == getattr(source.core, name) for name in same)
        )
        if not fits:
            raise IntegrityError(Code.FILE_MISMATCH, "a local file that was begun from another origin")
        return BegunLocal(readable, unlocked, toc, derive(key, head.core.file_id, head.suite))


@contextmanager
def _closed_on_error(unlocked: Unlocked) -> Iterator[None]:
    try:
        yield
    except BaseException:
        unlocked.close()
        raise
