"""Keeping up while the server runs, and the hits that a crash left behind."""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import suppress

import structlog

from strongroom.canonical import to_base64url
from strongroom.errors import StrongroomError
from strongroom.server import tokens
from strongroom.server.audit import Event
from strongroom.server.bait.board import FIELD, KEY, MODEL, TOKEN, Traps, operator_secret
from strongroom.server.bait.marks import OPERATOR_PREFIX
from strongroom.server.bait.shipped import ENDPOINT
from strongroom.server.identify import Visit
from strongroom.server.office import Office
from strongroom.server.ports import AuditEvent, Transaction
from strongroom.server.traps import hits
from strongroom.server.traps.loading import load
from strongroom.server.traps.sight import Seen

EVERY = 5.0  # seconds between two looks at the table
BACK = 86_400  # seconds that are searched for hits left behind
MOST_BACK = 20_000  # rows of the audit log that are searched for them, the newest

_PAGE = 1000
_LEFT = {  # refusals and grants that may be of a decoy → what of them would show it
    str(Event.DECOY_REFUSED): ENDPOINT,
    str(Event.RELEASE_GRANTED): MODEL,
    str(Event.RELEASE_REFUSED): MODEL,
    str(Event.URLS_REFUSED): KEY,
    str(Event.LEASE_REFUSED): KEY,
    str(Event.CALLER_REFUSED): TOKEN,
}

_log = structlog.get_logger(__name__)


class Keeper:
    """Reads the table of decoys again and again, for as long as the server runs.

    Args:
        office: its ledger.
    """

    def __init__(self, office: Office) -> None:
        self._office = office
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin, in the running loop."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        """End, once every hit is followed up."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        await self._office.traps.settled()

    async def _run(self) -> None:
        recovered = False
        while True:
            try:
                await load(self._office)
                if not recovered:
                    await recover(self._office)
                    recovered = True
            except StrongroomError as error:  # the decoys known so far stay in force
                _log.warning("decoys could not be read", code=str(error.code))
            await asyncio.sleep(EVERY)


async def recover(office: Office) -> int:
    """Follow up the hits that a crash came before: their refusal or grant is in the audit log, but no hit is.

    What was asked for before it became a decoy is no hit: nobody is stopped for having used it while it was real.

    What is not found so: a canary, of whose requests nothing is written down; a token that had expired, was
    shown at the other port or was not the first to be refused in its minute; a field in a renewal that was answered
    with orders. Who showed a token is not known any more.

    Returns:
        How many hits there were.

    Raises:
        StoreError: DATABASE.
    """
    rows, known = await _newest(office, office.now() - BACK), office.traps.known
    done = {_hit_of(row) for row in rows if row.event in {Event.DECOY_HIT, Event.DECOY_TESTED}}
    heard = {row.subject: row.at for row in rows if row.event == Event.DECOY_HIT}
    added = {row.subject: number for number, row in enumerate(rows) if row.event == Event.DECOY_ADDED}
    traces, count = _traces(office.traps), 0
    for number, row in enumerate(rows):
        for kind, thing in _told(row, traces):
            decoy = known.by_thing.get((kind, thing))
            if decoy is None or row.at < decoy.created or number < added.get(decoy.id, 0):
                continue
            # a hit by nobody known leaves a row a minute at most, and all that another one could say is in that one
            if kind == TOKEN and heard.get(decoy.id, -1) >= row.at - hits.NOISE_SECONDS:
                continue
            if (row.detail.get("reference"), decoy.id) in done:
                continue
            await _follow(office, kind, thing, row)
            heard[decoy.id] = office.now()
            count += 1
    if count:
        _log.warning("decoy hits that a crash left behind were followed up", hits=count)
    return count


async def _follow(office: Office, kind: str, thing: str, row: AuditEvent) -> None:
    visit = Visit(office.now(), str(row.detail.get("reference", "")), "", "")
    async with office.ledger.begin() as tx:
        device = await tx.device(row.actor)
        user = await tx.user(device.user) if device else None
    await hits.settle(office, [Seen(kind, thing, device, user, visit)])


def _hit_of(row: AuditEvent) -> tuple[object, str]:
    return row.detail.get("reference"), row.subject


def _traces(traps: Traps) -> dict[str, str]:
    """Return what a refusal's row keeps of a decoy operator's token → what the token shows of itself."""
    secrets = [operator_secret(row, traps.marks) for row in traps.known.rows.values() if row.kind == TOKEN]
    return {tokens.trace(OPERATOR_PREFIX + to_base64url(one)): one.hex() for one in secrets}


def _told(row: AuditEvent, traces: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield what a row says of things that may be decoys: kind and thing."""
    kind = _LEFT.get(row.event)
    if kind == TOKEN:
        yield kind, row.actor or traces.get(str(row.detail.get("shown", "")), "")
    elif kind == MODEL:
        yield kind, row.subject.partition("@")[0]
    elif kind == ENDPOINT:
        yield kind, str(row.detail.get("route", ""))
    elif kind is not None:
        yield kind, row.subject
    for name in str(row.detail.get("honey", "")).split(","):  # of releases and renewals, granted or refused
        yield FIELD, name


async def _newest(office: Office, since: int) -> list[AuditEvent]:
    """Return the newest rows since a time, at most `MOST_BACK`; searches for the first one, since rows are in order."""
    async with office.ledger.begin() as tx:
        start = await first_since(tx, since)
        found: list[tuple[int, AuditEvent]] = []
        while page := await tx.audit(after=start, limit=_PAGE):
            found = (found + list(page))[-MOST_BACK:]
            start = page[-1][0]
    return [row for _, row in found]


async def first_since(tx: Transaction, since: int) -> int:
    """Return the least number behind which only rows since a time stand; rows are in the order of time."""
    low, high = -1, 0
    while (row := await tx.audit(after=high, limit=1)) and row[0][1].at < since:
        low, high = high, max(1, high * 2)
    while high - low > 1:
        middle = (low + high) // 2
        row = await tx.audit(after=middle, limit=1)
        low, high = (middle, high) if row and row[0][1].at < since else (low, middle)
    return high
