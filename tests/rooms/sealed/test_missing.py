"""Which segments of a partial download are still to be fetched (R24)."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strongroom import sealed
from strongroom.errors import IntegrityError
from vectors.sealed_writer import fixed
from vectors.targets import EXPECTED, OWNERS, local_file, network_file

MIB = 2**20
DATA, MEK, MADE = network_file("partial", 3 * MIB + 5)
HEAD = sealed.read_head(sealed.BytesReadable(DATA))
ALL = tuple(range(HEAD.segment_count))


def missing(data: bytes) -> tuple[int, ...]:
    return sealed.missing_segments(sealed.BytesReadable(data), HEAD)


def without(data: bytes, index: int, at: int, size: int) -> bytes:
    """The data with a hole inside one segment, and nowhere else."""
    begin = HEAD.offset(index) + at % HEAD.stored_length(index)
    end = min(begin + size, HEAD.offset(index) + HEAD.stored_length(index))
    return data[:begin] + bytes(end - begin) + data[end:]


@settings(deadline=None, max_examples=40)
@given(st.dictionaries(st.sampled_from(ALL), st.tuples(st.integers(0, 2**21), st.integers(32, 2**21))))
def test_the_segments_with_holes_are_the_ones_that_are_missing(holes):
    data = DATA
    for index, (at, size) in holes.items():
        data = without(data, index, min(at, HEAD.stored_length(index) - 32), size)
    assert missing(data) == tuple(sorted(holes))


def test_whole_empty_and_everything_between():
    assert missing(DATA) == ()
    assert missing(DATA + b"more than there should be") == ()
    assert missing(b"") == missing(DATA[: HEAD.offset(0)]) == ALL
    for index in ALL:
        begin = HEAD.offset(index)
        assert missing(DATA[:begin]) == missing(DATA[: begin + 1]) == ALL[index:]
        assert missing(DATA[: begin + HEAD.stored_length(index)]) == ALL[index + 1 :]


def test_the_head_part_may_be_missing_too():
    """The head came from elsewhere: what counts is where segments lie."""
    assert missing(bytes(HEAD.offset(0)) + DATA[HEAD.offset(0) :]) == ()


def test_fetching_what_is_missing_makes_it_whole(tmp_path):
    """R24: a download that was cut goes on where it stopped, in a sparse file on a disk."""
    path = tmp_path / "partial"
    with path.open("wb") as file:
        file.write(DATA[: HEAD.offset(1) + 1000])
        file.seek(HEAD.offset(3))
        file.write(DATA[HEAD.offset(3) : HEAD.offset(4)])
        file.truncate(len(DATA))
    with sealed.FileReadable.open(path) as readable:
        head = sealed.read_head(readable)
        seen: list[int] = []
        still = sealed.missing_segments(readable, head, seen.append)
        assert still == (1, 2, 4)
        assert seen[-1] == len(DATA)
        assert seen == sorted(seen)
    with path.open("r+b") as file:
        for index in still:
            file.seek(head.offset(index))
            file.write(MADE.segments[index])
    with sealed.FileReadable.open(path) as readable:
        assert sealed.missing_segments(readable, head) == ()
        assert sealed.verify_sealed(readable, OWNERS).digest == head.digest
        assert sealed.open_sealed(readable, MEK, EXPECTED).payload == fixed("partial", 3 * MIB + 5)


class Shrinking(sealed.BytesReadable):
    """Says more than it has."""

    @property
    def size(self) -> int:
        return len(DATA)


def test_a_source_with_less_than_it_says():
    assert sealed.missing_segments(Shrinking(DATA[:-1]), HEAD) == ALL[-1:]


def test_segments_that_changed_places_are_both_missing():
    """A05: a genuine segment in another's place is not the one that is named."""
    one, two = MADE.segments[1], MADE.segments[2]
    assert len(one) == len(two)
    assert missing(DATA[: HEAD.offset(1)] + two + one + DATA[HEAD.offset(3) :]) == (1, 2)


def test_a_local_file_names_no_segments():
    data, _, _ = local_file()
    readable = sealed.BytesReadable(data)
    with pytest.raises(IntegrityError) as refusal:
        sealed.missing_segments(readable, sealed.read_head(readable))
    assert refusal.value.code == "file-kind"
