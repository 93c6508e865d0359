"""Google's revocation list: both spellings of serial numbers, and nobody passes without a list that is young enough."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom.attest import revocation
from strongroom.attest.authorities import RevocationList
from strongroom.attest.verdict import Refusal, RefusedEvidence, Trail
from strongroom.errors import Code, IntegrityError

SERIAL = 0xCC66E9A93713B6E643B26C15879786F7
DECIMAL = 6681152659205225093


def document(**entries: str) -> bytes:
    return json.dumps({"entries": {name: {"status": status} for name, status in entries.items()}}).encode()


def read(data: bytes) -> RevocationList:
    return revocation.read(data, fetched=1000, max_age=60)


def refusal(serials: list[int], revoked: RevocationList | None, at: int = 1000) -> Refusal | None:
    trail = Trail()
    try:
        revocation.check(serials, revoked, at, trail)
    except RefusedEvidence as refused:
        return refused.code
    assert trail.steps == ["revocation list"]
    return None


@pytest.mark.parametrize("status", ["REVOKED", "SUSPENDED", "SOMETHING_NEW"])
@pytest.mark.parametrize("key", [f"{SERIAL:x}", f"{SERIAL:X}", f"000{SERIAL:x}"])
def test_a_listed_serial_number_is_refused_whatever_its_status(key, status):
    listed = read(document(**{key: status}))
    assert refusal([1, SERIAL, 3], listed) == Refusal.REVOKED
    assert refusal([1, SERIAL + 1, 3], listed) is None


def test_digits_alone_may_be_decimal_or_hexadecimal_and_both_are_refused():
    listed = read(document(**{str(DECIMAL): "REVOKED"}))
    assert refusal([DECIMAL], listed) == Refusal.REVOKED
    assert refusal([int(str(DECIMAL), 16)], listed) == Refusal.REVOKED


@pytest.mark.parametrize(
    ("revoked", "at", "wanted"),
    [
        (None, 1000, Refusal.STALE_REVOCATION_LIST),
        (RevocationList({}, 1000, 60), 1060, None),
        (RevocationList({}, 1000, 60), 1061, Refusal.STALE_REVOCATION_LIST),
        (RevocationList({"5": "REVOKED"}, 1000, 60), 1061, Refusal.STALE_REVOCATION_LIST),
    ],
)
def test_without_a_list_that_is_young_enough_nobody_passes(revoked, at, wanted):
    assert refusal([7], revoked, at) == wanted


def test_a_list_may_say_itself_when_it_was_fetched():
    assert read(b'{"entries": {}, "fetched": 77}').fetched == 77
    assert read(b'{"entries": {}}').fetched == 1000


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"{}",
        b'{"entries": []}',
        b'{"entries": {"zz": {"status": "REVOKED"}}}',
        b'{"entries": {"": {"status": "REVOKED"}}}',
        b'{"entries": {"0x5": {"status": "REVOKED"}}}',
        b'{"entries": {"5": {"reason": "KEY_COMPROMISE"}}}',
        b'{"entries": {"5": "REVOKED"}}',
        b'{"entries": {"5": {"status": "REVOKED"}, "5": {"status": "REVOKED"}}}',
        b'{"entries": {}, "fetched": "now"}',
        b'{"entries": {}, "fetched": true}',
        b'{"entries": {}, "fetched": 1.5}',
        b'{"entries": {}, "fetched": -1}',
        b'{"entries": {}, "fetched": 1795428000000}',  # milliseconds: it would never grow old
        b'{"entries": {}, "fetched": NaN}',
        b'{"entries": ' + b"[" * 100_000,
        b'{"entries": {"' + b"5" * 5000 + b'": {"status": "REVOKED"}}}',
        b'{"entries": {}, "fetched": ' + b"9" * 5000 + b"}",
        b'{"entries": {"\xff": {"status": "REVOKED"}}}',
    ],
)
def test_another_document_is_refused(data):
    with pytest.raises(IntegrityError) as caught:
        read(data)
    assert caught.value.code == Code.SHAPE


def test_a_document_that_is_too_large_is_not_parsed(monkeypatch):
    monkeypatch.setattr(revocation, "MAX_LIST", 20)
    with pytest.raises(IntegrityError, match="at most 20"):
        read(document(**{"5": "REVOKED"}))


@given(st.binary(max_size=200))
def test_anything_is_a_list_or_an_error_of_ours(data):
    try:
        read(b'{"entries": {' + data + b"}}")
    except IntegrityError as error:
        assert error.code == Code.SHAPE  # noqa: PT017 - both ways out are right
