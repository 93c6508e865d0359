"""Receipts under a root of our own: each step broken alone. Genuine ones: tests/vectors."""

import pytest

from apple_mint import APP, AT, Mint, entry, new_key, opened, root, spki, tlv
from strongroom.attest import apple_receipt
from strongroom.attest.authorities import Roots
from strongroom.attest.verdict import Refusal, RefusedEvidence

DAY = 86_400
MINT = Mint()
KEY = new_key(1)
ROOTS = Roots(stand_ins=(MINT.receipts.cert,))
CREATED = 1_793_000_000


def refusal(data: bytes, roots: Roots = ROOTS, at: int = AT) -> Refusal:
    with pytest.raises(RefusedEvidence) as refused:
        apple_receipt.verify(data, roots, at)
    return refused.value.code


def test_a_receipt_says_what_apple_signed():
    receipt = apple_receipt.verify(MINT.receipt(KEY), ROOTS, AT)
    assert receipt == apple_receipt.Receipt(
        APP, spki(KEY), b"hash", "ATTEST", "production", CREATED, None, CREATED + 90 * DAY, None
    )


def test_a_later_receipt_carries_a_risk_metric():
    fields = {6: b"RECEIPT", 17: b"3", 19: b"2026-10-27T07:33:20.123Z", 7: None}
    receipt = apple_receipt.verify(MINT.receipt(KEY, fields=fields), ROOTS, AT)
    assert (receipt.type, receipt.risk, receipt.not_before, receipt.environment) == ("RECEIPT", 3, CREATED + DAY, "")


@pytest.mark.parametrize("at", [CREATED - 301, CREATED + 90 * DAY + 1])
def test_a_receipt_is_good_from_its_creation_to_its_end(at):
    assert refusal(MINT.receipt(KEY), at=at) == Refusal.EXPIRED
    inside = {CREATED - 301: CREATED - 300, CREATED + 90 * DAY + 1: CREATED + 90 * DAY}[at]
    assert apple_receipt.verify(MINT.receipt(KEY), ROOTS, inside)


def test_the_signers_certificate_must_be_valid_too():
    assert refusal(MINT.receipt(KEY, fields={21: b"2036-01-24T07:33:20Z"}), at=AT + 301 * DAY) == Refusal.EXPIRED


def test_only_a_signer_of_receipts_below_the_pinned_root_is_believed():
    """A genuine certificate of another purpose, another root, another key, or a chain in another order."""
    assert refusal(MINT.receipt(KEY, marker=False)) == Refusal.CHAIN
    assert refusal(MINT.receipt(KEY, signer=new_key(9))) == Refusal.CHAIN
    assert refusal(MINT.receipt(KEY), Roots()) == Refusal.CHAIN
    assert refusal(MINT.receipt(KEY), Roots((MINT.root.cert,))) == Refusal.CHAIN
    assert refusal(Mint(receipts=root(number=600)).receipt(KEY)) == Refusal.CHAIN
    orders = [lambda a, b, c: (b, a, c), lambda _a, b, c: (b, c), lambda a, _b, c: (a, c), lambda *_every: ()]
    for certs in orders:
        assert refusal(MINT.receipt(KEY, certs=certs)) in {Refusal.CHAIN, Refusal.MALFORMED}
    assert apple_receipt.verify(MINT.receipt(KEY, certs=lambda a, b, _c: (a, b)), ROOTS, AT)


def test_the_signature_is_named_for_its_certificate_and_its_algorithm():
    rsa = bytes.fromhex("300d06092a864886f70d01010b0500")
    sha1 = tlv(0x30, bytes.fromhex("06052b0e03021a"), b"\x05\x00")
    assert refusal(MINT.receipt(KEY, algorithm=rsa)) == Refusal.UNSUPPORTED
    assert refusal(MINT.receipt(KEY, digest=sha1)) == Refusal.UNSUPPORTED
    assert refusal(MINT.receipt(KEY, serial=5)) == Refusal.MALFORMED
    assert refusal(MINT.receipt(KEY, name=MINT.root.cert.subject)) == Refusal.MALFORMED
    assert refusal(MINT.receipt(KEY, extra=[opened(0xA1)])) == Refusal.MALFORMED


@pytest.mark.parametrize("number", [2, 3, 4, 6, 12, 21])
def test_no_field_may_be_missing(number):
    assert refusal(MINT.receipt(KEY, fields={number: None})) == Refusal.MALFORMED


@pytest.mark.parametrize(
    "fields",
    [
        {2: b"\xff"},
        {3: b"\x30\x00"},
        {12: b"yesterday"},
        {12: b"2026-10-26T07:33:20"},
        {21: b""},
        {17: b"-3"},
        {17: b"3.5"},
        {17: b"9" * 10},
    ],
)
def test_fields_of_the_wrong_shape_are_malformed(fields):
    assert refusal(MINT.receipt(KEY, fields=fields)) == Refusal.MALFORMED


def test_a_payload_of_another_shape_is_malformed():
    odd = [tlv(0x30, tlv(2, b"\x02"), tlv(4, b"one"))]
    for bends in (
        {"twice": [entry(2, b"another app")]},
        {"entries": odd},
        {"entries": [tlv(4, b"x")]},
        {"payload": b""},
        {"payload": b"x"},
    ):
        assert refusal(MINT.receipt(KEY, **bends)) == Refusal.MALFORMED


def test_the_envelope_has_one_shape():
    """I04: cut off, followed by something, nested without end, or no CMS at all."""
    data = MINT.receipt(KEY)
    for length in range(0, len(data), 7):
        assert refusal(data[:length]) == Refusal.MALFORMED
    for wrong in (
        data + b"\0",
        b"\x30\x80" * 5000,
        b"\x30\x00",
        b"x",
        b"\x1f" * 50,
        bytes(40_000),
        b"\x30\x84\xff\xff\xff\xff",
    ):
        assert refusal(wrong) == Refusal.MALFORMED


def test_every_flipped_bit_is_refused():
    """I04: every 29th bit of a receipt, one at a time."""
    data = MINT.receipt(KEY)
    for bit in range(0, 8 * len(data), 29):
        touched = bytearray(data)
        touched[bit // 8] ^= 1 << bit % 8
        refusal(bytes(touched))
