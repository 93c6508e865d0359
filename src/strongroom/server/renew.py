"""Renew: a longer lease for what a device holds, or the order to wipe it (docs/spec/protocol.md section 9).

When `renew` is called, HTTP has checked sizes and schema and `identify` the token and its proof; what follows is in
this order and no other: challenge used up · the lease is this device's · proof · orders · trust · entitlement ·
evidence · the risk engine, and orders again if it stopped the device · one transaction that looks at all of it again,
with the lease's new end and its audit row · answer. No key is touched.
"""

import hashlib
from dataclasses import dataclass

from strongroom.canonical import to_base64url
from strongroom.errors import Code, DeniedError, InputError, StrongroomError
from strongroom.server import attested, challenges, entitled, wipe_orders
from strongroom.server.attested import Attested
from strongroom.server.audit import Event, event
from strongroom.server.entitled import Entitled, Seen
from strongroom.server.identify import DeviceCaller, Visit, stopped, stops, token_refused
from strongroom.server.office import Office
from strongroom.server.ports import AuditEvent, OrderRow, ReleaseRow, Transaction, Version
from strongroom.server.release import facts, honey, refused
from strongroom.server.watching import judging, noticing
from strongroom.server.watching.reacting import Weighed
from strongroom.wire import lease as leases
from strongroom.wire import proofs, renewal
from strongroom.wire.binding import Binding
from strongroom.wire.messages import Latest, Lease
from strongroom.wire.renewal import Renewal, RenewAnswer, RenewRequest
from strongroom.wire.trust import check_fresh


@dataclass(frozen=True, slots=True)
class _Held:
    """A lease of this device, and what the ledger holds that bears on it."""

    row: ReleaseRow
    version: Version
    ordered: bool
    seen: Seen
    newest: Seen | None  # what the request's selector stands for, unless it is the version itself


async def renew(
    office: Office, caller: DeviceCaller, lease_id: str, request: RenewRequest, body: bytes, visit: Visit
) -> RenewAnswer:
    """Answer a device that holds a version: with the orders that wait for it, else with a new lease.

    Args:
        office: ledger, signers, policy.
        caller: the device, its token and key verified; one that is barred gets orders and nothing else.
        lease_id: from the path.
        request: the message.
        body: its bytes as received; the answer carries their SHA-256.
        visit: time, reference and URL.

    Raises:
        DeniedError: CHALLENGE, PROOF; NOT_FOUND for a lease that is not this device's or was reported wiped, a version
            that is revoked, a right that is gone; TOKEN for a barred device without orders, or one barred meanwhile.
        InputError: ARGUMENT if the device names another as itself.
        RefusedError: TRUST_EXPIRED, EVIDENCE, ATTESTATION_NEEDED; ORDER_PENDING if an order came in this moment;
            RESTRICTED for who is stopped and was ordered nothing; RATE_LIMITED.
        StoreError: DATABASE.
    """
    try:
        record = await challenges.use(office, caller, request.challenge, challenges.RENEW, visit)
        held = await _look_up(office, caller, lease_id, request.version, visit)
        binding = _check_proof(caller, request, record.model, held.version, visit)
        halted = stops(caller.device, caller.user, caller.account)
        if halted:  # perhaps with its user, and nobody has ordered anything yet
            await judging.order_stopped(office, caller.device.id, visit)
        given = await _give_orders(office, caller, held, request, body, visit) if held.ordered or halted else None
        if given is not None:
            return given
        if halted:
            raise stopped(caller.device.id)
        if caller.barred:
            raise token_refused()
        weighed, right = await _weighed(office, caller, held, request, binding, visit)
        if right is None:
            given = await _give_orders(office, caller, held, request, body, visit)
            if given is None:
                raise stopped(caller.device.id)
            return given
        await weighed.hold_back(office)  # before the last look: who is stopped while an answer waits does not get it
        answer = await _give_lease(office, caller, held, *right, request, body, weighed=weighed, visit=visit)
    except StrongroomError as error:
        await refused(office, Event.LEASE_REFUSED, caller, lease_id, error, visit, signals=request.signals)
        raise
    return answer


