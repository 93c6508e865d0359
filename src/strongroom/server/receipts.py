"""Receipts: a device says that it carried out a wipe order (docs/spec/protocol.md section 14).

It is the device's word and no proof: a copy of the device says the same.
"""

from strongroom.errors import Code, DeniedError, InputError, StrongroomError
from strongroom.server.audit import Event, event
from strongroom.server.identify import DeviceCaller, Visit
from strongroom.server.office import Office
from strongroom.server.ports import OrderRow, Transaction
from strongroom.server.release import refused
from strongroom.wire import orders
from strongroom.wire.orders import Order, ReceiptAnswer, ReceiptRequest


async def take_receipt(
    office: Office, caller: DeviceCaller, order_id: str, request: ReceiptRequest, visit: Visit
) -> ReceiptAnswer:
    """Write a receipt down; the very same one again changes nothing, also when the order has expired meanwhile.

    From then on the leases that the device had for this version are not renewed any more.

    Raises:
        DeniedError: NOT_FOUND for an order that is not this device's, and for none.
        InputError: RECEIPT if it does not hold, is for another order, or differs from the one that is there.
        StoreError: DATABASE.
    """
    try:
        async with office.ledger.begin() as tx:
            row = await tx.order(order_id)
            if row is None or row.device != caller.device.id:
                raise DeniedError(Code.NOT_FOUND, "there is no such order for this device", where=order_id)
            if row.receipt is None:
                await _write(tx, caller, row, request.receipt, visit)
            elif row.receipt != request.receipt:
                raise InputError(Code.RECEIPT, "another receipt for this order is there already", where=order_id)
    except StrongroomError as error:
        await refused(office, Event.WIPE_REFUSED, caller, order_id, error, visit)
        raise
    return ReceiptAnswer(order_id, visit.now)


async def _write(tx: Transaction, caller: DeviceCaller, row: OrderRow, text: str, visit: Visit) -> None:
    receipt = orders.read_receipt(text, caller.key, Order.from_bytes(row.payload))
    await tx.note_reported(row.id, at=visit.now, outcome=receipt.outcome, receipt=text)
    # what was released after the order had expired or was withdrawn is another copy: a late receipt says nothing of it
    over = row.expires if row.withdrawn is None else min(row.withdrawn, row.expires)
    await tx.end_leases(row.device, row.version_id, before=over, at=visit.now)
    await tx.add_audit(
        event(
            Event.WIPE_REPORTED,
            at=visit.now,
            actor=row.device,
            subject=row.id,
            version=f"{row.model}@{row.version}",
            outcome=receipt.outcome,
            device_time=receipt.at,
            account=caller.account.id,
            reference=visit.reference,
        )
    )
