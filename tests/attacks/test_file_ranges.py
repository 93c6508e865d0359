"""Attempts through parts of a file, and through sources that read badly (R28, R56; section 10, random access)."""

import os
import queue
import threading
from collections.abc import Callable, Iterator

import pytest

from strongroom import sealed
from strongroom.errors import Code, InputError, IntegrityError, StoreError
from vectors.sealed_writer import CHUNK, MIB, fixed, flipped
from vectors.targets import EXPECTED, FORMS, OWNERS, Target, network_file, refused

SIZE = 2 * MIB + 40_000  # three segments of payload
PLAIN = fixed("target", SIZE)


@pytest.fixture(scope="module", params=FORMS, ids=str)
def target(request):
    return Target.of(*request.param, SIZE)


def test_every_edge_forwards_and_from_the_end(target):
    """A25: ranges that begin within two bytes of each edge of chunk and segment: 301, each a slice of the plaintext.

    By position, by a file object from its start, and by one from its end.
    """
    edges = [0, CHUNK, MIB - CHUNK, MIB, MIB + CHUNK, 2 * MIB, 2 * MIB + CHUNK, 2 * MIB + 2 * CHUNK, SIZE]
    counted = 0
    with target.parts(target.made.data) as access:
        file = access.open_payload()
        for begin in (edge + by for edge in edges for by in (-2, -1, 0, 1, 2) if 0 <= edge + by <= SIZE + 2):
            for length in (0, 1, 2, 3, CHUNK - 1, CHUNK, CHUNK + 1):
                wanted = PLAIN[begin : begin + length]
                assert access.read_at(begin, length) == wanted
                file.seek(begin)
                assert file.read(length) == wanted
                if begin <= SIZE:
                    file.seek(begin - SIZE, os.SEEK_END)
                    assert file.read(length) == wanted
                counted += 1
        assert counted == 43 * 7
        assert access.read_at(SIZE, 10) == access.read_at(2**62, 10) == access.read_at(SIZE - 1, 0) == b""
        assert access.read_at(SIZE - 1, 2**62) == PLAIN[-1:]


def test_the_end_is_authenticated_before_anything_is_read_from_it(target):
    """A25: with the last chunk altered nothing comes from the last segment, wherever in it the read begins.

    What came from the segments before it is right, and after the refusal nothing comes at all.
    """
    bent = flipped(target.made.data, -1)
    for back in (1, 2, CHUNK, 40_000):
        with target.parts(bent) as access:
            assert access.read_at(0, 100) == PLAIN[:100]
            file = access.open_payload()
            file.seek(-back, os.SEEK_END)
            into = bytearray(b"\xff" * 1)
            assert refused(lambda file=file, into=into: file.readinto(into)) == target.broken
            assert into == b"\0"
            assert refused(lambda access=access: access.read_at(0, 100)) == "file-refused"


@pytest.mark.parametrize("cut", [1, 17, CHUNK + 16, 40_000])
def test_a_position_from_the_end_of_another_length(target, cut):
    """A25: the length is under the MAC: a file cut or grown behind the reader's back moves no position."""
    data = target.made.data

    class Claiming(sealed.BytesReadable):
        size = len(data)

    with pytest.raises(IntegrityError), target.parts(data[:-cut]):
        pass
    with target.parts(Claiming(data[:-cut])) as access:
        assert access.size == SIZE
        file = access.open_payload()
        file.seek(-1, os.SEEK_END)
        assert refused(lambda: file.read(1)) == "file-truncated"
    with target.parts(Claiming(data + bytes(cut))) as access:
        file = access.open_payload()
        assert file.seek(-cut, os.SEEK_END) == SIZE - cut
        assert file.read(cut + 10) == PLAIN[-cut:]


class Source:
    """A source that gives what `give` makes of each read: offset and length in, bytes out."""

    def __init__(self, data: bytes, give: Callable[[int, int], bytes]) -> None:
        self.size = len(data)
        self.give = give

    def pread(self, offset: int, length: int) -> bytes:
        return self.give(offset, length)


class SourceInto(Source):
    """The same with the optional ability."""

    def pread_into(self, offset: int, into: memoryview) -> int:
        data = self.give(offset, len(into))
        into[: len(data)] = data
        return len(data)


def short(data: bytes, most: Callable[[], int]) -> Callable[[int, int], bytes]:
    return lambda offset, length: data[offset : offset + min(length, most())]


@pytest.mark.parametrize("kind", [Source, SourceInto])
@pytest.mark.parametrize(("form", "suite"), FORMS)
def test_a_byte_at_a_time(form, suite, kind):
    """A26: 1, 2, 3 and 7 bytes a read: the same model, the same verdict on a bit, the same parts."""
    small = Target.of(form, suite, CHUNK + 100)
    data = small.made.data
    for most in (1, 2, 3, 7):
        assert small.open(kind(data, short(data, lambda most=most: most))) == small.plain
        bent = flipped(data, -1)
        assert small.code(kind(bent, short(bent, lambda most=most: most))) == small.broken
    with small.parts(kind(data, short(data, lambda: 1))) as access:
        assert access.read_at(CHUNK - 1, 3) == small.plain[CHUNK - 1 : CHUNK + 2]
    if form == "network":
        assert sealed.verify_sealed(kind(data, short(data, lambda: 1)), OWNERS).file_size == len(data)


