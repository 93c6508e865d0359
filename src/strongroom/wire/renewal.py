"""Renewing a lease: the heartbeat of a device that holds a version (docs/spec/protocol.md section 9).

The answer is signed by the release role over the device's own request and challenge. It brings a longer lease, or
orders, or both; no key comes with it.
"""

import hmac
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from strongroom.errors import Code, IntegrityError, InternalError, StrongroomError
from strongroom.names import MODEL, VERSION
from strongroom.shapes import Array, Free, Object, Text
from strongroom.signing import Signer
from strongroom.wire import jws
from strongroom.wire import lease as leases
from strongroom.wire.messages import (
    DIGEST32,
    ID,
    JWS,
    SELECTOR,
    SIGNED,
    TIME,
    Device,
    Evidence,
    Latest,
    Lease,
    Message,
    Record,
)
from strongroom.wire.orders import ORDERS
from strongroom.wire.trust import Trust, check_fresh

TYP = "sr-renewal"


@dataclass(frozen=True, slots=True)
class RenewRequest(Message):
    """`POST /v1/leases/{lease_id}/renew`: hold on to a version, and hear what the office wants."""

    challenge: bytes
    version: str  # how it was asked for: a version, or "@channel"; what `latest` is about
    device: Device
    evidence: tuple[Evidence, ...]
    signals: dict[str, str | int]
    proof: str = field(repr=False)

    SHAPE = Object(
        {
            "challenge": DIGEST32,
            "version": SELECTOR,
            "device": Record(Device),
            "evidence": Array(Record(Evidence), most=8),
            "signals": Free(32, 200),
            "proof": JWS,
        }
    )
    LIMIT = 1_048_576


@dataclass(frozen=True, slots=True)
class Renewal(Message):
    """Payload of an `sr-renewal`: the office's answer to one request to renew."""

    renewal_id: str
    request: bytes  # SHA-256 of the request body
    challenge: bytes
    account: str
    device: str
    lease_id: str  # the lease that was to be renewed
    model: str
    version: str
    latest: Latest
    orders: tuple[tuple[str, ...], ...] = field(repr=False)
    reactions: tuple[str, ...]
    server_time: int
    lease: tuple[str, ...] | None = field(default=None, repr=False)  # left out: not renewed, orders come first

    SHAPE = Object(
        {
            "renewal_id": ID,
            "request": DIGEST32,
            "challenge": DIGEST32,
            "account": ID,
            "device": ID,
            "lease_id": ID,
            "model": Text(64, MODEL),
            "version": Text(64, VERSION),
            "latest": Record(Latest),
            "orders": ORDERS,
            "reactions": Array(Text(64), most=16),
            "server_time": TIME,
            "lease": SIGNED,
        },
        frozenset({"lease"}),
    )
    LIMIT = 262_144


@dataclass(frozen=True, slots=True)
class RenewAnswer(Message):
    """The signed renewal."""

    renewal: tuple[str, ...] = field(repr=False)

    SHAPE = Object({"renewal": Array(Text(400_000, r"[A-Za-z0-9_.-]+"), most=8, least=1)})
    LIMIT = 1_048_576


def issue(renewal: Renewal, signers: Iterable[Signer]) -> RenewAnswer:
    """Sign a renewal. What a device could not read is not signed.

    Raises:
        InternalError: when the renewal is not of its own shape.
    """
    payload = renewal.to_bytes()
    try:
        Renewal.from_bytes(payload)
    except StrongroomError as error:
        raise InternalError(Code.INTERNAL, f"a renewal cannot be read back: {error.what}", where=error.where) from None
    return RenewAnswer(jws.sign(TYP, payload, signers))


def read_renewal(
    answer: RenewAnswer,
    trust: Trust,
    *,
    expected_request: bytes,
    expected_challenge: bytes,
    account: str,
    device: str,
    device_key: bytes,
    lease: Lease,
    files: Sequence[bytes],
    at: int,
) -> tuple[Renewal, Lease | None]:
    """Check an answer against the request this device made; the order of checks is that of the specification.

    `latest` is information here: renewing what is held is no update, and the next release judges it.

    Args:
        answer: as received.
        trust: the document in force.
        expected_request: SHA-256 of the request body as sent.
        expected_challenge: the challenge the request used up.
        account: this device's account.
        device: this device's identifier.
        device_key: SHA-256 of this device key's SPKI.
        lease: the lease that was to be renewed.
        files: SHA-512 of each file's head, in order.
        at: the device's time, Unix seconds.

    Returns:
        The renewal, and the new lease unless it was left out. Orders in it are for `orders.read_order`.

    Raises:
        RefusedError: TRUST_EXPIRED, unless the answer brings no lease: expired trust keeps no order back.
        IntegrityError: SIGNATURE, JSON_NOT_CANONICAL, JSON_TOO_LARGE, SHAPE, GRANT_MISMATCH, LEASE_MISMATCH.
    """
    renewal = Renewal.from_bytes(jws.verify_role(answer.renewal, TYP, trust.release, "renewal"))
    if not hmac.compare_digest(renewal.request + renewal.challenge, expected_request + expected_challenge):
        raise _mismatch(renewal, "it answers another request")
    if (renewal.account, renewal.device, renewal.lease_id) != (account, device, lease.lease_id):
        raise _mismatch(renewal, "it is for another account, device or lease")
    if (renewal.model, renewal.version) != (lease.model, lease.version):
        raise _mismatch(renewal, "it is for another model or version")
    if renewal.lease is None:
        return renewal, None
    check_fresh(trust, at)
    new = leases.read_lease(
        renewal.lease,
        trust,
        device_key=device_key,
        account=account,
        model=lease.model,
        version=lease.version,
        files=files,
        at=None,
    )
    if (new.request, new.challenge, new.lease_id) != (renewal.request, renewal.challenge, renewal.lease_id):
        raise IntegrityError(Code.LEASE_MISMATCH, "a renewal carries a lease for something else", where=renewal.model)
    return renewal, new


def _mismatch(renewal: Renewal, why: str) -> IntegrityError:
    where = f"{renewal.model}@{renewal.version}"
    return IntegrityError(Code.GRANT_MISMATCH, f"a renewal is refused: {why}", where=where)
