"""The binding: whatever is changed changes the digest, and nothing can be moved from field to field (R42)."""

import dataclasses
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom.errors import Code, InputError
from strongroom.wire.binding import Binding, lp

WHOLE = Binding(
    purpose="release",
    challenge=bytes(range(32)),
    kem=0x647A,
    public_key=b"public",
    account="acc_1",
    device="dev_1",
    device_key=b"k" * 32,
    platform="linux",
    model="digits",
    version="@stable",
)
FIELDS = [field.name for field in dataclasses.fields(Binding)]


def test_the_digest_is_what_the_specification_writes_out():
    written = b"strongroom/binding/v1\0"
    parts = (
        b"release",
        bytes(range(32)),
        b"\x64\x7a",
        b"public",
        b"acc_1",
        b"dev_1",
        b"k" * 32,
        b"linux",
        b"digits",
        b"@stable",
    )
    for part in parts:
        written += len(part).to_bytes(4, "big") + part
    assert WHOLE.digest() == hashlib.sha256(written).digest()
    assert WHOLE.digest().hex() == "b4951d4a15d2d0086581cd871577dddd2be13e54733024850d9620e3492c2a12"


@pytest.mark.parametrize("name", FIELDS)
def test_every_field_changes_the_digest(name):
    """B03, B04, B09: another key, KEM, account, device, model, version or challenge is another binding."""
    value = getattr(WHOLE, name)
    if isinstance(value, int):
        others = [value ^ 1, value ^ 0x8000]
    elif isinstance(value, bytes):
        others = [bytes([value[0] ^ 1]) + value[1:], value[:-1] + bytes([value[-1] ^ 0x80])]
    else:
        others = [value + "x", value[:-1], value.upper()]
    digests = {dataclasses.replace(WHOLE, **{name: other}).digest() for other in others}
    assert WHOLE.digest() not in digests
    assert len(digests) == len(others)


@given(
    st.lists(st.text("ab", max_size=3), min_size=4, max_size=4),
    st.lists(st.text("ab", max_size=3), min_size=4, max_size=4),
)
def test_no_two_bindings_share_an_encoding(one, other):
    """Without the lengths ("ab", "c") and ("a", "bc") would be one string of bytes."""
    names = ("account", "device", "model", "version")
    digests = [dataclasses.replace(WHOLE, **dict(zip(names, values, strict=True))).digest() for values in (one, other)]
    assert (digests[0] == digests[1]) == (one == other)


def test_an_enrolment_and_a_request_for_links_leave_empty_what_they_do_not_send():
    enrol = Binding.enrol(challenge=b"c" * 32, device_key=b"k" * 32, platform="linux")
    assert enrol == Binding("enrol", b"c" * 32, 0, b"", "", "", b"k" * 32, "linux", "", "")
    links = Binding.urls(challenge=b"c" * 32, account="a", device="d", device_key=b"k" * 32, model="m", version="1")
    assert links == Binding("urls", b"c" * 32, 0, b"", "a", "d", b"k" * 32, "", "m", "1")


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"model": "cafe\u0301"}, id="not NFC"),
        pytest.param({"account": "\ud800"}, id="lone surrogate"),
        pytest.param({"challenge": b"c" * 31}, id="short challenge"),
        pytest.param({"device_key": b""}, id="no device key"),
        pytest.param({"kem": 0x10000}, id="kem beyond 16 bits"),
        pytest.param({"kem": -1}, id="negative kem"),
    ],
)
def test_what_cannot_be_bound_is_refused(change):
    with pytest.raises(InputError) as caught:
        dataclasses.replace(WHOLE, **change).digest()
    assert caught.value.code == Code.ARGUMENT


def test_a_length_prefix_is_four_bytes():
    assert lp(b"") == b"\0\0\0\0"
    assert lp(b"ab") == b"\0\0\0\x02ab"
