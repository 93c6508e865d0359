"""Parts of a file by position (A25; section 10, random access)."""

import io
import json
import os
import zipfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strongroom import sealed
from strongroom.errors import Code, InputError, IntegrityError, StoreError
from vectors.sealed_writer import Plan, fixed, make
from vectors.targets import EXPECTED, OWNERS, SUBJECT, local_file, network_file

MIB, CHUNK = 2**20, 16_384
SIZE = 2 * MIB + 40_000
PLAIN = fixed("target", SIZE)
EDGES = [0, 1, CHUNK, MIB, MIB + CHUNK, 2 * MIB, SIZE]
POSITIONS = st.one_of(
    st.integers(0, SIZE + 10), st.builds(lambda at, by: max(0, at + by), st.sampled_from(EDGES), st.integers(-2, 2))
)


def network(suite: int = 1) -> sealed.RandomAccess:
    data, mek, _ = network_file(size=SIZE, suite=suite)
    return sealed.open_random_access(sealed.BytesReadable(data), mek, EXPECTED)


def local(suite: int = 1) -> sealed.RandomAccess:
    data, key, digest = local_file(size=SIZE, suite=suite)
    how = {"subject": SUBJECT, "owners": OWNERS, "origin_head": digest}
    return sealed.open_local_random_access(sealed.BytesReadable(data), key, **how)


FORMS = {f"{form.__name__} {suite}": (form, suite) for form in (network, local) for suite in (1, 2)}


@pytest.fixture(scope="module", params=FORMS.values(), ids=FORMS)
def access(request):
    form, suite = request.param
    with form(suite) as opened:
        yield opened


@settings(deadline=None, max_examples=60)
@given(at=POSITIONS, length=POSITIONS)
def test_a_range_is_a_slice_of_the_plaintext(access, at, length):
    """A25: across chunk and segment edges, past the end, empty."""
    assert access.read_at(at, length) == PLAIN[at : at + length]


@pytest.mark.parametrize("edge", EDGES)
def test_ranges_around_every_edge(access, edge):
    for at in range(max(0, edge - 2), edge + 3):
        for length in (0, 1, 2, 3, CHUNK + 1):
            assert access.read_at(at, length) == PLAIN[at : at + length]


@settings(deadline=None, max_examples=60)
@given(steps=st.lists(st.tuples(st.sampled_from([0, 1, 2]), st.integers(-SIZE, SIZE), st.integers(-1, 70_000))))
def test_a_file_object_does_what_a_file_does(access, steps):
    """A25: against BytesIO, step by step: seek from all three places, read some, read all."""
    ours, theirs = access.open_payload(), io.BytesIO(PLAIN)
    for whence, offset, length in steps:
        begin = {0: 0, 1: theirs.tell(), 2: SIZE}[whence]
        if begin + offset < 0:
            with pytest.raises(InputError):
                ours.seek(offset, whence)
        else:
            assert ours.seek(offset, whence) == theirs.seek(offset, whence)
        assert ours.read(length) == theirs.read(length)
        assert ours.tell() == theirs.tell()


def files_of(files: dict[str, bytes]) -> sealed.RandomAccess:
    plan = Plan("several", list(files.items()))
    return sealed.open_random_access(sealed.BytesReadable(make(plan).data), sealed.ModelKey(plan.key()), EXPECTED)


def test_one_file_of_several_ends_where_the_next_begins():
    files = {"a": fixed("a", MIB - 3), "empty": b"", "b/c": fixed("c", 10), "d": fixed("d", MIB)}
    with files_of(files) as access:
        for path, data in files.items():
            with access.open_file(path) as file:
                assert file.read() == data
                assert file.read(1) == b""
                assert file.seek(-min(4, len(data)), os.SEEK_END) == len(data) - min(4, len(data))
                assert file.read(100) == data[-4:]
                assert file.seek(50, os.SEEK_END) == len(data) + 50
                assert (file.read(), file.read(5), file.readinto(bytearray(5))) == (b"", b"", 0)
                file.seek(0)
                assert file.read(2**62) == data  # and nothing of that size is allocated
                file.seek(0)
                assert file.readall() == data
                file.seek(0)
                assert file.read(None) == data
        with pytest.raises(InputError) as refusal:
            access.open_file("nobody")
        assert refusal.value.code == Code.PATH