async def _weighed(
    office: Office, caller: DeviceCaller, held: _Held, request: RenewRequest, binding: Binding, visit: Visit
) -> tuple[Weighed, tuple[Entitled, Attested] | None]:
    """Judge right and evidence, and let the risk engine weigh them; None instead of them for who is stopped by that.

    A step-up is not asked for here: it comes with the next keys, and until then the lease is short.
    """
    model = held.version.model
    notice = noticing.of_device(office, caller, visit, request.device, request.signals, model)
    try:
        check_fresh(office.trust, visit.now)
        found = await _judge(office, caller, held, visit)
        proven = await attested.judged(office, caller.device.id, model, request.evidence, binding, visit)
    except StrongroomError as error:
        weighed = await judging.refused(office, notice, error, judging.RENEWAL)
        if weighed.restricted:
            return weighed, None
        raise
    notice = noticing.proven(notice, proven)
    decoy = held.row.twin is not None  # what is real goes, even where the next keys would be a decoy's
    weighed = await judging.judged(office, notice, judging.RENEWAL, deceivable=decoy)
    if weighed.restricted:
        return weighed, None
    await weighed.slow(office, notice)
    if weighed.attested:
        await judging.stepped_up(office, notice)
    return weighed, (found, proven)


async def _look_up(office: Office, caller: DeviceCaller, lease_id: str, selector: str, visit: Visit) -> _Held:
    """Read everything in one transaction. "Not yours" and "not there" are one answer after the same two queries."""
    async with office.ledger.begin() as tx:
        row = await tx.release_of_lease(lease_id)
        version = await tx.version_by_id(row.version_id if row else lease_id)
        if row is None or version is None or row.device != caller.device.id:
            raise _not_found(lease_id)
        ordered = bool(await tx.pending_orders(caller.device.id, version.model, now=visit.now, limit=1))
        seen = await entitled.look_up(tx, caller, version.model, version)
        newest = await _newest(tx, caller, seen, version, selector)
    return _Held(row, version, ordered, seen, newest)


async def _newest(tx: Transaction, caller: DeviceCaller, seen: Seen, version: Version, selector: str) -> Seen | None:
    standing = seen.channels.get(selector[1:]) if selector.startswith("@") else selector
    if standing in (None, version.version):
        return None
    return await entitled.look_up(tx, caller, version.model, await entitled.selected(tx, version.model, selector))


def _check_proof(
    caller: DeviceCaller, request: RenewRequest, model: str | None, version: Version, visit: Visit
) -> Binding:
    if model != version.model:
        raise DeniedError(Code.CHALLENGE, "the challenge was asked for another model")
    if request.device.id != caller.device.id:
        raise InputError(Code.ARGUMENT, "the device's id is not the one of its token", where="device.id")
    binding = Binding.renew(
        challenge=request.challenge,
        account=caller.account.id,
        device=caller.device.id,
        device_key=caller.device.thumbprint,
        platform=request.device.platform,
        model=version.model,
        version=version.version,
    )
    proofs.verify_proof(
        request.proof,
        caller.key,
        expected_binding=binding,
        expected_method=visit.method,
        expected_url=visit.url,
        expected_body=proofs.body_without_proof(request),
        expected_token=caller.token,
    )
    return binding


async def _judge(office: Office, caller: DeviceCaller, held: _Held, visit: Visit) -> Entitled:
    found = await entitled.judge(office, caller, held.seen, held.version.model, visit.now, selector=None)
    _refuse_ended(held.row, held.row.lease_id)
    return entitled.released(found, held.row.twin)


def _refuse_ended(row: ReleaseRow | None, lease_id: str) -> None:
    if row is None or row.ended is not None:  # the device said that it has this no more
        raise _not_found(lease_id)


async def _give_orders(
    office: Office, caller: DeviceCaller, held: _Held, request: RenewRequest, body: bytes, visit: Visit
) -> RenewAnswer | None:
    """Give the orders that are pending as they are written down as fetched; None if they were withdrawn meanwhile."""
    most = wipe_orders.IN_ONE_ANSWER
    async with office.ledger.begin() as tx:
        pending = await tx.pending_orders(caller.device.id, held.version.model, now=visit.now, limit=most)
        if not pending:
            return None
        signed = tuple([await wipe_orders.in_force(office, tx, one) for one in pending])
        await tx.note_fetched([one.id for one in pending], at=visit.now)
        await tx.touch_device(caller.device.id, facts=facts(request.device), seen=visit.now)
        for one in pending:
            if one.fetched is None:
                await tx.add_audit(_fetched(caller, one, visit))
    answer = _answer(office, caller, held, held.version, request, body, visit, orders=signed)
    return renewal.issue(answer, office.release_signers)


