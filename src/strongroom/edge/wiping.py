"""Wiping: carrying out orders, and reporting it (docs/spec/protocol.md section 14).

Each step is durable before the next: tombstone, keys, files, receipt, sent. A crash between two of them is gone on from
by whatever cleans the store next (`Store.clean`, `Store.pulling`).
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

from strongroom.edge import clock, tombstones
from strongroom.edge.clock import Reading
from strongroom.edge.enrol import thumbprint
from strongroom.edge.exchange import Line, Token
from strongroom.edge.opening import not_installed
from strongroom.edge.state import Identity, Install, Partial, State, Tombstone
from strongroom.edge.store import Store
from strongroom.errors import Code, RefusedError, StoreError, StrongroomError, UnreachableError
from strongroom.names import Reference
from strongroom.wire import trust as trust_of
from strongroom.wire.orders import ReceiptAnswer, ReceiptRequest, read_order

PATH = "/v1/orders/{}/receipt"
_NEVER_TAKEN = {Code.NOT_FOUND, Code.RECEIPT}  # the office does not know the order, or has another word for it
_log = logging.getLogger(__name__)


def obey(
    store: Store, line: Line, orders: Sequence[Sequence[str]], *, server_time: int, asked: Reading
) -> list[StrongroomError]:
    """Carry out what a signed answer to this device's own fresh challenge ordered. The caller holds `Store.pulling`.

    All orders of one answer, and its time, become true in one write of the state. They are judged by the trust
    document that is in force then; that it has expired keeps none back.

    Args:
        store: the device directory.
        line: this device's; its key says who it is.
        orders: each the JWS of one order.
        server_time: as the answer says.
        asked: the clocks before the request was sent.

    Returns:
        Why an order was refused, for each that was; the others were carried out.

    Raises:
        RefusedError: WIPED, if an order cannot be written down. Nothing has changed then, but it was heard.
        StoreError: orders are in force, but keys or files are still here, and the next start goes on; or all were
            refused, and the time cannot be written down.
    """
    refused: list[StrongroomError] = []
    device = thumbprint(line.signer.public)

    def change(state: State) -> State:
        trust = trust_of.read(state.trust_document())
        state = replace(state, clock=clock.contact(server_time, asked, store.clocks()))
        for jwss in orders:
            try:
                order = read_order(jwss, trust, device_key=device, at=server_time)
                state = tombstones.bury(state, order, state.clock.seen)
            except StrongroomError as error:
                _log.warning("a wipe order is refused: %s", error)
                refused.append(error)
        return state

    try:
        state = store.update(change)
    except StoreError as error:
        if len(refused) == len(orders):
            raise  # it is about the clock then: nobody who may has ordered anything
        what = f"a wipe order came that cannot be written down: {error.what}"
        raise RefusedError(Code.WIPED, what, where=error.where, next_step=error.next_step) from error
    if tombstones.unfinished(state):
        store.sweep()
    return refused


def report(
    store: Store, line: Line, identity: Identity, tried: Mapping[str, StrongroomError] | None = None
) -> dict[str, StrongroomError]:
    """Send the receipts that the office does not have yet; what cannot be sent stays for the next contact.

    A receipt that the office refuses is given up once its order is over: until then somebody else may have answered.

    Args:
        store: the device directory.
        line: the way to the office.
        identity: who this device is.
        tried: what failed in this contact before, by order: it is not tried again.

    Returns:
        Why a receipt was not sent in this contact, by order; after a broken line no more are tried.
    """
    failed = dict(tried or {})
    state = store.read()
    if state is None:
        return failed
    for stone in tombstones.unsent(state):
        if stone.order_id in failed:
            continue
        try:
            _send(line, identity, stone)
            store.update(partial(tombstones.sent, order_id=stone.order_id))
        except StrongroomError as error:
            failed[stone.order_id] = error
            if isinstance(error, UnreachableError):
                _log.warning("a receipt was not sent: %s", error)
                break
            _not_taken(store, stone, error, state.clock.seen)
    return failed


def remove(store: Store, wanted: Sequence[Reference]) -> tuple[Install | Partial, ...]:
    """Destroy keys and files because the device's owner says so; nobody is asked or told.

    A download that was begun goes too: of the version that is named, or of any if no version is. The server goes on
    counting the lease; pulling again is a new release.

    Args:
        store: the device directory.
        wanted: what is to go; nothing goes unless all of it is here.

    Returns:
        What was installed, and what was begun.

    Raises:
        SetupError: NOT_ENROLLED; NOT_INSTALLED, if one of them is not here.
        StoreError: as `Store.pulling`. What the state does not name any more opens no more, and the next start goes on.
    """
    found: dict[str, Install | Partial] = {}

    def change(state: State) -> State:
        for reference in wanted:
            install, version = state.find(reference), reference.version
            begun = [one for one in state.partials if one.model == reference.model and version in {None, one.version}]
            if install is None and not begun:
                raise not_installed(reference)
            found.update({one.id: one for one in begun})
            if install is not None:
                found[install.id] = install
        return replace(
            state,
            installs=tuple(one for one in state.installs if one.id not in found),
            partials=tuple(one for one in state.partials if one.id not in found),
        )

    with store.pulling():
        store.update(change)
        store.sweep()
    return tuple(found.values())


def _not_taken(store: Store, stone: Tombstone, error: StrongroomError, now: int) -> None:
    if error.code not in _NEVER_TAKEN or now < stone.expires:
        _log.warning("a receipt was not taken: %s", error)
        return
    _log.warning("a receipt is given up, since its order is over and the server does not take it: %s", error)
    try:
        store.update(partial(tombstones.sent, order_id=stone.order_id))
    except StoreError as refused:
        _log.warning("that a receipt is given up is not written down: %s", refused)


def _send(line: Line, identity: Identity, stone: Tombstone) -> None:
    path = PATH.format(stone.order_id)
    body = ReceiptRequest(stone.receipt or "").to_bytes()
    answer = line.post(path, body, Token("DPoP", identity.token), limit=ReceiptAnswer.LIMIT)
    if ReceiptAnswer.from_bytes(answer).order_id != stone.order_id:
        raise UnreachableError(Code.ANSWER, "the answer to a receipt is for another order", where=stone.model)