def test_what_a_file_object_cannot_do_it_says_as_files_do():
    """Code that takes any file tells a read-only one by `io.UnsupportedOperation`."""
    with files_of({"a": b"abc"}) as access, access.open_file("a") as file:
        for attempt in (
            lambda: file.write(b"x"),
            lambda: file.writelines([b"x"]),
            file.fileno,
            lambda: file.truncate(0),
        ):
            with pytest.raises(io.UnsupportedOperation):
                attempt()
        assert not file.writable()
        for call in (file.readinto, lambda into: access.read_into(0, into)):
            for into in (memoryview(bytearray(8))[::2], b"abcd"):
                with pytest.raises(InputError) as refusal:
                    call(into)
                assert refusal.value.code == "argument"
            assert call(memoryview(bytearray(4)).cast("B", (2, 2))) == 3
            file.seek(0)
        assert file.read() == b"abc"


def test_finding_every_file_takes_one_look_at_the_list():
    """A table of 65,536 files: not one look at all of them for each."""

    class Counted(tuple):  # noqa: SLOT001 - it counts on the class
        looks = 0

        def __iter__(self):
            Counted.looks += 1
            return super().__iter__()

    entries = Counted(sealed.FileEntry(str(number), number % 3, bytes(32)) for number in range(2000))
    toc, at = sealed.TableOfContents(entries), 0
    for number in range(2000):
        assert toc.range_of(str(number)) == (at, at + number % 3)
        at += number % 3
    assert Counted.looks == 1
    with pytest.raises(InputError):
        toc.range_of("2000")
    assert toc == sealed.TableOfContents(entries)


def test_libraries_can_read_it():
    """A zip archive and buffered text, by code that knows nothing of sealed files."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("weights", fixed("weights", MIB))
    with files_of({"model.zip": packed.getvalue(), "config.json": b'{"a":\n1}'}) as access:
        with zipfile.ZipFile(access.open_file("model.zip")) as archive:
            assert archive.read("weights") == fixed("weights", MIB)
        assert json.load(io.TextIOWrapper(io.BufferedReader(access.open_file("config.json")))) == {"a": 1}


def test_an_empty_model_has_nothing_to_read():
    data, mek, _ = network_file(size=0)
    with sealed.open_random_access(sealed.BytesReadable(data), mek, EXPECTED) as access:
        assert (access.size, access.read_at(0, 10), access.open_payload().read()) == (0, b"", b"")


class Counting(sealed.BytesReadable):
    """Counts what is asked for."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.asked: list[int] = []

    def pread_into(self, offset: int, into: memoryview) -> int:
        self.asked.append(offset)
        return super().pread_into(offset, into)


def test_the_last_segment_is_kept():
    data, mek, _ = network_file(size=SIZE)
    readable = Counting(data)
    with sealed.open_random_access(readable, mek, EXPECTED) as access:
        readable.asked.clear()
        file = access.open_payload()
        for _ in range(100):
            file.read(1000)
        assert readable.asked == [access.head.offset(1)]
        access.read_at(MIB - 1, 2)
        assert readable.asked == [access.head.offset(1), access.head.offset(2)]


