"""Wipe orders as the office's people give them (docs/spec/protocol.md section 14).

Written down first, with its audit row, and given to the device only afterwards: what a device was told is always known.
What comes of it is the device's word, and the lease bounds what that is worth.
"""

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from strongroom import names
from strongroom.canonical import decode, encode
from strongroom.errors import Code, DeniedError, InputError, RefusedError, StrongroomError
from strongroom.server.accounts import KEEPERS, MOST_LISTED, READERS, allow
from strongroom.server.audit import Event, event
from strongroom.server.identify import Visit
from strongroom.server.office import Office
from strongroom.server.ports import Holding, Operator, OrderRow, Transaction
from strongroom.signing import Role
from strongroom.wire import jws, orders
from strongroom.wire import trust as trust_of
from strongroom.wire.orders import ORDERS, Order

IN_ONE_ANSWER = 16  # orders a renewal carries at most; a device with no lease left cannot ask for more
AT_ONCE = 200  # devices that one request gives orders to; the next request goes on behind the last one
RISK = "risk"  # stands where an operator's id does in orders that the risk engine gave
MOST_HELD = 1000  # versions of one device that are looked at

_MAX_SIGNED = 65_536  # characters of one order's JWS
_WHERE = "order"


@dataclass(frozen=True, slots=True)
class Wipe:
    """What is to be wiped: on one device, everything or what fits; or one version, wherever it is held."""

    device: str | None
    model: str | None
    version: str | None
    after: str | None  # device behind which a long list goes on


@dataclass(frozen=True, slots=True)
class Ordered:
    """The orders that are in force now; `next` if there may be further devices."""

    orders: tuple[OrderRow, ...]
    next: str | None


async def order_wipe(office: Office, operator: Operator, wanted: Wipe, visit: Visit) -> Ordered:
    """Order that versions be wiped. Saying it again is harmless: an order that is pending stays the only one.

    A device counts as holding what it was ever released and did not report wiped, whether its lease is over or not;
    of one model the 16 newest, which is more than a client keeps.

    Raises:
        DeniedError: FORBIDDEN; NOT_FOUND for a device or version that is not there, or a device that holds
            nothing of it.
        InputError: NAME; ARGUMENT if neither a device nor a version is named.
    """
    await allow(office, operator, KEEPERS, "order a wipe", visit.reference)
    _check(wanted)
    if wanted.device is not None:
        return await _on_device(office, operator, wanted.device, wanted, visit)
    return await _everywhere(office, operator, f"{wanted.model}", f"{wanted.version}", wanted.after or "", visit)


async def list_orders(office: Office, operator: Operator, after: str) -> Sequence[OrderRow]:
    """Return up to 100 orders by id, after the given id. Raises DeniedError(FORBIDDEN)."""
    await allow(office, operator, READERS, "list wipe orders")
    async with office.ledger.begin() as tx:
        return await tx.all_orders(after=after, limit=MOST_LISTED)


async def withdraw(office: Office, operator: Operator, order_id: str, visit: Visit) -> OrderRow:
    """Take an order back: it is given to nobody any more, and the model may be released to the device again.

    A device that has fetched it may carry it out all the same, and its receipt is taken. Saying it again is harmless.

    Raises:
        DeniedError: FORBIDDEN or NOT_FOUND.
        InputError: CONFLICT if the device has reported on it.
    """
    await allow(office, operator, KEEPERS, "withdraw a wipe order", visit.reference)
    async with office.ledger.begin() as tx:
        row = await tx.order(order_id)
        if row is None:
            raise DeniedError(Code.NOT_FOUND, "there is no such order", where=order_id)
        if row.reported is not None:
            raise InputError(Code.CONFLICT, "the device has reported on this order already", where=order_id)
        if row.withdrawn is None:
            await tx.note_withdrawn(order_id, at=visit.now)
            await tx.add_audit(
                event(
                    Event.WIPE_WITHDRAWN,
                    at=visit.now,
                    actor=operator.id,
                    subject=row.device,
                    order=row.id,
                    version=f"{row.model}@{row.version}",
                    reference=visit.reference,
                )
            )
            row = dataclasses.replace(row, withdrawn=visit.now)
    return row


async def refuse_pending(tx: Transaction, device: str, model: str, now: int) -> None:
    """Refuse to give out anything of a model that a device is ordered to wipe a version of.

    Raises:
        RefusedError: ORDER_PENDING.
    """
    if await tx.pending_orders(device, model, now=now, limit=1):
        step = "renew the lease: the answer brings the order"
        raise RefusedError(Code.ORDER_PENDING, "a wipe order waits for this device", where=model, next_step=step)


async def in_force(office: Office, tx: Transaction, row: OrderRow) -> tuple[str, ...]:
    """Return the JWS of an order as the trust.json in force takes it.

    An order that was signed before the role's key was replaced is signed anew, the same payload with the same id, and
    kept so.

    Raises:
        IntegrityError: SHAPE or JSON_NOT_CANONICAL, if somebody altered the row.
        StoreError: DATABASE.
    """
    signed: tuple[str, ...] = ORDERS.of.check(decode(row.signed.encode("ascii"), limit=_MAX_SIGNED), _WHERE)
    if _says(signed, row, office.trust.order):
        return signed
    # Never without a signature that once counted: who can only write to the database could order anything.
    if any(_says(signed, row, role) for role in _order_roles_before(office)):
        signed = orders.issue(Order.from_bytes(row.payload), office.order_signers)
        await tx.sign_order(row.id, signed=encode(list(signed)).decode("ascii"))
    return signed


