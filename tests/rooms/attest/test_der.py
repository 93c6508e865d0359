"""The strict DER reader: one spelling for each value, and one error for everything else."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from strongroom.attest import der
from strongroom.attest.verdict import Refusal, RefusedEvidence
from strongroom.testing import der as writer

READERS = ("sequence", "set_of", "explicit", "integer", "enumerated", "boolean", "octets", "null")


def value(data: str) -> der.Element:
    return der.read(bytes.fromhex(data), "test")


def refused(data: str, method: str = "sequence") -> str:
    with pytest.raises(RefusedEvidence) as caught:
        getattr(value(data), method)()
    assert caught.value.code == Refusal.MALFORMED
    return caught.value.detail


@pytest.mark.parametrize(
    ("data", "method", "wanted"),
    [
        ("020100", "integer", 0),
        ("0201ff", "integer", -1),
        ("02020080", "integer", 128),
        ("020900ffffffffffffffff", "integer", 2**64 - 1),
        ("0a0102", "enumerated", 2),
        ("010100", "boolean", False),
        ("0101ff", "boolean", True),
        ("0400", "octets", b""),
        ("0403616263", "octets", b"abc"),
        ("0500", "null", None),
        ("3000", "sequence", ()),
    ],
)
def test_values_have_one_spelling(data, method, wanted):
    assert getattr(value(data), method)() == wanted


@pytest.mark.parametrize(
    ("data", "method", "why"),
    [
        ("3080020101" + "0000", "sequence", "indefinite"),
        ("308103020101", "sequence", "longer than it must be"),
        ("30820003020101", "sequence", "longer than it must be"),
        ("30ff", "sequence", "of 127 bytes"),
        ("3084000000", "sequence", "of 4 bytes"),
        ("3003020101" + "00", "sequence", "bytes behind"),
        ("3004020101", "sequence", "where 3 are left"),
        ("3082", "sequence", "middle of a length"),
        ("30", "sequence", "middle of a value"),
        ("", "sequence", "middle of a value"),
        ("02020001", "integer", "longer than it must be"),
        ("0202ffff", "integer", "longer than it must be"),
        ("0200", "integer", "of 0 bytes"),
        ("020a01000000000000000000", "integer", "of 10 bytes"),
        ("010101", "boolean", "neither"),
        ("01020000", "boolean", "neither"),
        ("0100", "boolean", "neither"),
        ("050100", "null", "contents"),
        ("2403040161", "octets", "expected OCTET STRING"),
        ("1003020101", "sequence", "expected SEQUENCE"),
        ("0201" + "01", "octets", "expected OCTET STRING"),
        ("8101ff", "explicit", "explicit context tag"),
        ("a100", "explicit", "0 values"),
        ("a106020101020102", "explicit", "2 values"),
        ("bf1e03020101", "explicit", "tag number"),  # 30 fits into the first byte
        ("bf808502" + "03020101", "explicit", "tag number"),  # a leading zero
        ("bfffffff7f03020101", "explicit", "tag number"),  # four bytes
        ("bf85", "explicit", "middle of a value"),
    ],
)
def test_every_other_spelling_is_refused(data, method, why):
    assert why in refused(data, method)


@pytest.mark.parametrize("number", [0, 1, 30, 31, 127, 128, 704, 724, 2**21 - 1])
def test_tag_numbers_of_every_length_are_read(number):
    found = der.read(writer.explicit(number, writer.integer(5)), "test")
    assert (found.number, found.explicit().integer()) == (number, 5)


def test_a_list_of_too_many_values_is_refused():
    full = writer.sequence(*[b"\x05\x00"] * der.MOST_ELEMENTS)
    assert len(der.read(full, "test").sequence()) == der.MOST_ELEMENTS
    with pytest.raises(RefusedEvidence, match="more than"):
        der.read(writer.sequence(*[b"\x05\x00"] * (der.MOST_ELEMENTS + 1)), "test").sequence()


def test_values_one_behind_the_other_are_split():
    parts = (writer.integer(1), writer.sequence(writer.octets(b"x" * 300)), writer.octets(b""))
    assert der.split(b"".join(parts), 3, "test") == parts
    with pytest.raises(RefusedEvidence, match="more than 2"):
        der.split(b"".join(parts), 2, "test")
    with pytest.raises(RefusedEvidence, match="middle"):
        der.split(b"".join(parts) + b"\x30", 9, "test")


@given(st.integers(0, 2**64 - 1))
def test_integers_come_back(number):
    assert der.read(writer.integer(number), "test").integer() == number


@given(st.binary(max_size=60))
@example(b"\x30\x80\x00\x00")
@example(b"\xff\xff\xff\xff\xff")
def test_anything_is_read_or_malformed(data):
    """Whatever the bytes, only RefusedEvidence(MALFORMED) comes out; what is read has exactly that spelling."""
    try:
        element = der.read(data, "test")
    except RefusedEvidence as refusal:
        assert refusal.code == Refusal.MALFORMED  # noqa: PT017 - both ways out are right
        return
    for method in READERS:
        try:
            found = getattr(element, method)()
        except RefusedEvidence as refusal:
            assert refusal.code == Refusal.MALFORMED  # noqa: PT017 - as above
        else:
            if method == "integer" and found >= 0:
                assert writer.integer(found) == data
