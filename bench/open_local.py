"""How long does a device take to open its own copy, against read() of the same plaintext?

Both end in fresh private memory, and both files lie in memory already, so that no disk is measured. `open` is
`sealed.open_local` into `edge.memory.PrivateBuffer`, with every check that it makes: owners' signatures, commitments,
every tag. Huge pages are what `Room.load(..., huge_pages=True)` asks for.
"""

import mmap
import os
from functools import partial
from pathlib import Path

from material import LOCAL, LOCAL_KEY, ORIGIN, OWNERS, PLAIN, SUBJECT, anonymous, equal, sealed_and_local, warm
from rounds import Goal, Question, Row, main
from strongroom import sealed
from strongroom.edge.memory import PrivateBuffer
from window import Work


def reading(folder: Path, *, huge: bool) -> Work:
    """read() of the plaintext."""
    path = folder / PLAIN
    warm(path.stat().st_size, huge=huge)

    def run() -> mmap.mmap:
        handle = os.open(path, os.O_RDONLY)
        size = os.fstat(handle).st_size
        pages = anonymous(size, huge=huge)
        view, done = memoryview(pages), 0
        while done < size:
            done += os.preadv(handle, [view[done:]], done)
        os.close(handle)
        return pages

    return Work(run, partial(equal, path))


def opening(folder: Path, *, workers: int, huge: bool) -> Work:
    """The device's way to open its own copy."""
    key, origin = sealed.ModelKey(LOCAL_KEY), (folder / ORIGIN).read_bytes()
    kept: list[PrivateBuffer] = []

    def allocate(size: int) -> memoryview:
        kept.append(PrivateBuffer(size, huge=huge))
        return kept[0].view

    warm((folder / PLAIN).stat().st_size, huge=huge)

    def run() -> sealed.Opened:
        with sealed.FileReadable.open(folder / LOCAL) as readable:
            return sealed.open_local(
                readable,
                key,
                subject=SUBJECT,
                owners=OWNERS,
                origin_head=origin,
                allocate=allocate,
                workers=workers,
            )

    return Work(run, lambda opened: equal(folder / PLAIN, opened.payload))


QUESTION = Question(
    name="open",
    title="Opening a device's own copy, against read() of the plaintext",
    script="open_local.py",
    made=sealed_and_local,
    base="read",
    rows=(
        Row("read", "read() into 4 KiB pages", partial(reading, huge=False)),
        Row("read-huge", "read() into huge pages", partial(reading, huge=True)),
        Row("open-1", "open, 1 thread, 4 KiB pages", partial(opening, workers=1, huge=False)),
        Row("open-2", "open, 2 threads, 4 KiB pages", partial(opening, workers=2, huge=False)),
        Row("open-1-huge", "open, 1 thread, huge pages", partial(opening, workers=1, huge=True)),
        Row("open-2-huge", "open, 2 threads, huge pages", partial(opening, workers=2, huge=True)),
    ),
    goals=(
        Goal("2 threads, huge pages: time / read()", "open-2-huge", "wall", 1.0, "read"),
        Goal("2 threads, 4 KiB pages: time / read()", "open-2", "wall", 1.3, "read"),
        Goal("1 thread, 4 KiB pages: time / read()", "open-1", "wall", 1.6, "read"),
        Goal("peak memory / size, 2 threads, huge pages", "open-2-huge", "peak", 1.05),
        Goal("peak memory / size, 2 threads, 4 KiB pages", "open-2", "peak", 1.05),
    ),
)

if __name__ == "__main__":
    main(QUESTION)
