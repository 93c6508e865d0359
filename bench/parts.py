"""Where does the time go? The parts that opening, sealing and fetching are made of, each by itself.

All of them on one thread, over as many bytes as the other questions have.
"""

import ctypes
import hashlib
import mmap
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

from cryptography import cobblestone

from material import BLOCK, PLAIN, anonymous, plain_only, warm
from rounds import Question, Row, main
from strongroom.sealed.pages import make_present
from window import Work

CONTEXT, KEY = b"bench", bytes(32)


def _many(folder: Path, what: Callable[[], object]) -> Work:
    """Do something with a MiB as often as the model has any."""
    times = (folder / PLAIN).stat().st_size // BLOCK

    def run() -> None:
        for _ in range(times):
            what()

    return Work(run, lambda _: True)


def copying(folder: Path) -> Work:
    """Read the file piece by piece into one buffer that stays in the cache."""
    handle, buffer = os.open(folder / PLAIN, os.O_RDONLY), memoryview(bytearray(BLOCK))

    def run() -> int:
        done = 0
        while count := os.preadv(handle, [buffer], done):
            done += count
        return done

    return Work(run, lambda done: done == (folder / PLAIN).stat().st_size)


def touching(folder: Path, *, huge: bool) -> Work:
    """Write fresh memory, a fault for each page."""
    size = (folder / PLAIN).stat().st_size
    warm(size, huge=huge)

    def run() -> mmap.mmap:
        pages = anonymous(size, huge=huge)
        ctypes.memset(ctypes.addressof(ctypes.c_char.from_buffer(pages)), 1, size)
        return pages

    return Work(run, lambda pages: pages[size - 1] == 1)


def asking(folder: Path, *, huge: bool) -> Work:
    """Ask for fresh pages a MiB at a time, as opening does."""
    size = (folder / PLAIN).stat().st_size
    warm(size, huge=huge)

    def run() -> mmap.mmap:
        pages = anonymous(size, huge=huge)
        view = memoryview(pages)
        for start in range(0, size, BLOCK):
            make_present(view[start : start + BLOCK])
        return pages

    return Work(run, lambda pages: pages[size - 1] == 0)


def deciphering(folder: Path) -> Work:
    """Open sealed bytes within the cache."""
    out = bytearray(BLOCK)
    seal = cobblestone.Cobblestone256Encryptor(KEY, CONTEXT)
    stored = seal.update(os.urandom(BLOCK)) + seal.finalize()

    def once() -> None:
        cipher = cobblestone.Cobblestone256Decryptor(KEY, CONTEXT)
        cipher.update_into(stored, out)
        cipher.finalize()

    return _many(folder, once)


def enciphering(folder: Path) -> Work:
    """Seal bytes within the cache."""
    plain, out = os.urandom(BLOCK), bytearray(2 * BLOCK)

    def once() -> None:
        cipher = cobblestone.Cobblestone256Encryptor(KEY, CONTEXT)
        cipher.update_into(plain, out)
        cipher.finalize()

    return _many(folder, once)


def hashing(folder: Path) -> Work:
    """SHA-256 of bytes within the cache."""
    data, digest = os.urandom(BLOCK), hashlib.sha256()
    return _many(folder, partial(digest.update, data))


QUESTION = Question(
    name="parts",
    title="What the work is made of, on one thread",
    script="parts.py",
    made=plain_only,
    base="copy",
    rows=(
        Row("copy", "copy from the page cache into one buffer", copying),
        Row("touch", "fresh 4 KiB pages, by writing to them", partial(touching, huge=False)),
        Row("ask", "fresh 4 KiB pages, asked for a MiB at a time", partial(asking, huge=False)),
        Row("ask-huge", "fresh huge pages, asked for a MiB at a time", partial(asking, huge=True)),
        Row("open", "open the cipher's chunks, in the cache", deciphering),
        Row("seal", "seal the cipher's chunks, in the cache", enciphering),
        Row("hash", "SHA-256, in the cache", hashing),
    ),
    goals=(),
)

if __name__ == "__main__":
    main(QUESTION)
