"""What is measured on: a model of random bytes, sealed for the network and for one device, and its peers' files.

The keys are made up and stand here in the clear: they protect nothing but these bytes.
"""

import mmap
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from strongroom import sealed
from strongroom.sealed.pages import make_present
from strongroom.signing import ED25519, Principal, Role, SigningKey

PLAIN, SEALED, LOCAL, ORIGIN = "plain", "sealed.srm", "local.srm", "origin-head"
BLOCK = 2**20
SUBJECT = sealed.Subject(None, "bench", "1.0", None)
MODEL_KEY, LOCAL_KEY = bytes(range(32)), bytes(range(1, 33))
OWNER = SigningKey(ED25519, bytes(32))
OWNERS = Role(1, (Principal((OWNER.public,)),))


@contextmanager
def plain_only(folder: Path, size: int) -> Iterator[None]:
    """Make the model."""
    with (folder / PLAIN).open("wb") as file:
        for _ in range(size // BLOCK):
            file.write(os.urandom(BLOCK))
    yield


@contextmanager
def sealed_and_local(folder: Path, size: int) -> Iterator[None]:
    """Make the model, the file that its publisher sends, and the copy that a device keeps of it."""
    with plain_only(folder, size):
        with (folder / SEALED).open("w+b") as sink:
            key = sealed.ModelKey(MODEL_KEY)
            sealed.seal(sealed.sources_of(folder / PLAIN), sink, mek=key, subject=SUBJECT, signers=[OWNER])
        keep_local(folder)
        yield


def anonymous(size: int, *, huge: bool) -> mmap.mmap:
    """Map fresh private memory, as strongroom's own buffer is."""
    pages = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    pages.madvise(mmap.MADV_HUGEPAGE if huge else mmap.MADV_NOHUGEPAGE)
    return pages


def warm(size: int, *, huge: bool) -> None:
    """Fill and give back as much memory as is measured, so that the machine under this one has it at hand.

    A host takes free memory back, and whole huge pages first; what it takes to get them again is not our question.
    """
    pages = anonymous(size, huge=huge)
    make_present(memoryview(pages))
    pages.close()


def equal(path: Path, content: memoryview | mmap.mmap) -> bool:
    """Compare memory with a file, byte for byte."""
    with path.open("rb", buffering=0) as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as wanted:
        return len(content) == len(wanted) and memoryview(content) == memoryview(wanted)


def keep_local(folder: Path) -> None:
    """Make the device's copy of the sealed file."""
    with sealed.FileReadable.open(folder / SEALED) as readable, (folder / LOCAL).open("wb") as sink:
        head = sealed.read_head(readable)
        expected = sealed.Expected(sealed.MODEL, SUBJECT, OWNERS)
        origin = sealed.unlock(head, sealed.ModelKey(MODEL_KEY), expected)

        def stored(index: int) -> bytes:
            return readable.pread(head.offset(index), head.stored_length(index))

        toc = origin.read_toc(stored(0))
        writer = sealed.start_local(origin, toc, toc.encode(), sealed.ModelKey(LOCAL_KEY), SUBJECT)
        sink.write(writer.head_part)
        sink.write(writer.first)
        for index in range(1, head.segment_count):
            plain = memoryview(bytearray(head.plain_length(index)))
            origin.open_segment(index, stored(index), plain)
            sink.write(writer.seal_segment(index, plain))
        (folder / ORIGIN).write_bytes(head.digest)
