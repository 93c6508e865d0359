"""An operator forgives: a device or user that the risk engine stopped is let in again, and what it thought is gone.

Orders that the engine gave and that no device has fetched are withdrawn. One that was fetched may be carried out all
the same; then the model is pulled again. Alerts are one an hour: what follows a restore is told anew, since the first
thing that a forgiven device does says whether it was a false alarm.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from strongroom import canonical
from strongroom.canonical import JsonValue
from strongroom.errors import Code, DeniedError, InputError
from strongroom.risk import engine
from strongroom.risk.entities import Entity, Kind
from strongroom.risk.rules import Rules
from strongroom.risk.state import KeyState, State, UserState
from strongroom.server.accounts import allow
from strongroom.server.alerts.alert import HOUR
from strongroom.server.audit import Event, event
from strongroom.server.devices import BLOCKED
from strongroom.server.identify import ACTIVE, STOPPED, Visit
from strongroom.server.office import Office
from strongroom.server.ports import AuditEvent, DeviceRow, Operator, OrderRow, Transaction, User
from strongroom.server.watch_ports import AppealRow
from strongroom.server.watching.deciding import HIGH, NONE, named
from strongroom.server.watching.snoozing import WATCHERS, check_why
from strongroom.server.wipe_orders import MOST_HELD, RISK

DEVICE, USER = "device", "user"
RESTORED, UPHELD = "restored", "upheld"
MOST_DEVICES = 200  # of one user that are restored with it
MOST_APPEALS = 1000  # that are looked at

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Restored:
    """Who is let in again, the orders withdrawn for it, and the appeals that are closed with it."""

    kind: str
    id: str
    state: str
    withdrawn: tuple[str, ...]
    appeals: tuple[str, ...]

    def to_value(self) -> dict[str, JsonValue]:
        """Return JSON terms."""
        return {
            "kind": self.kind,
            "id": self.id,
            "state": self.state,
            "withdrawn": [*self.withdrawn],
            "appeals": [*self.appeals],
        }


async def restore(office: Office, operator: Operator, kind: str, name: str, why: str, visit: Visit) -> Restored:
    """Let a device, or a user with every device of it that the engine stopped, in again. Saying it again is harmless.

    Args:
        office: its ledger.
        operator: who says so.
        kind: DEVICE or USER.
        name: id of the device; id or name of the user.
        why: a reason, for the audit log.
        visit: time and reference.

    Raises:
        DeniedError: FORBIDDEN or NOT_FOUND.
        InputError: ARGUMENT; CONFLICT for a device that an operator has blocked.
    """
    await allow(office, operator, WATCHERS, f"restore a {kind[:10]}", visit.reference)
    check_why(why)
    if kind not in (DEVICE, USER):
        raise InputError(Code.ARGUMENT, "neither a device nor a user", where="kind")
    rules = office.watch.rules
    async with office.ledger.begin() as tx:
        if kind == DEVICE:
            row = await tx.device(name) if name.isprintable() else None
            if row is None:
                raise DeniedError(Code.NOT_FOUND, "there is no such device", where=name[:80])
            return await restore_device(tx, rules, operator, row, why, visit)
        user = await tx.user(name) if name.isprintable() else None
        if user is None:
            raise DeniedError(Code.NOT_FOUND, "there is no such user", where=name[:80])
        return await restore_user(tx, rules, operator, user, why, visit)


async def restore_device(
    tx: Transaction, rules: Rules, operator: Operator, row: DeviceRow, why: str, visit: Visit
) -> Restored:
    """Restore one device in a transaction of the caller's. Raises InputError(CONFLICT) for a blocked one."""
    if row.state == BLOCKED:
        step = f"strongroom device unblock {row.id}"
        raise InputError(Code.CONFLICT, "an operator has blocked this device", where=row.id, next_step=step)
    thumbprint = canonical.to_base64url(row.thumbprint)
    await _forgive(tx, rules, Entity(Kind.KEY, thumbprint), visit)
    await tx.end_alert_hours([row.id, thumbprint], since=visit.now - HOUR)
    if row.state == STOPPED:
        await tx.set_device_state(row.id, ACTIVE)
    withdrawn = [one.id for one in await _withdraw(tx, operator, row.id, visit)]
    closed = await _close(tx, operator, row.id, RESTORED, visit)
    await tx.add_audit(_restored(operator, DEVICE, row.id, why, withdrawn, visit))
    return Restored(DEVICE, row.id, ACTIVE, tuple(withdrawn), tuple(one.id for one in closed))


