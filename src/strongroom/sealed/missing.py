"""Which segments a partial download still lacks (docs/spec/sealed-file.md section 5)."""

from collections.abc import Callable
from contextlib import closing

from strongroom.errors import Code, IntegrityError
from strongroom.sealed.fields import LOCAL
from strongroom.sealed.header import Head
from strongroom.sealed.opening import stored_digest
from strongroom.sealed.pool import Buffers, in_order, thread_count
from strongroom.sealed.readable import Readable
from strongroom.sealed.segments import PIECE_BUFFER


def missing_segments(readable: Readable, head: Head, progress: Callable[[int], None] | None = None) -> tuple[int, ...]:
    """Return the indexes of the segments that are not there as the manifest names them, in order.

    It says what to fetch and proves nothing: whoever opens the file afterwards checks all of it again. No key is
    needed, and nothing is written.

    Args:
        readable: what has come so far, each byte where it belongs; it may end early, go on too long or have holes.
        head: the head of the whole file, from elsewhere or from the download's own beginning.
        progress: called in this thread with the bytes of the file looked at so far.

    Raises:
        IntegrityError: FILE_KIND: a local file has no digests.
        StoreError: STORE_IO.
    """
    if head.core.kind == LOCAL:
        raise IntegrityError(Code.FILE_KIND, "a local file is not downloaded; nothing names its segments")
    threads = min(thread_count(None, PIECE_BUFFER), head.segment_count)
    buffers = Buffers(PIECE_BUFFER, threads)

    def is_missing(index: int) -> bool:
        with buffers.lent() as buffer:
            try:
                return stored_digest(readable, head, index, buffer) != head.digests[index]
            except IntegrityError:  # it ends before or inside the segment
                return True

    missing: list[int] = []
    with closing(in_order(is_missing, range(head.segment_count), threads)) as answers:
        for index, answer in enumerate(answers):
            if answer:
                missing.append(index)
            if progress is not None:
                progress(head.offset(index) + head.stored_length(index))
    return tuple(missing)
