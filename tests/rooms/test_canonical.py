"""Canonical JSON: one spelling of each value, everything else refused, quickly (E14; sealed-file.md section 3)."""

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom import canonical
from strongroom.errors import Code, IntegrityError, InternalError

KEYS = st.from_regex(r"[a-z][a-z0-9_]{0,10}", fullmatch=True)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
SCALARS = st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | TEXTS
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4), max_leaves=12
)


def depth(value: object) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return max(map(depth, inner), default=0) + isinstance(value, (dict, list))


def refused(data: bytes, limit: int = 1000) -> Code:
    with pytest.raises(IntegrityError) as caught:
        canonical.decode(data, limit=limit)
    return caught.value.code


@given(VALUES.filter(lambda value: depth(value) <= 8))
def test_values_come_back(value):
    data = canonical.encode(value)
    assert data.isascii()
    assert canonical.decode(data, limit=len(data)) == value
    assert json.loads(data) == value


@given(VALUES.filter(lambda value: depth(value) <= 8), st.data())
def test_a_changed_byte_is_refused_or_another_value(value, data):
    good = canonical.encode(value)
    at = data.draw(st.integers(0, len(good) - 1))
    bent = good[:at] + bytes([data.draw(st.integers(0, 255))]) + good[at + 1 :]
    try:
        read = canonical.decode(bent, limit=len(bent))
    except IntegrityError:
        return
    assert canonical.encode(read) == bent


@given(st.binary(max_size=40) | st.text('{}[],:"\\u0019eE+-.tfn', max_size=20).map(lambda text: text.encode("ascii")))
def test_any_bytes_are_refused_or_canonical(data):
    try:
        value = canonical.decode(data, limit=1000)
    except IntegrityError as error:
        caught = error.code
    else:
        caught = None
        assert canonical.encode(value) == data
    assert caught in {None, Code.JSON_NOT_CANONICAL}


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b" 1", id="space before"),
        pytest.param(b"1\n", id="line end behind"),
        pytest.param(b'{"b":1,"a":2}', id="keys out of order"),
        pytest.param(b'{"a":1,"a":1}', id="key twice"),
        pytest.param(b'{"a": 1}', id="space inside"),
        pytest.param(b'{"A":1}', id="capital key"),
        pytest.param(b'{"1":1}', id="key like a number"),
        pytest.param(b'{"":1}', id="empty key"),
        pytest.param(b'{"' + b"a" * 65 + b'":1}', id="long key"),
        pytest.param(b'{"a\\u0062":1}', id="escaped key"),
        pytest.param(b"1.5", id="fraction"),
        pytest.param(b"1.0", id="zero fraction"),
        pytest.param(b"1e3", id="exponent"),
        pytest.param(b"1e400", id="infinite"),
        pytest.param(b"-0", id="minus zero"),
        pytest.param(b"01", id="leading zero"),
        pytest.param(b"+1", id="plus"),
        pytest.param(b"9007199254740992", id="2^53"),
        pytest.param(b"-9007199254740992", id="-2^53"),
        pytest.param(b"9" * 900, id="900 digits"),
        pytest.param(b"NaN", id="NaN"),
        pytest.param(b"Infinity", id="Infinity"),
        pytest.param(b"-Infinity", id="-Infinity"),
        pytest.param(b'"\x7f"', id="raw DEL"),
        pytest.param(b'"\x1f"', id="raw control"),
        pytest.param(b'"\xc3\xa9"', id="raw UTF-8"),
        pytest.param(b'"\\u00E9"', id="capital hex"),
        pytest.param(b'"\\u0041"', id="needless escape"),
        pytest.param(b'"\\u000a"', id="long form of a short escape"),
        pytest.param(b'"\\/"', id="escaped slash"),
        pytest.param(b'"\\ud800"', id="lone high surrogate"),
        pytest.param(b'"\\udc00"', id="lone low surrogate"),
        pytest.param(b'"\\udc00\\ud800"', id="surrogates turned round"),
        pytest.param(b'"\\ud83d\\uDE00"', id="surrogates in capitals"),
        pytest.param(b"\xef\xbb\xbf1", id="byte order mark"),
        pytest.param(b'\xff\xfe"\x00a\x00"\x00', id="UTF-16"),
        pytest.param(b"[1,]", id="comma at the end"),
        pytest.param(b"[1]]", id="bracket too many"),
        pytest.param(b"[1", id="bracket too few"),
        pytest.param(b'"abc', id="string without end"),
        pytest.param(b"1 2", id="two values"),
        pytest.param(b"[" * 9 + b"]" * 9, id="nine deep"),
        pytest.param(b"//x", id="comment"),
        pytest.param(b"TRUE", id="capital true"),
        pytest.param(b"'a'", id="single quotes"),
    ],
)
def test_other_spellings_are_refused(data):
    assert refused(data) == Code.JSON_NOT_CANONICAL


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b'"\\u00e9\\ud83d\\ude00\\u007f/\\b\\f\\n\\r\\t\\"\\\\"', 'é😀\x7f/\b\f\n\r\t"\\'),
        (b'{"a":[],"a_1":{},"b":null}', {"a": [], "a_1": {}, "b": None}),
        (b"-9007199254740991", -(2**53) + 1),
        (b"[" * 8 + b"]" * 8, [[[[[[[[]]]]]]]]),
        (b'"[[[[[[[[[[[["', "[" * 12),
    ],
    ids=["escapes", "keys", "least integer", "eight deep", "brackets in a string"],
)
def test_the_one_spelling_is_read(data, value):
    assert canonical.decode(data, limit=1000) == value
    assert canonical.encode(value) == data


