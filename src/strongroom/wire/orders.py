"""Wipe orders and their receipts (docs/spec/protocol.md section 14).

An order is signed by the order role, names one file on one device, and is applied once. A receipt is signed by the
device over the order's hash: its word that key and files are gone, and no proof of it.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from strongroom.errors import Code, InputError, IntegrityError, InternalError, RefusedError, StrongroomError
from strongroom.names import MODEL, VERSION
from strongroom.shapes import Array, Choice, Object, Text
from strongroom.signing import PublicKey, Signer
from strongroom.wire import jws
from strongroom.wire.messages import DIGEST32, ID, JWS, SIGNED, TIME, Message
from strongroom.wire.trust import Trust

TYP, RECEIPT_TYP = "sr-order", "sr-receipt"
WIPED, ABSENT = "wiped", "absent"
ORDERS = Array(SIGNED, most=16)  # as an answer carries them: each the JWS of one order


@dataclass(frozen=True, slots=True)
class Order(Message):
    """Payload of an `sr-order`: destroy one version on one device."""

    order_id: str
    device: bytes  # SHA-256 of the device key's SPKI
    lease: str  # the newest lease the office knows of; information only
    model: str
    version: str
    file_id: bytes  # of the version's first file, as published
    issued: int
    expires: int

    SHAPE = Object(
        {
            "order_id": ID,
            "device": DIGEST32,
            "lease": ID,
            "model": Text(64, MODEL),
            "version": Text(64, VERSION),
            "file_id": DIGEST32,
            "issued": TIME,
            "expires": TIME,
        }
    )


@dataclass(frozen=True, slots=True)
class Receipt(Message):
    """Payload of an `sr-receipt`: the device's word that an order was carried out."""

    order_id: str
    order: bytes  # SHA-256 of the order's payload
    device: bytes
    outcome: str  # wiped, or absent: it was not there
    at: int  # the device's time

    SHAPE = Object(
        {
            "order_id": ID,
            "order": DIGEST32,
            "device": DIGEST32,
            "outcome": Choice((WIPED, ABSENT)),
            "at": TIME,
        }
    )


@dataclass(frozen=True, slots=True)
class ReceiptRequest(Message):
    """`POST /v1/orders/{order_id}/receipt`: hand in a receipt; the same one again changes nothing."""

    receipt: str = field(repr=False)

    SHAPE = Object({"receipt": JWS})


@dataclass(frozen=True, slots=True)
class ReceiptAnswer(Message):
    """The receipt is written down."""

    order_id: str
    server_time: int

    SHAPE = Object({"order_id": ID, "server_time": TIME})


def issue(order: Order, signers: Iterable[Signer]) -> tuple[str, ...]:
    """Sign an order. What a device could not read is not signed.

    Raises:
        InternalError: when the order is not of its own shape.
    """
    payload = order.to_bytes()
    try:
        Order.from_bytes(payload)
    except StrongroomError as error:
        raise InternalError(Code.INTERNAL, f"an order cannot be read back: {error.what}", where=error.where) from None
    return jws.sign(TYP, payload, signers)


def read_order(jwss: Sequence[str], trust: Trust, *, device_key: bytes, at: int) -> Order:
    """Check an order against what the device knows of itself. Whether it was applied before is the store's to know.

    Args:
        jwss: the order, one JWS a key.
        trust: the document in force; that it has expired does not matter: who may order wiping is not who may grant.
        device_key: SHA-256 of this device key's SPKI.
        at: the time of the signed answer that brought it, Unix seconds.

    Raises:
        IntegrityError: SIGNATURE, JSON_NOT_CANONICAL, SHAPE; ORDER_MISMATCH for another device.
        RefusedError: ORDER_EXPIRED.
    """
    order = Order.from_bytes(jws.verify_role(jwss, TYP, trust.order, "order"))
    if order.device != device_key:
        raise IntegrityError(Code.ORDER_MISMATCH, "a wipe order is for another device", where=order.model)
    if at >= order.expires:
        raise RefusedError(Code.ORDER_EXPIRED, "a wipe order is over", where=order.model)
    return order


def digest(order: Order) -> bytes:
    """Return what a receipt names an order by: SHA-256 of its payload."""
    return hashlib.sha256(order.to_bytes()).digest()


def sign_receipt(receipt: Receipt, signer: Signer) -> str:
    """Sign a receipt with the device key."""
    return jws.sign(RECEIPT_TYP, receipt.to_bytes(), (signer,))[0]


def read_receipt(text: str, key: PublicKey, order: Order) -> Receipt:
    """Check a receipt against the order it is for.

    Args:
        text: the JWS as received.
        key: the device key from the office's record.
        order: as it was signed.

    Raises:
        InputError: RECEIPT, whatever is wrong with it.
    """
    try:
        receipt = Receipt.from_bytes(jws.verify_key(text, RECEIPT_TYP, key, "receipt"))
    except IntegrityError:
        raise InputError(Code.RECEIPT, "a receipt is not what this device signed", where="receipt") from None
    if (receipt.order_id, receipt.order, receipt.device) != (order.order_id, digest(order), order.device):
        raise InputError(Code.RECEIPT, "a receipt is for another order", where="receipt")
    return receipt
