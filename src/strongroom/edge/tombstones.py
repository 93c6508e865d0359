"""What the device remembers of wipe orders: a state in, a state out (docs/spec/protocol.md section 14).

A tombstone comes into the state in the same write in which the version goes out of it. Its receipt is signed once keys
and files are gone, and it stays until the office has the receipt and the order could not be replayed any more.
"""

from dataclasses import replace
from datetime import UTC, datetime

from strongroom.edge.enrol import thumbprint
from strongroom.edge.state import State, Tombstone
from strongroom.errors import Code, RefusedError, StoreError
from strongroom.names import Reference
from strongroom.signing import Signer
from strongroom.wire import orders
from strongroom.wire.orders import ABSENT, WIPED, Order, Receipt

MOST = 1024  # tombstones a state has room for
_YEAR_9999 = 253_370_764_800  # Unix seconds beyond which Python writes no date


def bury(state: State, order: Order, now: int) -> State:
    """Return the state without the version of an order and with its tombstone: step 1 of wiping.

    An order that is remembered changes nothing but that its receipt is due again, whatever is installed by now.

    Args:
        state: what is remembered.
        order: as `orders.read_order` returned it.
        now: the device's time in Unix seconds.

    Raises:
        StoreError: DISK_FULL, if there are 1,024 tombstones and none of them may go.
    """
    if any(one.order_id == order.order_id for one in state.tombstones):
        again = tuple(replace(one, sent=False) if one.order_id == order.order_id else one for one in state.tombstones)
        return replace(state, tombstones=again)
    named = (order.model, order.version)
    installs = tuple(one for one in state.installs if (one.model, one.version) != named)
    partials = tuple(one for one in state.partials if (one.model, one.version) != named)
    here = len(installs) < len(state.installs) or len(partials) < len(state.partials)
    stone = Tombstone(
        order_id=order.order_id,
        order=orders.digest(order),
        model=order.model,
        version=order.version,
        expires=order.expires,
        outcome=WIPED if here else ABSENT,
        at=now,
        receipt=None,
        sent=False,
    )
    return replace(state, installs=installs, partials=partials, tombstones=(*_with_room(state.tombstones, now), stone))


def settle(state: State, signer: Signer | None) -> State:
    """Return the state with the receipts that are due, and without tombstones that have served: step 4 of wiping.

    Only for a caller that has just destroyed and removed whatever the state does not name.

    Args:
        state: what is remembered.
        signer: the device key; None signs nothing.
    """
    now = state.clock.seen
    kept = tuple(one for one in state.tombstones if not (one.sent and one.expires <= now))
    if signer is not None:
        kept = tuple(one if one.receipt is not None or one.sent else _signed(one, signer) for one in kept)
    return state if kept == state.tombstones else replace(state, tombstones=kept)


def sent(state: State, order_id: str) -> State:
    """Return the state in which the office has the receipt for an order: step 5 of wiping."""
    stones = tuple(replace(one, sent=True) if one.order_id == order_id else one for one in state.tombstones)
    return settle(replace(state, tombstones=stones), None)


def unsent(state: State) -> tuple[Tombstone, ...]:
    """Return the tombstones whose receipt is ready to be sent."""
    return tuple(one for one in state.tombstones if one.receipt is not None and not one.sent)


def unfinished(state: State) -> bool:
    """Say whether keys and files of a wiped version may still be here."""
    return any(one.receipt is None and not one.sent for one in state.tombstones)


def ordered(state: State, model: str, version: str) -> frozenset[str]:
    """Return the ids of the orders remembered for a version."""
    return frozenset(one.order_id for one in state.tombstones if (one.model, one.version) == (model, version))


def wiped(state: State, reference: Reference) -> RefusedError | None:
    """Return the refusal to open what was wiped, for a reference that nothing is installed for."""
    mine = [one for one in state.tombstones if one.outcome == WIPED and one.model == reference.model]
    found = [one for one in mine if reference.version in {None, one.version}]
    if not found:
        return None
    last = max(found, key=lambda one: one.at)
    when = datetime.fromtimestamp(last.at, UTC).strftime(" at %Y-%m-%dT%H:%M:%SZ") if last.at < _YEAR_9999 else ""
    return refusal(last.model, last.version, last.order_id, when)


def refusal(model: str, version: str, order_id: str, when: str = "") -> RefusedError:
    """Return the refusal to open a version that an order wiped; its reference is the order, for an appeal."""
    what = f"{model} {version} was wiped from this device{when} by order {order_id}"
    step = f"ask the model's operator why; `strongroom pull {model}@{version}` asks for it anew"
    error = RefusedError(Code.WIPED, what, where=f"{model}@{version}", next_step=step)
    error.reference = order_id
    return error


def _signed(stone: Tombstone, signer: Signer) -> Tombstone:
    receipt = Receipt(stone.order_id, stone.order, thumbprint(signer.public), stone.outcome, stone.at)
    return replace(stone, receipt=orders.sign_receipt(receipt, signer))


def _with_room(stones: tuple[Tombstone, ...], now: int) -> tuple[Tombstone, ...]:
    if len(stones) < MOST:
        return stones
    free = [one for one in stones if one.sent or one.expires <= now]
    if not free:
        what, step = f"{MOST} wipe orders wait for their receipts to be sent", "connect, so that they can be sent"
        raise StoreError(Code.DISK_FULL, what, next_step=step)
    first = min(free, key=lambda one: (one.expires, one.order_id))
    return tuple(one for one in stones if one is not first)
