"""Devices as the office's people see them: what each holds, was ordered and reported; and blocking them."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

from strongroom.errors import Code, DeniedError
from strongroom.server.accounts import KEEPERS, READERS, allow
from strongroom.server.audit import Event, event
from strongroom.server.identify import ACTIVE, Visit
from strongroom.server.office import Office
from strongroom.server.ports import DeviceRow, Holding, Operator, OrderRow

BLOCKED = "blocked"
MOST_SHOWN = 100  # versions and orders of one device, the newest first


@dataclass(frozen=True, slots=True)
class DeviceView:
    """A device, what it was given and did not report wiped, and what it was ordered; newest first."""

    row: DeviceRow
    holdings: Sequence[Holding]
    orders: Sequence[OrderRow]
    now: int


async def show_device(office: Office, operator: Operator, id_: str, visit: Visit) -> DeviceView:
    """Return a device with what it holds and what it was ordered.

    Raises:
        DeniedError: FORBIDDEN or NOT_FOUND.
    """
    await allow(office, operator, READERS, "show a device", visit.reference)
    async with office.ledger.begin() as tx:
        row = await tx.device(id_)
        holdings = await tx.holdings(id_, limit=MOST_SHOWN)
        orders = await tx.orders(id_, limit=MOST_SHOWN)
    if row is None:
        raise _not_found(id_)
    return DeviceView(row, holdings, orders, visit.now)


async def set_blocked(office: Office, operator: Operator, id_: str, visit: Visit, *, blocked: bool) -> DeviceRow:
    """Block a device, or let it in again. What it holds opens until its leases end. Saying it again is harmless.

    A blocked device gets no release and no renewal; it can still fetch wipe orders and report on them.

    Raises:
        DeniedError: FORBIDDEN or NOT_FOUND.
    """
    await allow(office, operator, KEEPERS, "block a device" if blocked else "unblock a device", visit.reference)
    state, name = (BLOCKED, Event.DEVICE_BLOCKED) if blocked else (ACTIVE, Event.DEVICE_UNBLOCKED)
    async with office.ledger.begin() as tx:
        row = await tx.device(id_)
        if row is None:
            raise _not_found(id_)
        if row.state != state:
            await tx.set_device_state(id_, state)
            await tx.add_audit(event(name, at=visit.now, actor=operator.id, subject=id_, reference=visit.reference))
    return dataclasses.replace(row, state=state)


def _not_found(id_: str) -> DeniedError:
    return DeniedError(Code.NOT_FOUND, "there is no such device", where=id_, next_step="see: strongroom device list")