def _says(signed: tuple[str, ...], row: OrderRow, role: Role) -> bool:
    try:
        return jws.verify_role(signed, orders.TYP, role, _WHERE) == row.payload
    except StrongroomError:
        return False


def _order_roles_before(office: Office) -> Iterator[Role]:
    """Return the order role of each trust document before the one in force, the newest first."""
    for document in reversed(office.trust_documents[:-1]):
        yield trust_of.parse(jws.unverified_payload(document[0], _WHERE)).order  # followed when the office opened


def _check(wanted: Wipe) -> None:
    if wanted.model is not None:
        names.check("model", wanted.model)
    if wanted.version is not None:
        names.check("version", wanted.version)
        if wanted.model is None:
            raise InputError(Code.ARGUMENT, "a version is one of a model: name it as well", where="model")
    if wanted.device is None and wanted.version is None:
        raise InputError(Code.ARGUMENT, "name a device, or a model and a version", where="device")


async def _on_device(office: Office, operator: Operator, device: str, wanted: Wipe, visit: Visit) -> Ordered:
    async with office.ledger.begin() as tx:
        row = await tx.device(device)
        if row is None:
            raise DeniedError(Code.NOT_FOUND, "there is no such device", where=device)
        orders = await order_device(office, tx, operator.id, wanted, device, visit)
    if not orders:
        step = f"see what it holds: strongroom device show {device}"
        raise DeniedError(Code.NOT_FOUND, "this device holds nothing of it", where=device, next_step=step)
    return Ordered(tuple(orders), None)


async def order_device(
    office: Office, tx: Transaction, by: str, wanted: Wipe, device: str, visit: Visit
) -> list[OrderRow]:
    """Order that a device wipe what fits of what it holds, in a transaction of the caller's, who has asked who may.

    Args:
        office: signs the orders.
        tx: what else follows from them is written in it as well.
        by: an operator's id, or RISK.
        wanted: what of it.
        device: its id.
        visit: time and reference.

    Returns:
        The orders in force, those that waited already among them; [] if the device holds nothing of it.

    Raises:
        StoreError: DATABASE.
    """
    held = _newest_of_each(await tx.holdings(device, limit=MOST_HELD), wanted)
    pending: dict[str, OrderRow] = {}
    for model in {one.model for one in held}:
        pending |= {order.version_id: order for order in await tx.pending_orders(device, model, now=visit.now)}
    made = await _make(office, tx, by, [one for one in held if one.version_id not in pending], visit)
    there = {order.version_id: order for order in made} | pending
    return [there[one.version_id] for one in held]


async def _everywhere(
    office: Office, operator: Operator, model: str, version: str, after: str, visit: Visit
) -> Ordered:
    async with office.ledger.begin() as tx:
        row = await tx.version(model, version)
        if row is None:
            raise DeniedError(Code.NOT_FOUND, "there is no such version", where=f"{model}@{version}")
        held = await tx.holders(row.id, now=visit.now, after=after, limit=AT_ONCE)
        made = await _make(office, tx, operator.id, held, visit)
    return Ordered(tuple(made), held[-1].device if len(held) == AT_ONCE else None)


def _newest_of_each(held: Sequence[Holding], wanted: Wipe) -> list[Holding]:
    """Return what is to go: of each model no more than one answer carries, the newest releases first."""
    found: list[Holding] = []
    for one in held:
        fits = wanted.model in (None, one.model) and wanted.version in (None, one.version)
        if fits and sum(other.model == one.model for other in found) < IN_ONE_ANSWER:
            found.append(one)
    return found


async def _make(office: Office, tx: Transaction, by: str, held: Sequence[Holding], visit: Visit) -> list[OrderRow]:
    made = []
    for one in held:
        row = _order(office, by, one, visit)
        await tx.add_order(row)
        await tx.add_audit(
            event(
                Event.WIPE_ORDERED,
                at=visit.now,
                actor=by,
                subject=row.device,
                order=row.id,
                version=f"{row.model}@{row.version}",
                expires=row.expires,
                reference=visit.reference,
            )
        )
        made.append(row)
    return made


def _order(office: Office, by: str, held: Holding, visit: Visit) -> OrderRow:
    order = Order(
        order_id=office.new_id("ord"),
        device=held.thumbprint,
        lease=held.lease,
        model=held.model,
        version=held.version,
        file_id=held.file_id,
        issued=visit.now,
        expires=visit.now + office.policy.order_seconds,
    )
    return OrderRow(
        id=order.order_id,
        device=held.device,
        model=held.model,
        version=held.version,
        version_id=held.version_id,
        payload=order.to_bytes(),
        signed=encode(list(orders.issue(order, office.order_signers))).decode("ascii"),
        issued=order.issued,
        expires=order.expires,
        operator=by,
    )
