"""The two readings of what is sealed: the second gives out what the first saw, or nothing (section 11 of the spec)."""

import hashlib
import io
import threading
from contextlib import contextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strongroom import sealed
from strongroom.errors import InputError, StoreError, StrongroomError
from strongroom.sealed import plain
from strongroom.sealed.plain import PlainPayload
from strongroom.sealed.segments import PIECE
from vectors.sealed_writer import fixed

KEY = bytes(range(32))
SUBJECT = sealed.Subject(None, "m", "1", None)
MIB = 2**20


@contextmanager
def small_pieces():
    """Pieces of 16 bytes, so that every cut is near."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plain, "PIECE", 16)
        yield


class Files:
    """Sources whose bytes a test may change at any time."""

    def __init__(self, contents) -> None:
        self.contents = [bytearray(one) for one in contents]
        self.sources = [
            sealed.Source(str(number), len(one), lambda number=number: io.BytesIO(bytes(self.contents[number])))
            for number, one in enumerate(contents)
        ]

    def payload(self, workers=1) -> PlainPayload:
        payload = PlainPayload(self.sources, KEY)
        assert payload.digests(workers) == [hashlib.sha256(one).digest() for one in self.contents]
        assert payload.size == sum(map(len, self.contents))
        return payload


def again(payload: PlainPayload, step: int, piece: int = PIECE, found: list[bytes] | None = None) -> bytes:
    """Read everything a second time, in ranges of `step` bytes."""
    found, buffer = [] if found is None else found, memoryview(bytearray(piece))
    for start in range(0, payload.size, step):
        found.extend(bytes(part) for part in payload.pieces(start, min(start + step, payload.size), buffer))
    payload.finish()
    return b"".join(found)


CONTENTS = st.lists(st.binary(max_size=100), min_size=1, max_size=8)


@settings(deadline=None, max_examples=200)
@given(CONTENTS, st.integers(1, 5))
def test_any_files_in_any_ranges(contents, pieces):
    with small_pieces():
        assert again(Files(contents).payload(), 16 * pieces, 16) == b"".join(contents)


@settings(deadline=None, max_examples=200)
@given(CONTENTS.filter(any), st.integers(1, 5), st.data())
def test_any_change_of_any_byte(contents, pieces, data):
    """Same length, another byte: nothing of the piece that holds it is given out."""
    number = data.draw(st.sampled_from([at for at, one in enumerate(contents) if one]))
    place = data.draw(st.integers(0, len(contents[number]) - 1))
    changed = sum(map(len, contents[:number])) + place
    found: list[bytes] = []
    with small_pieces():
        files = Files(contents)
        payload = files.payload()
        files.contents[number][place] ^= data.draw(st.integers(1, 255))
        with pytest.raises(InputError) as refusal:
            again(payload, 16 * pieces, 16, found)
    assert refusal.value.code == "file-source-changed"
    assert b"".join(found) == b"".join(contents)[: changed - changed % 16]


@pytest.mark.parametrize(
    "change",
    [
        lambda files: files[0].__setitem__(slice(0, 32), files[0][16:32] + files[0][:16]),
        lambda files: files.__setitem__(slice(0, 2), files[1::-1]),
        lambda files: files[1].append(0),
        lambda files: files[1].pop(),
        lambda files: files[2].append(0),
    ],
    ids=["pieces swapped", "files swapped", "grown", "cut", "no longer empty"],
)
def test_changes_that_keep_the_same_bytes_or_only_the_length(change):
    with small_pieces():
        files = Files([fixed("one", 64), fixed("two", 64), b""])
        payload = files.payload()
        change(files.contents)
        with pytest.raises(InputError) as refusal:
            again(payload, 32, 16)
    assert refusal.value.code == "file-source-changed"


@pytest.mark.parametrize("workers", [1, 4])
def test_pieces_of_their_real_size(workers):
    sizes = [0, 1, PIECE - 1, PIECE, PIECE + 1, 0, 7, 9 * PIECE + 5, 1000]
    files = Files([fixed(f"file {number}", size) for number, size in enumerate(sizes)])
    assert hashlib.sha256(again(files.payload(workers), 4 * PIECE)).digest() == (
        hashlib.sha256(b"".join(files.contents)).digest()
    )
    assert not [one for one in threading.enumerate() if one.name.startswith("strongroom-")]


def test_every_tag_has_a_number_of_its_own():
    """A nonce of GMAC is used for one text only, and there is a place for each tag."""
    sizes = [5, 0, 11, 16, 1, 0, 0, 47, 130]
    with small_pieces():
        payload = Files([bytes(size) for size in sizes]).payload()
        numbers = [part.number for part in payload._parts(0, payload.size)]
    assert len(set(numbers)) == len(numbers)
    tags = [bytes(payload._tags[16 * one : 16 * one + 16]) for one in numbers]
    assert len(set(tags)) == len(tags)
    assert all(map(any, tags))


class Late:
    """A file that is as it was until it is opened for the n-th time."""

    def __init__(self, data: bytes, opening: int, place: int) -> None:
        self.left, self.place, self.data = opening, place, bytearray(data)

    def __call__(self) -> io.BytesIO:
        self.left -= 1
        if not self.left:
            self.data[self.place] ^= 1
        return io.BytesIO(bytes(self.data))


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("opening", [2, 3, 4])
def test_a_change_between_two_segments(opening, workers):
    """The file is opened for every segment; a change before the last of them is found, and no head is made."""
    sink = io.BytesIO()
    source = sealed.Source("m", 3 * MIB, Late(fixed("late", 3 * MIB), opening, 3 * MIB - 1))
    with pytest.raises(InputError) as refusal:
        sealed.seal([source], sink, mek=sealed.ModelKey.generate(), subject=SUBJECT, segment_size=MIB, workers=workers)
    assert refusal.value.code == "file-source-changed"
    assert sink.getvalue()[:8] in (b"", bytes(8)), "a head was written"


def test_a_file_that_is_written_to_while_it_is_sealed(tmp_path):
    """On a real disk, in place, same length, after the first segment was sealed."""
    path = tmp_path / "m"
    path.write_bytes(fixed("disk", 4 * MIB))

    def write(done: int) -> None:
        if done == MIB:
            with path.open("r+b") as file:
                file.seek(-1, 2)
                file.write(b"\0" if path.read_bytes()[-1] else b"\1")

    with (tmp_path / "m.srm").open("w+b") as sink, pytest.raises(InputError) as refusal:
        sealed.seal(
            sealed.sources_of(path),
            sink,
            mek=sealed.ModelKey.generate(),
            subject=SUBJECT,
            segment_size=MIB,
            workers=1,
            progress=write,
        )
    assert refusal.value.code == "file-source-changed"
    assert (tmp_path / "m.srm").read_bytes()[:8] == bytes(8)


class Pipe(io.BytesIO):
    """Bytes that come once."""

    def seekable(self) -> bool:
        return False

    def seek(self, *_):
        raise io.UnsupportedOperation("seek")


def test_a_source_that_cannot_seek():
    """One segment needs no seeking; more are refused in our own words."""

    def attempt(size: int) -> StrongroomError | None:
        source = sealed.Source("m", size, lambda: Pipe(bytes(size)))
        try:
            sealed.seal(
                [source], io.BytesIO(), mek=sealed.ModelKey.generate(), subject=SUBJECT, segment_size=MIB, workers=1
            )
        except StrongroomError as error:
            return error
        return None

    assert attempt(MIB) is None
    refusal = attempt(2 * MIB)
    assert (type(refusal), refusal.code) == (StoreError, "store-io")


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_bytes_in_memory_are_not_copied(kind):
    data = bytearray(fixed("memory", 1000))
    source = sealed.Source.of_bytes("m", data if kind is bytearray else kind(data))
    with source.open() as stream:
        into = bytearray(600)
        assert (stream.readinto(into), stream.readinto(into)) == (600, 400)
        assert stream.seek(999) == 999
        assert stream.readinto(into) == 1
        assert into[0] == data[999]
        assert stream.readinto(into) == 0
        if kind is not bytes:
            data[0] ^= 1
            stream.seek(0)
            stream.readinto(into)
            assert into[0] == data[0]
