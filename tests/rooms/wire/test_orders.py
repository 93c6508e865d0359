"""Wipe orders and receipts: for one device, by the order role only, and a receipt for one order."""

from dataclasses import replace

import pytest

from strongroom import canonical
from strongroom.errors import Code, InternalError, StrongroomError
from strongroom.signing import ED25519, ES256, SigningKey
from strongroom.wire import jws, orders
from strongroom.wire.orders import Order, Receipt

NOW = 1_800_000_000
RELEASE, ORDER = SigningKey(ED25519, b"r" * 32), SigningKey(ED25519, b"o" * 32)
DEVICE = SigningKey(ES256, b"d" * 32)


@pytest.fixture
def order(exchange) -> Order:
    lease = exchange.lease()
    return Order(
        "ord_" + "o" * 22, lease.device, lease.lease_id, "digits", "1.2", exchange.files[0].file_id, NOW, NOW + 900
    )


def receipt_for(order: Order) -> Receipt:
    return Receipt(order.order_id, orders.digest(order), order.device, orders.WIPED, NOW + 5)


def refusal(call, *args, **known) -> Code:
    with pytest.raises(StrongroomError) as caught:
        call(*args, **known)
    return caught.value.code


def test_an_honest_order_is_read_to_its_last_second(exchange, order):
    signed = orders.issue(order, (ORDER,))
    for at in (NOW, NOW + 899):
        assert orders.read_order(signed, exchange.trust, device_key=order.device, at=at) == order
    for at in (NOW + 900, NOW + 10**6):
        assert refusal(orders.read_order, signed, exchange.trust, device_key=order.device, at=at) == Code.ORDER_EXPIRED


def test_trust_that_has_expired_keeps_no_order_back(exchange, order):
    over = replace(exchange.trust, expires=NOW - 1)
    assert orders.read_order(orders.issue(order, (ORDER,)), over, device_key=order.device, at=NOW) == order


def test_an_order_for_another_device_is_refused(exchange, order):
    signed = orders.issue(order, (ORDER,))
    assert refusal(orders.read_order, signed, exchange.trust, device_key=b"x" * 32, at=NOW) == Code.ORDER_MISMATCH


@pytest.mark.parametrize("signer", [RELEASE, DEVICE, SigningKey(ED25519, b"x" * 32)], ids=["release", "device", "any"])
def test_who_holds_another_key_orders_nothing(exchange, order, signer):
    """The release key, stolen, lengthens leases; it wipes nothing."""
    signed = orders.issue(order, (signer,))
    assert refusal(orders.read_order, signed, exchange.trust, device_key=order.device, at=NOW) == Code.SIGNATURE


@pytest.mark.parametrize("typ", ["sr-grant", "sr-lease", "sr-receipt", "sr-renewal"])
def test_a_signed_value_of_another_type_is_no_order(exchange, order, typ):
    signed = jws.sign(typ, order.to_bytes(), (ORDER,))
    assert refusal(orders.read_order, signed, exchange.trust, device_key=order.device, at=NOW) == Code.SIGNATURE


def test_every_field_changed_after_signing_is_refused(exchange, order):
    head, payload, signature = orders.issue(order, (ORDER,))[0].split(".")
    value = canonical.decode(canonical.from_base64url(payload), limit=100_000)
    for name, old in value.items():
        bent = canonical.encode(value | {name: old + 1 if isinstance(old, int) else old[:-1]})
        signed = (f"{head}.{canonical.to_base64url(bent)}.{signature}",)
        assert refusal(orders.read_order, signed, exchange.trust, device_key=order.device, at=NOW) == Code.SIGNATURE


def test_what_no_device_could_read_is_not_signed(order):
    with pytest.raises(InternalError):
        orders.issue(replace(order, order_id="no id"), (ORDER,))


def test_a_receipt_is_read(order):
    receipt = receipt_for(order)
    assert orders.read_receipt(orders.sign_receipt(receipt, DEVICE), DEVICE.public, order) == receipt


def test_a_receipt_by_another_key_or_for_another_order_is_refused(order):
    receipt = receipt_for(order)
    stranger = orders.sign_receipt(receipt, SigningKey(ES256, b"x" * 32))
    assert refusal(orders.read_receipt, stranger, DEVICE.public, order) == Code.RECEIPT
    text = orders.sign_receipt(receipt, DEVICE)
    for change in ({"version": "1.3"}, {"expires": NOW + 901}, {"device": b"x" * 32}, {"order_id": "ord_" + "p" * 22}):
        assert refusal(orders.read_receipt, text, DEVICE.public, replace(order, **change)) == Code.RECEIPT, change


def test_a_receipt_with_an_outcome_of_its_own_is_refused(order):
    text = orders.sign_receipt(replace(receipt_for(order), outcome="kept"), DEVICE)
    assert refusal(orders.read_receipt, text, DEVICE.public, order) == Code.RECEIPT


def test_a_receipt_does_not_print(order):
    text = orders.sign_receipt(receipt_for(order), DEVICE)
    assert text not in repr(orders.ReceiptRequest(text))
