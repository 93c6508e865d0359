"""How much processor time does opening take, against other ways to open an encrypted file?

Each in its fastest way from Python, into fresh private memory: Tink's stream through `readinto`, age (pyrage) through
`decrypt_io`, on one thread, with both kinds of pages. Neither of the two checks who made the file; strongroom does.
"""

import mmap
from functools import partial
from pathlib import Path

from material import BLOCK, PLAIN, anonymous, equal, warm
from open_local import opening, reading
from peer_files import AGE, TINK, age_identity, tink_primitive, with_peers
from rounds import Goal, Question, Row, main
from window import Work


def opening_tink(folder: Path, *, huge: bool) -> Work:
    """Tink's streaming AEAD."""
    primitive, size = tink_primitive(folder), (folder / PLAIN).stat().st_size
    warm(size, huge=huge)

    def run() -> mmap.mmap:
        pages = anonymous(size, huge=huge)
        view, done = memoryview(pages), 0
        with (folder / TINK).open("rb") as file, primitive.new_decrypting_stream(file, b"") as stream:
            while count := stream.readinto(view[done : done + BLOCK]):
                done += count
        return pages

    return Work(run, partial(equal, folder / PLAIN))


class _Pages:
    """Fresh memory that is written like a file."""

    def __init__(self, size: int, *, huge: bool) -> None:
        self.pages: mmap.mmap = anonymous(size, huge=huge)

    def write(self, data: bytes) -> int:
        return self.pages.write(data)

    def flush(self) -> None:
        """Have nothing to do."""


def opening_age(folder: Path, *, huge: bool) -> Work:
    """Age, by its Rust library."""
    import pyrage

    identity, size = age_identity(folder), (folder / PLAIN).stat().st_size
    warm(size, huge=huge)

    def run() -> mmap.mmap:
        into = _Pages(size, huge=huge)
        with (folder / AGE).open("rb") as file:
            pyrage.decrypt_io(file, into, [identity])
        return into.pages

    return Work(run, partial(equal, folder / PLAIN))


QUESTION = Question(
    name="peers",
    title="Processor time of opening, against Tink and age",
    script="peers.py",
    made=with_peers,
    base="read",
    rows=(
        Row("read", "read() into 4 KiB pages", partial(reading, huge=False)),
        Row("open", "strongroom, 4 KiB pages", partial(opening, workers=1, huge=False)),
        Row("tink", "Tink AES256_GCM_HKDF_1MB, 4 KiB pages", partial(opening_tink, huge=False), "tink"),
        Row("age", "age (pyrage), 4 KiB pages", partial(opening_age, huge=False), "pyrage"),
        Row("open-huge", "strongroom, huge pages", partial(opening, workers=1, huge=True)),
        Row("tink-huge", "Tink AES256_GCM_HKDF_1MB, huge pages", partial(opening_tink, huge=True), "tink"),
        Row("age-huge", "age (pyrage), huge pages", partial(opening_age, huge=True), "pyrage"),
    ),
    goals=(
        Goal("both with 4 KiB pages: CPU / Tink's", "open", "cpu", 0.5, "tink"),
        Goal("both with 4 KiB pages: CPU / age's", "open", "cpu", 0.5, "age"),
        Goal("both with huge pages: CPU / Tink's", "open-huge", "cpu", 0.5, "tink-huge"),
        Goal("both with huge pages: CPU / age's", "open-huge", "cpu", 0.5, "age-huge"),
        Goal("huge pages against 4 KiB pages: CPU / Tink's", "open-huge", "cpu", 0.5, "tink"),
        Goal("huge pages against 4 KiB pages: CPU / age's", "open-huge", "cpu", 0.5, "age"),
    ),
)

if __name__ == "__main__":
    main(QUESTION)