@pytest.mark.parametrize("kind", [Source, SourceInto])
@pytest.mark.parametrize("workers", [1, 3])
def test_reads_of_any_length(target, kind, workers):
    """A26: as a busy network gives them, 200 to 70,000 bytes, on one thread and on several."""
    drawn = fixed("lengths", 100_000)
    places: Iterator[int] = iter(range(0, len(drawn), 2))
    lock = threading.Lock()

    def most() -> int:
        with lock:
            at = next(places)
        return 200 + int.from_bytes(drawn[at : at + 2], "big")

    assert target.open(kind(target.made.data, short(target.made.data, most)), workers=workers) == PLAIN


@pytest.mark.parametrize("workers", [1, 3])
def test_a_source_that_makes_its_readers_wait(target, workers):
    """A26: every read waits for another thread, which answers the newest first."""
    waiting: queue.LifoQueue = queue.LifoQueue()

    def serve() -> None:
        while True:
            offset, length, answer = waiting.get()
            if length < 0:
                return
            answer.put(target.made.data[offset : offset + min(length, 300_000)])

    def give(offset: int, length: int) -> bytes:
        answer: queue.SimpleQueue = queue.SimpleQueue()
        waiting.put((offset, length, answer))
        return answer.get(timeout=30)

    server = threading.Thread(target=serve)
    server.start()
    try:
        assert target.open(SourceInto(target.made.data, give), workers=workers) == PLAIN
    finally:
        waiting.put((0, -1, None))
        server.join()


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize(
    "error", [StoreError(Code.STORE_IO, "reading failed"), ConnectionResetError("gone"), KeyboardInterrupt()], ids=repr
)
def test_a_source_that_fails_in_the_middle(target, error, workers):
    """A26: at each read in turn, the error is the source's own, memory is zeros, and no thread works on."""
    kept = bytearray(SIZE)

    def allocate(size: int) -> memoryview:
        kept[:] = b"\xff" * size
        return memoryview(kept)

    reads = 0
    for failing in range(1, 100):
        reads, asked = 0, False

        def give(offset: int, length: int, failing: int = failing) -> bytes:
            nonlocal reads
            reads += 1
            if reads == failing:
                raise error
            return target.made.data[offset : offset + length]

        kept[:] = bytes(SIZE)
        try:
            asked = target.open(SourceInto(target.made.data, give), workers=workers, allocate=allocate) == PLAIN
        except type(error):
            assert kept.count(0) == SIZE
        assert not [one for one in threading.enumerate() if one.name.startswith("strongroom-segment")]
        if asked:
            break
    assert asked
    assert failing == reads + 1 >= 7, "each read failed once"


@pytest.mark.parametrize("kind", [Source, SourceInto])
def test_a_source_that_ends_for_a_moment(target, kind):
    """A26: nothing at all means the end, for good, also where more would have come."""
    for silent in range(2, 7):
        reads = 0

        def give(offset: int, length: int, silent: int = silent) -> bytes:
            nonlocal reads
            reads += 1
            return b"" if reads == silent else target.made.data[offset : offset + length]

        assert target.code(kind(target.made.data, give)) == "file-truncated"


def test_a_source_that_counts_wrongly():
    """A26: it says it filled more memory than there is, or less than nothing: what it left there is checked as ever."""
    data, mek, _ = network_file(size=SIZE)

    class Wrong(sealed.BytesReadable):
        said = 0

        def pread_into(self, offset: int, into: memoryview) -> int:
            super().pread_into(offset, into[: len(into) // 2])
            return self.said

    for said, code in ((2**40, "file-digest"), (-1, "file-truncated"), (0, "file-truncated")):
        readable = Wrong(data)
        readable.said = said
        assert refused(lambda readable=readable: sealed.open_sealed(readable, mek, EXPECTED)) == code


def test_a_caller_that_gives_up_in_the_middle_leaves_nothing():
    """A26: an exception in the progress callback is as good as a failure."""
    data, mek, _ = network_file(size=2 * MIB)
    kept = bytearray(2 * MIB)

    def stop(done: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sealed.open_sealed(
            sealed.BytesReadable(data), mek, EXPECTED, allocate=lambda _: memoryview(kept), workers=2, progress=stop
        )
    assert not any(kept)
    assert not [one for one in threading.enumerate() if one.name.startswith("strongroom-segment")]


def test_a_caller_whose_memory_is_not_what_was_asked_for():
    """A26: too small, too large, read-only, in pieces: a mistake of the caller, told before a byte is opened."""
    data, mek, _ = network_file()
    for given in (bytearray(49_999), bytearray(50_001), bytes(50_000), memoryview(bytearray(100_000))[::2]):
        with pytest.raises(InputError) as mistake:
            sealed.open_sealed(
                sealed.BytesReadable(data), mek, EXPECTED, allocate=lambda _, given=given: memoryview(given)
            )
        assert mistake.value.code == Code.ARGUMENT
        assert not any(given)