async def restore_user(
    tx: Transaction, rules: Rules, operator: Operator, user: User, why: str, visit: Visit, *, guilty: bool = True
) -> Restored:
    """Restore a user and its stopped devices in a transaction of the caller's.

    Args:
        tx: the transaction.
        rules: in force.
        operator: who says so.
        user: whom.
        why: a reason.
        visit: time and reference.
        guilty: those too that were stopped for what they did themselves, and not with the user.
    """
    withdrawn: list[str] = []
    closed: list[str] = []
    for row in await tx.devices_of(user, state=STOPPED, limit=MOST_DEVICES):
        if not guilty and await _guilty(tx, row):
            continue
        done = await restore_device(tx, rules, operator, row, why, visit)
        withdrawn += done.withdrawn
        closed += done.appeals
    active = await tx.devices_of(user, state=ACTIVE, limit=MOST_DEVICES)
    for row in active:  # stopped with the user, and never itself
        withdrawn += [one.id for one in await _withdraw(tx, operator, row.id, visit)]
        closed += [one.id for one in await _close(tx, operator, row.id, RESTORED, visit)]
    await _forgive(tx, rules, Entity(Kind.USER, user.id), visit)
    await tx.end_alert_hours([user.id, *(row.id for row in active)], since=visit.now - HOUR)
    if user.state == STOPPED:
        await tx.set_user_state(user.id, ACTIVE)
    await tx.add_audit(_restored(operator, USER, user.id, why, withdrawn, visit))
    return Restored(USER, user.id, ACTIVE, tuple(withdrawn), tuple(closed))


async def _guilty(tx: Transaction, row: DeviceRow) -> bool:
    entity = Entity(Kind.KEY, canonical.to_base64url(row.thumbprint))
    return any(one.band >= HIGH for one in await tx.risk_states([entity.row()]))


async def _close(tx: Transaction, operator: Operator, device: str, outcome: str, visit: Visit) -> list[AppealRow]:
    waiting = await tx.appeals(waiting=True, limit=MOST_APPEALS)
    mine = [one for one in waiting if one.device == device]
    for one in mine:
        await close(tx, operator, one, outcome, visit)
    return mine


async def close(
    tx: Transaction, operator: Operator, row: AppealRow, outcome: str, visit: Visit, why: str = ""
) -> AppealRow:
    """Close an appeal in a transaction of the caller's."""
    await tx.close_appeal(row.id, at=visit.now, outcome=outcome, operator=operator.id)
    told = {"appeal": row.id, "outcome": outcome, "why": why, "reference": visit.reference}
    name = Event.APPEAL_DECIDED
    await tx.add_audit(event(name, at=visit.now, actor=operator.id, subject=row.device, **told))
    return dataclasses.replace(row, closed=visit.now, outcome=outcome, operator=operator.id)


async def _forgive(tx: Transaction, rules: Rules, entity: Entity, visit: Visit) -> None:
    """Let the engine forget what it holds against an entity."""
    for row in await tx.risk_states([entity.row()]):
        try:
            states = {entity: State.unpack(row.state)}
            engine.restore(rules, entity, visit.now, states)
            state = states[entity].pack()
        except Exception as error:  # noqa: BLE001 - who is forgiven must not depend on an engine that was wrong
            _log.error("a risk state cannot be read: it begins anew", entity=str(entity), error=named(error))
            minutes = visit.now // 60
            fresh = KeyState(minutes, minutes) if entity.kind == Kind.KEY else UserState(minutes, minutes)
            state = fresh.pack()
        await tx.keep_risk_states([dataclasses.replace(row, band=NONE, moved=visit.now, state=state)])


async def _withdraw(tx: Transaction, operator: Operator, device: str, visit: Visit) -> Sequence[OrderRow]:
    orders = await tx.orders(device, limit=MOST_HELD)
    mine = [one for one in orders if one.operator == RISK and _waits(one, visit.now)]
    for one in mine:
        await tx.note_withdrawn(one.id, at=visit.now)
        told = {"order": one.id, "version": f"{one.model}@{one.version}", "reference": visit.reference}
        name = Event.WIPE_WITHDRAWN
        await tx.add_audit(event(name, at=visit.now, actor=operator.id, subject=one.device, **told))
    return mine


def _waits(row: OrderRow, now: int) -> bool:
    return row.fetched is None and row.reported is None and row.withdrawn is None and now < row.expires


def _restored(operator: Operator, kind: str, id_: str, why: str, withdrawn: Sequence[str], visit: Visit) -> AuditEvent:
    return event(
        Event.RISK_RESTORED,
        at=visit.now,
        actor=operator.id,
        subject=id_,
        kind=kind,
        why=why,
        withdrawn=len(withdrawn),
        reference=visit.reference,
    )
