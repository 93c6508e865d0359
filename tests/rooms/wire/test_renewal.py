"""Renewal: the answer to one request, for one lease, with a longer lease or with orders (R24, R25)."""

from dataclasses import replace

import pytest

from strongroom.errors import Code, InternalError, StrongroomError
from strongroom.signing import ED25519, SigningKey
from strongroom.wire import jws, orders, renewal
from strongroom.wire import lease as leases
from strongroom.wire.messages import Latest
from strongroom.wire.renewal import Renewal

NOW = 1_800_000_000
RELEASE, ORDER = SigningKey(ED25519, b"r" * 32), SigningKey(ED25519, b"o" * 32)
CHALLENGE, REQUEST = b"C" * 32, b"Q" * 32
DEVICE_ID = "dev_" + "d" * 22


def longer(exchange, **changes):
    return leases.issue(
        exchange.lease(**{"expires": NOW + 9000, "request": REQUEST, "challenge": CHALLENGE} | changes), (RELEASE,)
    )


def honest(exchange, **changes) -> Renewal:
    held = exchange.lease()
    whole = Renewal(
        renewal_id="ren_" + "n" * 22,
        request=REQUEST,
        challenge=CHALLENGE,
        account=held.account,
        device=DEVICE_ID,
        lease_id=held.lease_id,
        model=held.model,
        version=held.version,
        latest=Latest("1.3", 8, NOW + 100),
        orders=(),
        reactions=(),
        server_time=NOW,
        lease=longer(exchange),
    )
    return replace(whole, **changes)


def read(exchange, answer, **changes):
    held = exchange.lease()
    known = {
        "expected_request": REQUEST,
        "expected_challenge": CHALLENGE,
        "account": held.account,
        "device": DEVICE_ID,
        "device_key": held.device,
        "lease": held,
        "files": held.files,
        "at": NOW,
    }
    return renewal.read_renewal(answer, changes.pop("trust", exchange.trust), **(known | changes))


def refusal(exchange, answer, **changes) -> Code:
    with pytest.raises(StrongroomError) as caught:
        read(exchange, answer, **changes)
    return caught.value.code


def test_an_honest_renewal_brings_a_longer_lease(exchange):
    found, lease = read(exchange, renewal.issue(honest(exchange), (RELEASE,)))
    assert found == honest(exchange)
    assert lease.expires == NOW + 9000


def test_orders_come_without_a_lease_also_under_expired_trust(exchange):
    """Expired trust stops what gives, never what takes away."""
    held = exchange.lease()
    order = orders.Order(
        "ord_" + "o" * 22, held.device, held.lease_id, "digits", "1.2", exchange.files[0].file_id, NOW, NOW + 9
    )
    sent = honest(exchange, lease=None, orders=(orders.issue(order, (ORDER,)),))
    over = replace(exchange.trust, expires=NOW)
    found, lease = read(exchange, renewal.issue(sent, (RELEASE,)), trust=over)
    assert lease is None
    assert orders.read_order(found.orders[0], over, device_key=held.device, at=found.server_time) == order
    assert refusal(exchange, renewal.issue(honest(exchange), (RELEASE,)), trust=over) == Code.TRUST_EXPIRED


@pytest.mark.parametrize(
    "change",
    [
        {"request": b"x" * 32},
        {"challenge": b"x" * 32},
        {"account": "acc_" + "b" * 22},
        {"device": "dev_" + "e" * 22},
        {"lease_id": "lea_" + "m" * 22},
        {"model": "letters"},
        {"version": "1.1"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_an_answer_to_something_else_is_refused(exchange, change):
    """B02: a renewal of yesterday, of another lease or of another device."""
    answer = renewal.issue(honest(exchange, **change), (RELEASE,))
    assert refusal(exchange, answer) == Code.GRANT_MISMATCH


@pytest.mark.parametrize(
    "change",
    [
        {"device": b"x" * 32},
        {"account": "acc_" + "b" * 22},
        {"model": "letters"},
        {"version": "1.1"},
        {"files": (b"x" * 64,)},
        {"request": b"x" * 32},
        {"challenge": b"x" * 32},
        {"lease_id": "lea_" + "m" * 22},
        {"expires": NOW - 1},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_renewal_with_a_lease_for_something_else_is_refused(exchange, change):
    answer = renewal.issue(honest(exchange, lease=longer(exchange, **change)), (RELEASE,))
    assert refusal(exchange, answer) == Code.LEASE_MISMATCH


def test_only_the_release_role_renews(exchange):
    for signer in (ORDER, SigningKey(ED25519, b"x" * 32)):
        assert refusal(exchange, renewal.issue(honest(exchange), (signer,))) == Code.SIGNATURE
    as_grant = renewal.RenewAnswer(jws.sign("sr-grant", honest(exchange).to_bytes(), (RELEASE,)))
    assert refusal(exchange, as_grant) == Code.SIGNATURE


def test_what_no_device_could_read_is_not_signed(exchange):
    with pytest.raises(InternalError):
        renewal.issue(honest(exchange, renewal_id="?"), (RELEASE,))
