"""Attempts to cut a sealed file, to make it longer, and to exchange its chunks (R19, R28)."""

import pytest

from strongroom import sealed
from strongroom.sealed.suites import stored_size
from vectors.sealed_writer import CHUNK, MIB, fixed
from vectors.targets import EXPECTED, FORMS, Target, chunks_of, network_file, opener, refused

SIZE = MIB + 5 * CHUNK + 1000  # three segments with that of the table of contents; the last has six chunks
EXTRA = {"a byte": b"\0", "12 bytes": bytes(12), "20 bytes": bytes(20), "a stored chunk": bytes(CHUNK + 16)}


@pytest.fixture(scope="module", params=FORMS, ids=str)
def target(request):
    return Target.of(*request.param, SIZE)


class Lying(sealed.BytesReadable):
    """A source that names another size than what it has."""

    def __init__(self, data: bytes | memoryview, size: int) -> None:
        super().__init__(data)
        self._size = size

    @property
    def size(self) -> int:
        return self._size


def boundaries(target: Target) -> list[int]:
    """Return where each part, each segment and each chunk ends, but the whole file."""
    head, ends = target.head, {32, len(target.head.head_part)}
    for index in range(head.segment_count):
        begin, length = head.offset(index), head.stored_length(index)
        ends |= {begin, begin + 24, begin + 56, *range(begin + 56, begin + length, CHUNK + 16)}
    return sorted(ends)


def random_places(name: str, count: int, size: int) -> list[int]:
    drawn = fixed(name, 8 * count)
    return [8 + int.from_bytes(drawn[at : at + 8], "big") % (size - 8) for at in range(0, len(drawn), 8)]


def test_truncate_everywhere(target):
    """A03: at every chunk and segment boundary (79), and at 1,000 other places: each is told as a truncation."""
    view, counted = memoryview(target.made.data), 0
    for at in (*boundaries(target), *random_places("cut", 1000, len(view))):
        assert target.code(view[:at]) == "file-truncated", at
        counted += 1
    assert counted == 1000 + 79


def test_truncate_and_say_so_in_the_preamble(target):
    """A03: the declared total is a hint; the lengths under the MAC decide. Every boundary behind the head."""
    data = target.made.data
    for at in boundaries(target)[2:]:
        honest_looking = data[:24] + at.to_bytes(8, "big") + data[32:at]
        assert target.code(honest_looking) == "file-truncated", at
    longer = data + bytes(CHUNK + 16)
    assert target.code(longer[:24] + len(longer).to_bytes(8, "big") + longer[32:]) == "file-trailing"


def test_a_source_that_ends_before_it_said_it_would(target):
    """A03: the size was right when it was asked for; every boundary, and nothing stays of what was read before."""
    view, kept = memoryview(target.made.data), bytearray(SIZE)

    def allocate(size: int) -> memoryview:
        kept[:] = b"\xff" * size
        return memoryview(kept)

    for at in boundaries(target)[1:]:
        assert target.code(Lying(view[:at], len(view)), allocate=allocate, workers=1 + at % 2) == "file-truncated", at
        assert kept.count(0) == SIZE


@pytest.mark.parametrize("what", [*EXTRA, "a whole segment"])
def test_extend(target, what):
    """A04: a byte, parts of a chunk, a chunk, a whole valid segment; with the declared total and with a new one."""
    data, head = target.made.data, target.head
    longer = data + EXTRA.get(what, data[head.offset(1) : head.offset(2)])
    assert target.code(longer) == "file-trailing"
    assert target.code(longer[:24] + len(longer).to_bytes(8, "big") + longer[32:]) == "file-trailing"


def test_extend_a_segment_within_the_file(target):
    """A04: bytes put in where a segment ends, with a total that fits, are no part of any segment."""
    data, head = target.made.data, target.head
    for index in (1, 2):
        for extra in EXTRA.values():
            longer = data[: head.offset(index)] + extra + data[head.offset(index) :]
            assert target.code(longer[:24] + len(longer).to_bytes(8, "big") + longer[32:]) == "file-trailing"
            assert target.code(longer[: len(data)]) == target.broken


def test_swap_any_two_chunks(target):
    """A05: all 15 pairs of six; the last is shorter, so moving it changes lengths as well."""
    head, counted = target.head, 0
    parts = chunks_of(target.made.data[head.offset(2) :])
    for left in range(1, 7):
        for right in range(left + 1, 7):
            swapped = list(parts)
            swapped[left], swapped[right] = swapped[right], swapped[left]
            assert target.code(target.with_segment(2, b"".join(swapped))) == target.broken
            counted += 1
    assert counted == 15


def test_swap_chunks_of_different_segments(target):
    """A05: the same number in another segment, and another number: chunks belong to one segment only."""
    head = target.head
    first, second = (chunks_of(target.made.data[head.offset(at) :][: head.stored_length(at)]) for at in (1, 2))
    for number in range(1, 6):
        assert target.code(target.with_segment(2, b"".join([*second[:1], first[number], *second[2:]]))) == target.broken


def test_repeat_a_chunk_in_place_of_its_neighbour(target):
    """A06: each of the five whole chunks in each other's place, 20 in all."""
    parts, counted = chunks_of(target.made.data[target.head.offset(2) :]), 0
    for twice in range(1, 6):
        for instead in range(1, 6):
            if twice != instead:
                doubled = [*parts[:instead], parts[twice], *parts[instead + 1 :]]
                assert target.code(target.with_segment(2, b"".join(doubled))) == target.broken
                counted += 1
    assert counted == 20


@pytest.mark.parametrize("suite", [1, 2])
@pytest.mark.parametrize(
    "bent",
    [
        lambda parts: [parts[0], parts[1], parts[3], parts[2], *parts[4:]],
        lambda parts: [parts[0], parts[1], parts[2], parts[2], *parts[4:]],
        lambda parts: [parts[0], parts[1], parts[2], *parts[4:], parts[3]],
    ],
    ids=["swapped", "repeated", "moved to the end"],
)
def test_chunks_exchanged_before_an_owner_signed(suite, bent):
    """A05, A06: digests and signatures are right, and the cipher finds it."""

    def only_the_payload(index: int, parts: list[bytes]) -> list[bytes]:
        return parts if index == 0 else bent([b"".join(parts[:2]), *parts[2:]])

    data, mek, _ = network_file(size=5 * CHUNK + 1000, suite=suite, bend_segment=only_the_payload)
    readable = sealed.BytesReadable(data)
    assert sealed.verify_sealed(readable, EXPECTED.owners).core.segments == 2
    assert refused(lambda: sealed.open_sealed(readable, mek, EXPECTED)) == "file-segment"


@pytest.mark.parametrize("suite", [1, 2])
@pytest.mark.parametrize("chunks", [1, 2, 3])
def test_another_encoding_of_the_same_bytes(suite, chunks):
    """A03, A04: an exact multiple of a chunk without its empty last chunk, or with one too many, has no length here."""
    size = chunks * CHUNK
    for bent, code in (
        (lambda parts: parts[:-1], "file-truncated"),
        (lambda parts: [*parts, parts[-1]], "file-trailing"),
    ):
        data, mek, made = network_file(
            size=size, suite=suite, bend_segment=lambda index, parts, bent=bent: bent(parts) if index else parts
        )
        assert len(made.segments[1]) != stored_size(size)
        assert refused(opener(data, mek)) == code
