"""Elements of BER: where they begin and end."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apple_mint import opened, tlv
from strongroom.attest import ber
from strongroom.attest.verdict import Refusal, RefusedEvidence


def refused(act) -> bool:
    with pytest.raises(RefusedEvidence) as error:
        act()
    return error.value.code == Refusal.MALFORMED


def test_lengths_of_every_form():
    for size in (0, 1, 127, 128, 300):
        assert ber.only(tlv(4, bytes(size)), ber.OCTETS) == bytes(size)
    assert ber.only(b"\x04\x84\0\0\0\x01x", ber.OCTETS) == b"x"
    assert ber.only(opened(0x30, tlv(4, b"\0\0"), opened(0x30)), ber.SEQUENCE) == b"\x04\x02\0\0\x30\x80\0\0"
    assert ber.only(bytes.fromhex("bf8934020500"), bytes.fromhex("bf8934")) == b"\x05\x00"


def test_octets_in_pieces_are_one():
    assert ber.octets(ber.first(opened(0x24, tlv(4, b"a"), tlv(4, b"b")), ber.OPEN_OCTETS)) == b"ab"
    assert ber.octets(ber.first(tlv(4, b"ab"), ber.OCTETS)) == b"ab"
    for wrong in (opened(0x24), opened(0x24, tlv(2, b"a")), opened(0x24, opened(0x24, tlv(4, b"a"))), tlv(2, b"a")):
        assert refused(lambda data=wrong: ber.octets(ber.each(data)[0]))


@pytest.mark.parametrize(
    "data",
    ["", "04", "0402", "040200", "0481", "0485000000000100", "0480", "04800000", "3080", "30800400", "1f", "1f81818181",
     "0401000500", "3000"],
)  # fmt: skip
def test_what_is_no_single_octet_string_is_malformed(data):
    assert refused(lambda: ber.only(bytes.fromhex(data), ber.OCTETS))


def test_depth_and_number_are_bounded():
    """A14: a few bytes that nest or repeat do not make the reader work for long."""
    assert refused(lambda: ber.each(b"\x30\x80" * 30_000))
    assert refused(lambda: ber.each(b"\x05\x00" * 257))
    assert refused(lambda: ber.each(opened(0x30, b"\x05\x00" * 257)))
    assert len(ber.each(b"\x05\x00" * 256)) == 256


def test_what_is_open_inside_counts_with_what_it_is_in():
    """A14: sixteen thousand elements in 32 KiB, no list of them long and none deep, were walked again at each level."""
    many = opened(0x30, *[opened(0x30, *[b"\x05\x00"] * 100)] * 100)
    assert refused(lambda: ber.first(many, ber.SEQUENCE))
    some = opened(0x30, *[opened(0x30, b"\x05\x00")] * 80)
    assert len(ber.each(ber.only(some, ber.SEQUENCE))) == 80


@given(st.lists(st.binary(max_size=200), max_size=6))
def test_each_returns_what_was_written(bodies):
    written = b"".join(tlv(4, body) for body in bodies)
    assert [one.body for one in ber.each(written)] == bodies
    assert ber.only(opened(0x30, written), ber.SEQUENCE) == written


@given(st.binary(max_size=80))
def test_any_bytes_are_elements_or_malformed(data):
    """I04: nothing but a refusal comes out."""
    try:
        found = ber.each(data)
    except RefusedEvidence:
        return
    assert sum(one.size for one in found) == len(data)
