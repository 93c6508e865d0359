"""A whole payload in order and in bounded memory, to be written somewhere (docs/spec/sealed-file.md section 10).

Every segment is given out after step 7, and after step 9 for each file that ends in it: nobody gets a whole file that
is wrong, and who has got all segments has a whole model. Until then nothing may be called one, and on an error what was
written has to be taken back, or be said to be worth nothing. While a segment is in the caller's hands, another thread
reads and opens the next one.
"""

from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager

from strongroom.sealed.header import Head
from strongroom.sealed.keys import ModelKey
from strongroom.sealed.opening import read_head, segment_opener
from strongroom.sealed.payload import FileChecker
from strongroom.sealed.pool import BUDGET, Buffers
from strongroom.sealed.readable import Readable, read_exactly
from strongroom.sealed.reader import Expected, Unlocked, unlock
from strongroom.sealed.toc import TableOfContents


class PayloadStream:
    """The payload of a file whose head and table of contents were checked, to be read once.

    Attributes:
        head: what the file says of itself.
        toc: its files, in the order of their bytes.
    """

    def __init__(self, readable: Readable, unlocked: Unlocked, toc: TableOfContents) -> None:
        """Not for callers: `open_stream` is the way here."""
        self.head: Head = unlocked.head
        self.toc = toc
        self._readable, self._unlocked = readable, unlocked

    def segments(self) -> Generator[memoryview]:
        """Give out the payload segment by segment; each view holds until the next is asked for.

        Close it (`contextlib.closing`) where it may not be read to its end. It can be read once.

        Raises:
            IntegrityError: FILE_TRUNCATED, FILE_DIGEST, FILE_SEGMENT, FILE_CHECKSUM, FILE_REFUSED.
            StoreError: STORE_IO.
        """
        checker = FileChecker(self.toc)
        last = self.head.segment_count - 1
        try:
            self._unlocked.require_usable()
            with closing(self._opened(last)) as opened:
                for index, view in enumerate(opened, start=1):
                    checker.update(view)
                    if index == last:
                        checker.finish()
                    yield view
            if not last:
                checker.finish()
        finally:
            self._unlocked.close()

    def _opened(self, last: int) -> Generator[memoryview]:
        """Make step 7 for each segment in order, one ahead of the caller where the budget has room for it."""
        if not last:
            return
        head = self.head
        size = head.plain_length(1)
        ahead = last > 1 and 2 * size + head.stored_length(1) <= BUDGET
        open_into = segment_opener(self._readable, self._unlocked, Buffers(head.stored_length(1), 1))
        buffers = Buffers(size, 1 + ahead)

        def opened(index: int, buffer: bytearray) -> bytearray:
            open_into(index, memoryview(buffer)[: head.plain_length(index)])
            return buffer

        try:
            with ThreadPoolExecutor(1, "strongroom-segment") as executor:
                ready = opened(1, buffers.take())
                for index in range(1, last):
                    coming = executor.submit(opened, index + 1, buffers.take()) if ahead else None
                    yield memoryview(ready)[:size]
                    buffers.give(ready)
                    ready = opened(index + 1, buffers.take()) if coming is None else coming.result()
                yield memoryview(ready)[: head.plain_length(last)]
        finally:
            buffers.wipe()


@contextmanager
def open_stream(readable: Readable, mek: ModelKey, expected: Expected) -> Iterator[PayloadStream]:
    """Check a model, overlay or delta as far as its table of contents (steps 1 to 8), for reading all of it in order.

    Args:
        readable: the sealed file; it must stay open for the length of the block.
        mek: its key, not needed afterwards.
        expected: what the caller knows about the file.

    Raises:
        IntegrityError: any FILE_ code, and JSON_NOT_CANONICAL.
        StoreError: STORE_IO.
    """
    unlocked = unlock(read_head(readable), mek, expected)
    try:
        head = unlocked.head
        toc = unlocked.read_toc(read_exactly(readable, head.offset(0), head.stored_length(0)))
        yield PayloadStream(readable, unlocked, toc)
    finally:
        unlocked.close()
