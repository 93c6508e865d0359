"""Attempts to alter, cut or extend a sealed file (R19, R28)."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strongroom.errors import Code, IntegrityError
from vectors.sealed_writer import CHUNK, fixed, flipped
from vectors.targets import local_file, local_opener, network_file, opener

SIZE = 5 * CHUNK + 1000  # six chunks
NETWORK, MEK, MADE = network_file(size=SIZE)
LOCAL, KEY, DIGEST = local_file(size=SIZE)
HEAD = len(MADE.head_part)
LOCAL_SEGMENT = len(LOCAL) - len(MADE.segments[1])  # where the payload's only segment begins


def refused(opening) -> Code:
    with pytest.raises(IntegrityError) as refusal:
        opening()
    return refusal.value.code


def test_the_targets_open_as_they_are():
    assert opener(NETWORK, MEK)() == local_opener(LOCAL, KEY, DIGEST)() == fixed("target", SIZE)


def test_flip_every_bit_of_the_head_part():
    """A01: preamble, core header, manifest, MAC, signature block: every bit of them counts."""
    for bit in range(HEAD * 8):
        refused(opener(flipped(NETWORK, bit // 8, 1 << bit % 8), MEK))


@settings(deadline=None, max_examples=300)
@given(st.integers(0, (len(NETWORK) - HEAD) * 8 - 1))
def test_flip_a_bit_of_a_segment(bit):
    """A02: the signed manifest finds it before the cipher sees a byte."""
    assert refused(opener(flipped(NETWORK, HEAD + bit // 8, 1 << bit % 8), MEK)) == "file-digest"


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
        end = min(start + CHUNK + 16, len(MADE.segments[1]))
        edges |= {start, end - 17, end - 16, end - 1}
    for at in edges:
        assert refused(opener(flipped(NETWORK, at - len(MADE.segments[1])), MEK)) == "file-digest"
        assert refused(local_opener(flipped(LOCAL, LOCAL_SEGMENT + at), KEY, DIGEST)) == "file-segment"


def test_truncate_everywhere():
    """A03: at every chunk and segment boundary, and at a thousand other places."""
    start = len(NETWORK) - len(MADE.segments[1])
    places = {32, HEAD, start, *(start + 56 + chunk * (CHUNK + 16) for chunk in range(6))}
    places |= {int.from_bytes(fixed(f"cut {number}", 4), "big") % (len(NETWORK) - 8) + 8 for number in range(1000)}
    for at in sorted(places):
        assert refused(opener(NETWORK[:at], MEK)) == "file-truncated", at


def test_truncate_and_say_so_in_the_preamble():
    """A03: the declared total is a hint; the lengths under the MAC decide."""
    cut = NETWORK[: -(CHUNK + 16)]
    honest_looking = cut[:24] + len(cut).to_bytes(8, "big") + cut[32:]
    assert refused(opener(honest_looking, MEK)) == "file-truncated"
    longer = NETWORK + bytes(CHUNK + 16)
    assert refused(opener(longer[:24] + len(longer).to_bytes(8, "big") + longer[32:], MEK)) == "file-trailing"


@pytest.mark.parametrize("extra", [b"\0", bytes(12), bytes(20), bytes(16_400), MADE.segments[1]], ids=len)
def test_extend(extra):
    """A04: a byte, parts of a chunk, a chunk, a whole valid segment."""
    assert refused(opener(NETWORK + extra, MEK)) == "file-trailing"
    assert refused(local_opener(LOCAL + extra, KEY, DIGEST)) == "file-trailing"


def chunks_of(segment: bytes) -> list[bytes]:
    return [segment[:56], *(segment[at : at + CHUNK + 16] for at in range(56, len(segment), CHUNK + 16))]


def test_swap_any_two_chunks():
    """A05: all pairs of six; the last is shorter, so moving it changes lengths as well."""
    parts = chunks_of(LOCAL[LOCAL_SEGMENT:])
    for left in range(1, 7):
        for right in range(left + 1, 7):
            swapped = list(parts)
            swapped[left], swapped[right] = swapped[right], swapped[left]
            assert refused(local_opener(LOCAL[:LOCAL_SEGMENT] + b"".join(swapped), KEY, DIGEST)) == "file-segment"


def test_repeat_a_chunk_in_place_of_its_neighbour():
    """A06: also where an owner signed it."""
    parts = chunks_of(LOCAL[LOCAL_SEGMENT:])
    doubled = LOCAL[:LOCAL_SEGMENT] + b"".join([*parts[:2], parts[1], *parts[3:]])
    assert refused(local_opener(doubled, KEY, DIGEST)) == "file-segment"
