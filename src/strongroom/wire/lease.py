"""Leases: how long a device may open a version without asking again (docs/spec/protocol.md section 9).

A lease is bound to one device key and to the heads of the files it is for. Its signature must hold under the release
role of the trust document in force, but not the document's expiry: running leases go on when trust has expired.
"""

from collections.abc import Iterable, Sequence

from strongroom.errors import Code, IntegrityError, RefusedError
from strongroom.signing import Signer
from strongroom.wire import jws
from strongroom.wire.messages import Lease
from strongroom.wire.trust import Trust

TYP = "sr-lease"


def issue(lease: Lease, signers: Iterable[Signer]) -> tuple[str, ...]:
    """Sign a lease for the grant that carries it."""
    return jws.sign(TYP, lease.to_bytes(), signers)


def read_lease(
    jwss: Sequence[str],
    trust: Trust,
    *,
    device_key: bytes,
    account: str,
    model: str,
    version: str,
    files: Sequence[bytes],
    at: int | None,
) -> Lease:
    """Check a lease against what the device knows of itself and of the files it wants to open.

    Args:
        jwss: the lease as the grant carried it or the store kept it.
        trust: the document in force; its expiry does not matter here.
        device_key: SHA-256 of this device key's SPKI.
        account: this device's account.
        model: model name.
        version: exact version.
        files: SHA-512 of each file's head, in order.
        at: the device's time in Unix seconds, to check that the lease still runs; None to leave that to `check_open`.

    Raises:
        IntegrityError: SIGNATURE, JSON_NOT_CANONICAL, SHAPE, LEASE_MISMATCH.
        RefusedError: LEASE_EXPIRED.
    """
    lease = read_signed(jwss, trust)
    found = (lease.device, lease.account, lease.model, lease.version, lease.files)
    if found != (device_key, account, model, version, tuple(files)):
        step = "pull the model again on this device"
        raise IntegrityError(
            Code.LEASE_MISMATCH, "a lease is not for this device and these files", where=model, next_step=step
        )
    if at is not None:
        check_open(lease, at)
    return lease


def read_signed(jwss: Sequence[str], trust: Trust) -> Lease:
    """Check the signatures of a lease and its shape, and nothing of what it says.

    Raises:
        IntegrityError: SIGNATURE, JSON_NOT_CANONICAL, SHAPE, LEASE_MISMATCH.
    """
    lease = Lease.from_bytes(jws.verify_role(jwss, TYP, trust.release, "lease"))
    if lease.expires < lease.issued:
        raise IntegrityError(Code.LEASE_MISMATCH, "a lease ends before it begins", where=lease.model)
    return lease


def known(jwss: Sequence[str], trust: Trust) -> tuple[str, ...]:
    """Return the signatures of a lease that name keys of the release role: the others prove nothing and may be large.

    Raises:
        IntegrityError: SIGNATURE, if one is no JWS.
    """
    return jws.by_role(jwss, TYP, trust.release, "lease")


def offline_until(lease: Lease, *, last_contact: int | None = None) -> int:
    """Return the first second at which a lease does not open any more. Arguments as `check_open`."""
    contact = lease.issued if last_contact is None else max(lease.issued, last_contact)
    return min(lease.expires, contact + lease.max_offline)


def check_open(lease: Lease, now: int, *, last_contact: int | None = None) -> None:
    """Refuse to open under a lease that is over.

    Args:
        lease: a lease that `read_lease` returned.
        now: the device's time in Unix seconds, as its clock rules give it.
        last_contact: server time of the last signed answer to a fresh challenge; by default when the lease was issued.

    Raises:
        RefusedError: LEASE_EXPIRED, at `expires` or `max_offline` seconds after the last contact.
    """
    if now >= offline_until(lease, last_contact=last_contact):
        what = f"the lease for {lease.model} {lease.version} is over"
        raise RefusedError(Code.LEASE_EXPIRED, what, where=lease.model, next_step="connect and pull the model again")