def test_true_is_no_number():
    assert canonical.encode([True, 1]) == b"[true,1]"


def test_the_size_is_checked_first():
    assert refused(b"[" * 11, limit=10) == Code.JSON_TOO_LARGE
    assert canonical.decode(b'"12345678"', limit=10) == "12345678"


@pytest.mark.parametrize(
    "data",
    [b"[" * 10**6, b'{"a":' * 10**5, b"9" * 10**6, b'"' + b"\\" * 10**6, b'"' + b"a" * 10**6, b"[" + b"0," * 10**5],
    ids=["brackets", "objects", "digits", "backslashes", "open string", "items"],
)
def test_hostile_input_is_refused_quickly(data):
    """E14: the bound is loose, since the machine may be busy; quadratic work would take minutes."""
    start = time.process_time()
    assert refused(data, limit=10**7) == Code.JSON_NOT_CANONICAL
    assert time.process_time() - start < 2


@pytest.mark.parametrize(
    "value", [1.5, {"A": 1}, "\ud800", 2**53, b"x", [[[[[[[[[1]]]]]]]]], {"a": float("nan")}], ids=repr
)
def test_what_has_no_spelling_is_our_mistake(value):
    with pytest.raises(InternalError):
        canonical.encode(value)


@given(st.binary(max_size=200))
def test_binary_comes_back(data):
    text = canonical.to_base64url(data)
    assert "=" not in text
    assert canonical.from_base64url(text) == data


@pytest.mark.parametrize("text", ["A", "AB", "AAA=", "A+8A", "A/8A", "AA A", "AA\n", "é", "AAAAA", "//8", "AAB"])
def test_other_base64_is_refused(text):
    with pytest.raises(IntegrityError) as caught:
        canonical.from_base64url(text)
    assert caught.value.code == Code.JSON_NOT_CANONICAL


@pytest.mark.parametrize("piece", [b"{}", b"[]", b"0", b'"ab"', b'{"a":0}'])
def test_a_number_of_values_that_would_fill_the_memory(piece):
    """E10: 8 MiB of `{}` would be gigabytes of objects; they are counted before any is made."""
    data = b"[" + b",".join([piece] * 1_000_001) + b"]"
    with pytest.raises(IntegrityError) as caught:
        canonical.decode(data, limit=len(data))
    assert caught.value.code == Code.JSON_TOO_LARGE


def test_the_largest_table_of_contents_is_read():
    files = [{"path": f"{number:x}", "sha256": "", "size": number} for number in range(65_536)]
    data = canonical.encode({"files": files, "overlayable": [one["path"] for one in files]})
    assert len(canonical.decode(data, limit=len(data))["files"]) == 65_536
