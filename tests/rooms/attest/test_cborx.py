"""Strict CBOR: one meaning per string of bytes."""

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom.attest import cborx
from strongroom.attest.verdict import Refusal, RefusedEvidence

TWENTY = {
    "a key twice": "a2616101616102",
    "a key twice, once written long": "a20101180102",
    "a small integer in two bytes": "1800",
    "an integer in three bytes": "190001",
    "an integer in nine bytes": "1b0000000000000001",
    "a negative integer in two bytes": "3800",
    "a long length of text": "780161",
    "a long length of bytes": "580100",
    "a long length of an array": "980101",
    "a long length of a map": "b8010101",
    "bytes of open length": "5f4100ff",
    "text of open length": "7f6161ff",
    "an array of open length": "9f01ff",
    "a map of open length": "bf0102ff",
    "a trailing byte": "0100",
    "a shared value, tag 28": "d81c80",
    "a cycle, tag 29": "d81c81d81d00",
    "a regular expression, tag 35": "d8236161",
    "a bignum, tag 2": "c249010000000000000000",
    "NaN as a key": "a1f97e0000",
}
MORE = {
    "nothing": "",
    "undefined": "f7",
    "a float": "f93c00",
    "a simple value": "f0",
    "true, written long": "f815",
    "a date, tag 0": "c074323031332d30332d32315432303a30343a30305a",
    "CBOR in CBOR, tag 24": "d8184101",
    "null as a key": "a1f600",
    "true as a key": "a1f500",
    "bytes as a key": "a1410000",
    "an array as a key": "a18000",
    "a lone break": "ff",
    "a reserved length": "1c",
    "text that is not UTF-8": "61ff",
    "a lone surrogate": "63eda080",
    "a cut head": "19",
    "a cut string": "4261",
    "a cut map": "a101",
    "2^63 - 1 bytes declared": "5b7fffffffffffffff",
    "2^63 - 1 entries declared": "9b7fffffffffffffff",
    "65 entries": "9841" + "00" * 65,
    "nested 9 deep": "81" * 9 + "00",
    "a tag inside": "a16161c101",
    "a long form inside": "82011801",
}


def refused(data: bytes) -> bool:
    with pytest.raises(RefusedEvidence) as error:
        cborx.item(data)
    return error.value.code == Refusal.MALFORMED


@pytest.mark.parametrize("case", TWENTY)
def test_the_twenty_ambiguous_encodings_are_refused(case):
    """A17: an attacker writes one object in a way that two readers read differently."""
    assert refused(bytes.fromhex(TWENTY[case]))


def test_they_are_twenty():
    assert len(TWENTY) == 20


@pytest.mark.parametrize("case", MORE)
def test_what_else_is_no_evidence_is_refused(case):
    """A17: floats, tags, odd keys, and lengths that promise more than is there."""
    assert refused(bytes.fromhex(MORE[case]))


def test_too_many_bytes_are_refused_before_they_are_read():
    """A14: a large string is refused by its size alone."""
    assert cborx.item(cbor2.dumps(bytes(cborx.MOST_BYTES - 5))) == bytes(cborx.MOST_BYTES - 5)
    assert refused(cbor2.dumps(bytes(cborx.MOST_BYTES)))


def test_genuine_shapes_are_read_whatever_the_order_of_their_keys():
    value = {"zz": [b"1", True, False, None], "a": {-3: b"y", 1: 2, 3: -7}, "": 23, "n": -(2**64), "u": 2**64 - 1}
    assert cborx.item(cbor2.dumps(value)) == value
    assert cborx.item(bytes.fromhex("a262616101616202")) == {"aa": 1, "b": 2}
    assert cborx.item(bytes.fromhex("81" * 8 + "00")) == [[[[[[[[0]]]]]]]]


def test_the_first_item_leaves_what_follows():
    assert cborx.first(b"\x01\xff\xff") == (1, b"\xff\xff")
    assert cborx.first(cbor2.dumps({1: 2})) == ({1: 2}, b"")


LEAVES = st.integers(-(2**64), 2**64 - 1) | st.binary(max_size=300) | st.text(max_size=70) | st.booleans() | st.none()
VALUES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.integers(-9, 300) | st.text(max_size=9), inner, max_size=4)
    ),
    max_leaves=12,
)


def depth(value) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + max(map(depth, inner), default=0)


@given(VALUES)
def test_whatever_is_written_in_its_one_way_is_read_back(value):
    if depth(value) > cborx.MOST_DEPTH + 1:
        assert refused(cbor2.dumps(value))
    else:
        assert cborx.item(cbor2.dumps(value)) == value


@given(st.binary(max_size=60))
def test_what_is_read_has_no_second_encoding(data):
    """I02: whatever is taken is, key order aside, exactly what the writer would write."""
    try:
        value = cborx.item(data)
    except RefusedEvidence:
        return
    assert cbor2.dumps(value) == data
