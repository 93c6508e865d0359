"""Appeals: a stopped device says why it should be let in again, and a person decides."""

from collections.abc import Sequence

from strongroom.errors import Code, DeniedError, InputError, RefusedError
from strongroom.server.accounts import READERS, allow
from strongroom.server.alerts.alert import Alert, new_alert
from strongroom.server.audit import Event, event
from strongroom.server.identify import STOPPED, DeviceCaller, Visit
from strongroom.server.office import Office
from strongroom.server.ports import Operator
from strongroom.server.watch_ports import AlertRow, AppealRow
from strongroom.server.watching.restoring import RESTORED, UPHELD, close, restore_device, restore_user
from strongroom.server.watching.snoozing import WATCHERS, check_why
from strongroom.wire.appeal import AppealAnswer, AppealRequest

A_DAY = 3  # appeals of one device
MOST_LISTED = 100
NEXT = "strongroom risk appeals"  # where people read what the alert leaves out

_DAY = 86_400


async def appeal(office: Office, caller: DeviceCaller, request: AppealRequest, visit: Visit) -> AppealAnswer:
    """Write an appeal down for a person to decide, and tell somebody, once an hour for a device.

    It changes nothing by itself. The alert names device, user and appeal and leads to the command that lists appeals;
    nothing that the appellant wrote is in it, neither the text nor the reference: a stranger's words would reach a
    webhook, a pager and a log, and whatever these make of them.

    Raises:
        InputError: CONFLICT for a device that is not stopped.
        RefusedError: RATE_LIMITED for the fourth within a day.
    """
    if STOPPED not in (caller.device.state, caller.user.state):
        raise InputError(Code.CONFLICT, "this device is not stopped", where=caller.device.id)
    if not await _ration(office, caller.device.id, visit.now):
        step = "wait for the first ones to be read"
        raise RefusedError(Code.RATE_LIMITED, f"{A_DAY} appeals a day are read", where=caller.device.id, next_step=step)
    id_ = office.new_id("apl")
    row = AppealRow(id_, caller.device.id, caller.user.id, request.reference, request.text, visit.now)
    async with office.ledger.begin() as tx:
        await tx.add_appeal(row)
        told = {"appeal": row.id, "about": request.reference, "reference": visit.reference}
        name = Event.APPEAL_MADE
        await tx.add_audit(event(name, at=visit.now, actor=caller.device.id, subject=caller.device.id, **told))
        await tx.add_alert(_alert(office, row, visit))
    return AppealAnswer(row.id, visit.now)


async def appeals(office: Office, operator: Operator, visit: Visit, *, waiting: bool = True) -> Sequence[AppealRow]:
    """Return up to 100 appeals, the oldest first. Raises DeniedError(FORBIDDEN)."""
    await allow(office, operator, READERS, "list appeals", visit.reference)
    async with office.ledger.begin() as tx:
        return await tx.appeals(waiting=waiting, limit=MOST_LISTED)


async def decide_appeal(
    office: Office,
    operator: Operator,
    id_: str,
    *,
    restored: bool,
    why: str,
    visit: Visit,
) -> AppealRow:
    """Let the device in again, and its user if that is stopped as well; or say that it stays as it is.

    Other devices of the user that are stopped for what they did themselves stay so: one of them may be a thief's.

    Raises:
        DeniedError: FORBIDDEN or NOT_FOUND.
        InputError: ARGUMENT for no reason; CONFLICT if it was decided before, or the device is blocked.
    """
    await allow(office, operator, WATCHERS, "decide an appeal", visit.reference)
    check_why(why)
    async with office.ledger.begin() as tx:
        row = await tx.appeal(id_) if id_.isprintable() else None
        if row is None:
            raise DeniedError(Code.NOT_FOUND, "there is no such appeal", where=id_[:80])
        if row.closed is not None:
            raise InputError(Code.CONFLICT, f"it was decided before: {row.outcome}", where=id_)
        if not restored:
            return await close(tx, operator, row, UPHELD, visit, why)
        decided = await close(tx, operator, row, RESTORED, visit, why)
        device, user = await tx.device(row.device), await tx.user(row.user)
        if device is not None:
            await restore_device(tx, office.watch.rules, operator, device, why, visit)
        if user is not None and user.state == STOPPED:
            await restore_user(tx, office.watch.rules, operator, user, why, visit, guilty=False)
    return decided


def _alert(office: Office, row: AppealRow, visit: Visit) -> AlertRow:
    about, reference = (row.device,), visit.reference  # ours, not the one that the appeal names
    who = {"appeal": row.id, "device": row.device, "user": row.user}
    return new_alert(office, Alert.APPEAL_MADE, visit.now, about=about, next=NEXT, reference=reference, **who)


async def _ration(office: Office, device: str, now: int) -> bool:
    day = now // _DAY
    for number in range(A_DAY):
        name = f"appeal:{device}:{day}:{number}"
        if await office.counters.once(name, made=now, expires=(day + 1) * _DAY, now=now):
            return True
    return False