@pytest.mark.parametrize("form", [network_file, local_file])
@pytest.mark.parametrize("cut", [False, True])
def test_after_a_failure_everything_is_refused(form, cut):
    """A02, A27: an altered or missing segment ends it, for the segment that was kept and for open files too."""
    data, mek, rest = form(size=SIZE)
    bent = bytearray(data)
    readable = sealed.BytesReadable(bent)
    how = {"subject": SUBJECT, "owners": OWNERS, "origin_head": rest}
    with (
        sealed.open_random_access(readable, mek, EXPECTED)
        if form is network_file
        else sealed.open_local_random_access(readable, mek, **how)
    ) as access:
        file = access.open_payload()
        assert file.read(10) == PLAIN[:10]
        if cut:
            readable._data = readable._data[:-1]
        else:
            bent[-1] ^= 1
        into = bytearray(b"\xff" * SIZE)
        with pytest.raises(IntegrityError) as refusal:
            access.read_into(0, into)
        assert refusal.value.code in ("file-truncated" if cut else "file-digest", "file-segment")
        assert not any(into)
        assert not any(access._plain)
        for again in (lambda: access.read_at(0, 1), lambda: access.read_at(0, 0), file.read, lambda: file.read(1)):
            with pytest.raises(IntegrityError) as refusal:
                again()
            assert refusal.value.code == "file-refused"


class Failing(sealed.BytesReadable):
    """A disk that fails when it is told to."""

    broken = False

    def pread_into(self, offset: int, into: memoryview) -> int:
        if self.broken:
            raise StoreError(Code.STORE_IO, "reading failed")
        return super().pread_into(offset, into)


def test_a_disk_that_fails_once_is_no_refusal_of_the_file():
    data, mek, _ = network_file(size=SIZE)
    readable = Failing(data)
    with sealed.open_random_access(readable, mek, EXPECTED) as access:
        access.read_at(0, 1)
        readable.broken = True
        into = bytearray(b"\xff" * SIZE)
        with pytest.raises(StoreError):
            access.read_into(0, into)
        assert not any(into)
        readable.broken = False
        assert access.read_at(0, SIZE) == PLAIN


def test_closing_wipes_and_refuses():
    access = network()
    file = access.open_payload()
    assert file.read(5) == PLAIN[:5]
    file.close()
    for use in (file.read, file.tell, lambda: file.read(1), lambda: file.seek(0)):
        with pytest.raises(InputError) as refusal:
            use()
        assert refusal.value.code == Code.CLOSED
    assert access.read_at(0, 5) == PLAIN[:5]
    access.close()
    assert not any(access._plain)
    with pytest.raises(IntegrityError) as refusal:
        access.read_at(0, 5)
    assert refusal.value.code == "file-refused"


def test_mistakes_of_the_caller(access):
    for use in (
        lambda: access.read_at(-1, 5),
        lambda: access.read_at(0, -1),
        lambda: access.read_into(0, memoryview(bytes(5))),
        lambda: access.read_into(0, memoryview(bytearray(10))[::2]),
        lambda: access.open_payload().seek(0, 7),
        lambda: access.open_payload().seek(-1),
    ):
        with pytest.raises(InputError) as refusal:
            use()
        assert refusal.value.code == Code.ARGUMENT
    assert not access.open_payload().writable()
    assert access.read_at(0, 5) == PLAIN[:5]


def test_it_opens_only_what_opens_whole():
    """Every check before the payload is made: key, owners, subject, table of contents, kind, origin."""
    data, mek, _ = network_file(size=10)
    stored, key, digest = local_file(size=10)
    how = {"subject": SUBJECT, "owners": OWNERS, "origin_head": digest}
    for opening, code in (
        (lambda: sealed.open_random_access(sealed.BytesReadable(data), key, EXPECTED), "file-wrong-key"),
        (lambda: sealed.open_random_access(sealed.BytesReadable(data[:-1]), mek, EXPECTED), "file-truncated"),
        (lambda: sealed.open_random_access(sealed.BytesReadable(stored), key, EXPECTED), "file-kind"),
        (lambda: sealed.open_local_random_access(sealed.BytesReadable(data), mek, **how), "file-kind"),
        (
            lambda: sealed.open_local_random_access(
                sealed.BytesReadable(stored), key, **(how | {"origin_head": bytes(64)})
            ),
            "file-mismatch",
        ),
    ):
        with pytest.raises(IntegrityError) as refusal:
            opening()
        assert refusal.value.code == code
