"""The attacks that only the cipher notices, against suite 2 (R19, R28)."""

from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strongroom import sealed
from strongroom.errors import Code, IntegrityError
from vectors.sealed_writer import CHUNK, Keys, chunked, fixed, flipped
from vectors.targets import EXPECTED, local_file, local_opener, network_file, opener

SIZE = 5 * CHUNK + 1000  # six chunks
NETWORK, MEK, MADE = network_file(size=SIZE, suite=2)
LOCAL, KEY, DIGEST = local_file(size=SIZE, suite=2)
BEGIN = len(LOCAL) - len(MADE.segments[1])  # where the payload's only segment begins


def refused(opening) -> Code:
    with pytest.raises(IntegrityError) as refusal:
        opening()
    return refusal.value.code


def local_with(parts: list[bytes]) -> Code:
    return refused(local_opener(LOCAL[:BEGIN] + b"".join(parts), KEY, DIGEST))


def parts() -> list[bytes]:
    segment = LOCAL[BEGIN:]
    return [segment[:56], *(segment[at : at + CHUNK + 16] for at in range(56, len(segment), CHUNK + 16))]


def test_the_targets_open_as_they_are():
    assert opener(NETWORK, MEK)() == local_opener(LOCAL, KEY, DIGEST)() == fixed("target", SIZE)


@settings(deadline=None, max_examples=300)
@given(st.integers(0, len(LOCAL) * 8 - 1))
def test_flip_a_bit_of_a_local_file(bit):
    """A02: where no manifest lists the segments, the tags find it."""
    refused(local_opener(flipped(LOCAL, bit // 8, 1 << bit % 8), KEY, DIGEST))


def test_flip_the_edges_of_every_chunk_and_tag():
    """A02: first and last byte of each chunk and of each tag, of salt and commitment."""
    edges = {0, 23, 24, 55}
    for chunk in range(6):
        start = 56 + chunk * (CHUNK + 16)
        end = min(start + CHUNK + 16, len(LOCAL) - BEGIN)
        edges |= {start, end - 17, end - 16, end - 1}
    for at in edges:
        assert refused(local_opener(flipped(LOCAL, BEGIN + at), KEY, DIGEST)) == "file-segment"
        assert refused(opener(flipped(NETWORK, at - len(MADE.segments[1])), MEK)) == "file-digest"


def test_swap_repeat_or_drop_chunks():
    """A05, A06: all pairs of six, and each in place of its neighbour; lengths stay right where they can."""
    for left in range(1, 7):
        for right in range(left + 1, 7):
            swapped = parts()
            swapped[left], swapped[right] = swapped[right], swapped[left]
            assert local_with(swapped) == "file-segment"
    for index in range(1, 6):
        assert local_with([*parts()[:index], parts()[index % 5 + 1], *parts()[index + 1 :]]) == "file-segment"


def test_the_suite_byte_of_a_whole_file():
    """A19: a file of one suite that calls itself another opens under no key of its own."""
    for data, mek in ((NETWORK, MEK), (network_file(size=SIZE)[0], network_file(size=SIZE)[1])):
        other = data[:9] + bytes([3 - data[9]]) + data[10:]
        assert refused(opener(other, mek)) == "file-signature"
        unsigned = sealed.Expected("model", EXPECTED.subject, None)
        assert refused(partial(sealed.open_sealed, sealed.BytesReadable(other), mek, unsigned)) == "file-wrong-key"


def test_no_two_suites_share_a_key_or_a_context():
    """A19: one model key and one file id give each suite keys of its own, and segments contexts of their own."""
    one, two = (Keys.derive(bytes(32), bytes(32), suite) for suite in (1, 2))
    for name in ("commitment", "mac", "payload", "blind"):
        assert getattr(one, name) != getattr(two, name)
    contexts = [
        sealed.read_head(sealed.BytesReadable(data)).binding.context(1)
        for data in (NETWORK, network_file(size=SIZE)[0])
    ]
    assert contexts[0] != contexts[1]
    salt = bytes(24)
    assert chunked(one.payload, salt, b"", b"x", suite=1)[1] != chunked(one.payload, salt, b"", b"x", suite=2)[1]


def test_a_licensee_forges_a_segment_of_suite_2():
    """B20: whoever has the model key can make segments the cipher accepts; the signed digest does not."""
    head = sealed.read_head(sealed.BytesReadable(NETWORK))
    forged = b"".join(chunked(MADE.keys.payload, bytes(24), head.binding.context(1), bytes(SIZE), suite=2))
    assert len(forged) == head.stored_length(1)
    assert refused(opener(NETWORK[: head.offset(1)] + forged, MEK)) == "file-digest"
