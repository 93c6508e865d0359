"""Leases: for one device and these files, and not a second longer (B25, C19, R25)."""

import pytest

from strongroom import canonical
from strongroom.errors import Code, RefusedError, StrongroomError
from strongroom.signing import ED25519, SigningKey
from strongroom.wire import jws, lease

NOW = 1_800_000_000
RELEASE = SigningKey(ED25519, b"r" * 32)
STRANGER = SigningKey(ED25519, b"x" * 32)


def read(exchange, signed, **changes):
    known = exchange.lease()
    expected = {
        "device_key": known.device,
        "account": known.account,
        "model": known.model,
        "version": known.version,
        "files": known.files,
        "at": None,
    }
    return lease.read_lease(signed, exchange.trust, **(expected | changes))


def refusal(exchange, signed, **changes) -> Code:
    with pytest.raises(StrongroomError) as caught:
        read(exchange, signed, **changes)
    return caught.value.code


def test_an_honest_lease_is_read(exchange):
    assert read(exchange, lease.issue(exchange.lease(), (RELEASE,)), at=NOW) == exchange.lease()


@pytest.mark.parametrize(
    "change",
    [
        {"device_key": b"x" * 32},
        {"account": "acc_" + "b" * 22},
        {"model": "letters"},
        {"version": "1.1"},
        {"files": ()},
        {"files": (b"x" * 64, b"\1" * 64)},
    ],
    ids=["device key", "account", "model", "version", "no files", "other files"],
)
def test_a_lease_for_something_else_is_refused(exchange, change):
    """C11: copied to another device it is worth nothing."""
    assert refusal(exchange, lease.issue(exchange.lease(), (RELEASE,)), **change) == Code.LEASE_MISMATCH


def test_only_known_signatures_are_kept(exchange):
    signed = lease.issue(exchange.lease(), (STRANGER, RELEASE))
    assert lease.known(signed, exchange.trust) == signed[1:]
    with pytest.raises(StrongroomError) as caught:
        lease.known(("not a jws",), exchange.trust)
    assert caught.value.code == Code.SIGNATURE


def test_files_have_an_order(exchange):
    signed = lease.issue(exchange.lease(), (RELEASE,))
    assert refusal(exchange, signed, files=exchange.lease().files[::-1]) == Code.LEASE_MISMATCH


def test_every_field_changed_after_signing_is_refused(exchange):
    """B25: the end, above all."""
    head, payload, signature = lease.issue(exchange.lease(), (RELEASE,))[0].split(".")
    value = canonical.decode(canonical.from_base64url(payload), limit=100_000)
    for name, old in value.items():
        new = old + 1 if isinstance(old, int) else old[:-1]
        bent = canonical.to_base64url(canonical.encode(value | {name: new}))
        assert refusal(exchange, (f"{head}.{bent}.{signature}",)) == Code.SIGNATURE, name


@pytest.mark.parametrize("typ", ["sr-grant", "sr-order", "sr-proof"])
def test_a_signed_value_of_another_type_is_no_lease(exchange, typ):
    assert refusal(exchange, jws.sign(typ, exchange.lease().to_bytes(), (RELEASE,))) == Code.SIGNATURE


def test_a_stranger_cannot_lend(exchange):
    assert refusal(exchange, lease.issue(exchange.lease(), (STRANGER,))) == Code.SIGNATURE


def test_a_lease_that_ends_before_it_begins_is_refused(exchange):
    assert refusal(exchange, lease.issue(exchange.lease(expires=NOW - 1), (RELEASE,))) == Code.LEASE_MISMATCH


def over(held, now, **contact) -> bool:
    try:
        lease.check_open(held, now, **contact)
    except RefusedError as error:
        return error.code == Code.LEASE_EXPIRED
    return False


def test_a_lease_ends_to_the_second(exchange):
    """C19: the lease's end, and max_offline after the last contact, whichever comes first."""
    held = exchange.lease(expires=NOW + 600, max_offline=1000)
    assert (over(held, NOW + 599), over(held, NOW + 600)) == (False, True)
    held = exchange.lease(expires=NOW + 600, max_offline=300)
    assert (over(held, NOW + 299), over(held, NOW + 300)) == (False, True)
    assert (over(held, NOW + 399, last_contact=NOW + 100), over(held, NOW + 400, last_contact=NOW + 100)) == (
        False,
        True,
    )
    assert over(held, NOW + 600, last_contact=NOW + 599)
    assert over(held, NOW + 300, last_contact=NOW - 5000)
    assert refusal(exchange, lease.issue(held, (RELEASE,)), at=NOW + 300) == Code.LEASE_EXPIRED


def test_a_running_lease_outlives_the_trust_document(exchange):
    """docs/spec/protocol.md section 3: expired trust takes no new grants, running leases go on."""
    held = exchange.lease(expires=exchange.trust.expires + 500, max_offline=5000)
    at = exchange.trust.expires + 1
    assert read(exchange, lease.issue(held, (RELEASE,)), at=at) == held