async def _give_lease(
    office: Office,
    caller: DeviceCaller,
    held: _Held,
    found: Entitled,
    proven: Attested,
    request: RenewRequest,
    body: bytes,
    *,
    weighed: Weighed,
    visit: Visit,
) -> RenewAnswer:
    newest = await _latest(office, caller, held, request.version, visit)
    lease = Lease(
        lease_id=held.row.lease_id,
        account=caller.account.id,
        device=caller.device.thumbprint,
        model=found.version.model,
        version=found.version.version,
        files=tuple(file.head for file in found.files),
        issued=visit.now,
        expires=visit.now + weighed.lease_seconds(proven.lease_seconds(office.policy.lease_seconds)),
        max_offline=office.policy.max_offline,
        request=hashlib.sha256(body).digest(),
        challenge=request.challenge,
    )
    signed = leases.issue(lease, office.release_signers)
    words = weighed.words(proven.reactions)
    answer = _answer(office, caller, held, newest, request, body, visit, lease=signed, reactions=words)
    async with office.ledger.begin() as tx:
        await wipe_orders.refuse_pending(tx, caller.device.id, found.version.model, visit.now)  # one may just have come
        await entitled.still(tx, office, caller, found, visit.now, selector=None)
        _refuse_ended(await tx.release_of_lease(held.row.lease_id), held.row.lease_id)
        await proven.advance(tx)
        await tx.extend_lease(held.row.id, lease.expires)
        await tx.touch_device(caller.device.id, facts=facts(request.device), seen=visit.now)
        await tx.add_audit(_renewed(office, caller, request, found.version, lease, proven, visit))
    return renewal.issue(answer, office.release_signers)


async def _latest(office: Office, caller: DeviceCaller, held: _Held, selector: str, visit: Visit) -> Version:
    """Return the newest version for this caller, or the one it holds: what it may not have it does not hear of."""
    if held.newest is None:
        return held.version
    model = held.version.model
    try:
        found = await entitled.judge(office, caller, held.newest, model, visit.now, selector=selector)
    except DeniedError:
        return held.version
    return found.version


def _answer(
    office: Office,
    caller: DeviceCaller,
    held: _Held,
    newest: Version,
    request: RenewRequest,
    body: bytes,
    visit: Visit,
    *,
    orders: tuple[tuple[str, ...], ...] = (),
    lease: tuple[str, ...] | None = None,
    reactions: tuple[str, ...] = (),
) -> Renewal:
    return Renewal(
        renewal_id=office.new_id("rnw"),
        request=hashlib.sha256(body).digest(),
        challenge=request.challenge,
        account=caller.account.id,
        device=caller.device.id,
        lease_id=held.row.lease_id,
        model=held.version.model,
        version=held.version.version,
        latest=Latest(newest.version, newest.counter, visit.now + office.policy.latest_seconds),
        orders=orders,
        reactions=reactions,
        server_time=visit.now,
        lease=lease,
    )


def _not_found(lease_id: str) -> DeniedError:
    return DeniedError(Code.NOT_FOUND, "there is no such lease for this device", where=lease_id)


def _fetched(caller: DeviceCaller, order: OrderRow, visit: Visit) -> AuditEvent:
    return event(
        Event.WIPE_FETCHED,
        at=visit.now,
        actor=caller.device.id,
        subject=order.id,
        version=f"{order.model}@{order.version}",
        account=caller.account.id,
        reference=visit.reference,
    )


def _renewed(
    office: Office,
    caller: DeviceCaller,
    request: RenewRequest,
    version: Version,
    lease: Lease,
    proven: Attested,
    visit: Visit,
) -> AuditEvent:
    return event(
        Event.LEASE_RENEWED,
        at=visit.now,
        actor=caller.device.id,
        subject=f"{version.model}@{version.version}",
        lease=lease.lease_id,
        expires=lease.expires,
        account=caller.account.id,
        user=caller.user.id,
        asked=request.version,
        platform=request.device.platform,
        client=request.device.client,
        fingerprint=to_base64url(request.device.fingerprint),
        reference=visit.reference,
        **honey(office, request.signals),
        **proven.facts(),
    )
