"""Who is watched, why in one line, and what their devices still hold: where somebody who is called at night begins."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from strongroom.canonical import JsonValue
from strongroom.errors import DeniedError
from strongroom.server.devices import BLOCKED, MOST_SHOWN
from strongroom.server.identify import ACTIVE, STOPPED, Visit
from strongroom.server.office import Office
from strongroom.server.ports import DeviceRow, Operator, Transaction
from strongroom.server.watching.deciding import BANDS, HIGH
from strongroom.server.watching.explaining import Standing, explain, standing

MOST_REASONS = 3  # rules that are named
MOST_WHY = 400  # characters
MOST_DEVICES = 100  # of one user in one state that are looked at


@dataclass(frozen=True, slots=True)
class Watched:
    """A user or device in a band.

    Attributes:
        standing: who, and since when.
        why: the stops in force, and the rules with the most points.
        holds: models whose lease is not over and that were not reported wiped: of the device, or, at high and stop, of
            all devices of the user. None where nobody counted.
        pending: wipe orders in force that were not reported on; counted likewise.
    """

    standing: Standing
    why: str = ""
    holds: int | None = None
    pending: int | None = None

    def to_value(self) -> dict[str, JsonValue]:
        """Return JSON terms."""
        return self.standing.to_value() | {"why": self.why, "holds": self.holds, "pending": self.pending}


async def watched(office: Office, operator: Operator, visit: Visit, *, least: str) -> tuple[Watched, ...]:
    """Return up to 100 users and devices in a band or above, the last moved first.

    Raises:
        DeniedError: FORBIDDEN.
    """
    found = []
    for one in await standing(office, operator, visit, least=least):
        await asyncio.sleep(0)  # a page of these asks the ledger some hundred times: devices are answered in between
        found.append(await _watched(office, operator, one, visit))
    return tuple(found)


async def _watched(office: Office, operator: Operator, one: Standing, visit: Visit) -> Watched:
    if not one.label:
        return Watched(one)  # the row is gone: nothing can be explained or wiped
    try:
        told = await explain(office, operator, one.label, visit)
    except DeniedError:
        return Watched(one)  # gone since it was listed
    async with office.ledger.begin() as tx:
        if one.kind == "key":
            devices: Sequence[DeviceRow] = () if told.device is None else (told.device,)
        elif told.user is not None and BANDS.index(one.band) >= HIGH:
            devices = [
                device
                for state in (ACTIVE, STOPPED, BLOCKED)
                for device in await tx.devices_of(told.user, state=state, limit=MOST_DEVICES)
            ]
        else:
            return Watched(one, reasons(told.decision))
        counts = [await _counts(tx, device.id, visit.now) for device in devices]
    holds, pending = (sum(column) for column in zip(*counts, strict=True)) if counts else (0, 0)
    return Watched(one, reasons(told.decision), holds, pending)


async def _counts(tx: Transaction, device: str, now: int) -> tuple[int, int]:
    """Count what a device may still open, and the orders it has not answered."""
    held = await tx.holdings(device, limit=MOST_SHOWN)
    orders = await tx.orders(device, limit=MOST_SHOWN)
    waiting = [row for row in orders if row.reported is None and row.withdrawn is None and now < row.expires]
    return sum(now < row.expires for row in held), len(waiting)


def reasons(decision: dict[str, JsonValue]) -> str:
    """Return why in one line: what stops, or what the rules with the most points are."""
    stops, rules = decision.get("stops"), decision.get("rules")
    words = [str(one.get("word")) for one in stops if isinstance(one, dict)] if isinstance(stops, list) else []
    scored = [one for one in rules if isinstance(one, dict)] if isinstance(rules, list) else []
    most = sorted(scored, key=lambda one: -float(str(one.get("points", 0))))[:MOST_REASONS]
    words += [f"{one.get('rule')} {one.get('points')}" for one in most]
    return ", ".join(dict.fromkeys(words))[:MOST_WHY]
