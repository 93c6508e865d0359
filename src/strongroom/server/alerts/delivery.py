"""Delivering alerts: the table is the spool, so neither a dead receiver nor a crash loses one.

At least once: an alert is claimed before it is sent and noted after, and whoever dies in between leaves a claim that
ends. Receivers tell by the identifier what they had already.
"""

import asyncio
import json
import logging
from collections.abc import Callable, Sequence
from typing import Protocol

import structlog

from strongroom.errors import StrongroomError, UnreachableError
from strongroom.server.alerts.alert import MILD
from strongroom.server.audit import Event, event
from strongroom.server.office import Office
from strongroom.server.watch_ports import AlertRow

POLL = 2.0  # seconds between looks at the table
AT_ONCE = 8  # alerts on the way at a time
CLAIM = 60  # seconds after which an alert that was claimed and not noted is anybody's again
FIRST = 5  # seconds before the second attempt; doubles each time
LONGEST = 900  # seconds between two attempts
GIVE_UP = 72 * 3600  # seconds
OVER = 2**53 - 1  # the next attempt of what is sent or given up: looks at what is due pass it by
FAREWELL = 5.0  # seconds that what is on the way may take when the server ends

_log = structlog.get_logger(__name__)


class Receiver(Protocol):
    """What `Webhook` is for the delivery; tests put something else here."""

    async def send(self, id_: str, body: bytes, *, now: int) -> None:
        """Send one alert. Raises UnreachableError."""
        ...


class Delivery:
    """Sends what is due, for as long as the server runs.

    Args:
        office: its ledger, clock and randomness.
        receiver: who is told; None: alerts are log lines only, and stay in the table.
    """

    def __init__(self, office: Office, receiver: Receiver | None) -> None:
        self._office = office
        self._receiver = receiver
        self._going: set[asyncio.Task[None]] = set()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to look at the table, in the running loop."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        """Look no more; what is on the way has a few seconds. What is cut off is sent again after the next start."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._going:
            await asyncio.wait(self._going, timeout=FAREWELL)
        for task in list(self._going):
            task.cancel()
        await asyncio.gather(*self._going, return_exceptions=True)

    async def look(self) -> int:
        """Claim what is due and send it, as far as there is room; return how many. Does not wait for their end.

        Raises:
            StoreError: DATABASE.
        """
        claimed = await self._claim(AT_ONCE - len(self._going))
        for row in claimed:
            if row.attempts == 1:
                _tell(row)
            task = asyncio.get_running_loop().create_task(self._deliver(row))
            self._going.add(task)
            task.add_done_callback(self._going.discard)
        return len(claimed)

    async def drain(self) -> None:
        """Wait until nothing is on the way."""
        while self._going:
            await asyncio.gather(*self._going)

    async def _run(self) -> None:
        while True:
            try:
                while await self.look() and len(self._going) < AT_ONCE:
                    pass
            except StrongroomError as error:  # the database is away: the rows wait
                _log.warning("alerts cannot be read", code=str(error.code))
            except Exception:  # noqa: BLE001 - the rim of a task: one mistake would end all alerts, unseen
                _log.exception("looking for alerts failed in a way that cannot happen")
            await self._pause()

    async def _pause(self) -> None:
        """Wait for the next look; with many on the way also for the first that ends."""
        if len(self._going) < AT_ONCE:
            await asyncio.sleep(POLL)
        else:
            await asyncio.wait(self._going, timeout=POLL, return_when=asyncio.FIRST_COMPLETED)

    async def _claim(self, most: int) -> Sequence[AlertRow]:
        """Take up to `most` due alerts for this process: their next attempt is moved on before this one is made."""
        if most < 1:
            return ()
        now = self._office.now()
        async with self._office.ledger.begin() as tx:
            due = await tx.due_alerts(now=now, limit=most)
            for row in due:
                await tx.note_alert(row.id, attempts=row.attempts + 1, due=now + CLAIM)
        return [_counted(row) for row in due]

    async def _deliver(self, row: AlertRow) -> None:
        try:
            if self._receiver is None:
                await self._note(row, attempts=0, due=OVER, sent=self._office.now())
                return
            try:
                await self._receiver.send(row.id, row.body.encode("utf-8"), now=self._office.now())
            except UnreachableError as error:
                await self._failed(row, error)
            else:
                await self._note(row, attempts=row.attempts, due=OVER, sent=self._office.now())
                _log.info("alert delivered", alert=row.id, attempts=row.attempts)
        except StrongroomError as error:  # the database is away: the claim ends, and the alert is sent once more
            _log.warning("an alert's delivery could not be noted", alert=row.id, code=str(error.code))
        except Exception:  # noqa: BLE001 - the rim of a task: nobody else would ever hear of it
            _log.exception("delivering an alert failed in a way that cannot happen", alert=row.id)

    async def _failed(self, row: AlertRow, error: UnreachableError) -> None:
        now, attempts = self._office.now(), row.attempts
        if now - row.at >= GIVE_UP:
            async with self._office.ledger.begin() as tx:
                await tx.note_alert(row.id, attempts=attempts, due=OVER, given_up=now)
                detail: dict[str, str | int] = {"attempts": attempts, "code": str(error.code)}
                await tx.add_audit(event(Event.ALERT_GIVEN_UP, at=now, actor="", subject=row.id, **detail))
            _log.error("alert given up", alert=row.id, attempts=attempts, why=error.what, where=error.where)
            return
        due = now + delay(attempts, self._office.random)
        await self._note(row, attempts=attempts, due=due)
        if attempts & (attempts - 1) == 0:  # 1, 2, 4, 8 …: a receiver that is away for a day fills no log
            _log.warning("alert not delivered", alert=row.id, attempts=attempts, why=error.what, where=error.where)

    async def _note(self, row: AlertRow, *, attempts: int, due: int, sent: int | None = None) -> None:
        async with self._office.ledger.begin() as tx:
            await tx.note_alert(row.id, attempts=attempts, due=due, sent=sent)


def delay(attempts: int, random: Callable[[int], bytes]) -> int:
    """Return the seconds before the next attempt: doubling up to 15 minutes, and of that a random half to whole."""
    whole = min(FIRST << min(attempts - 1, 20), LONGEST)
    return whole // 2 + int.from_bytes(random(4)) % (whole - whole // 2 + 1)


def _counted(row: AlertRow) -> AlertRow:
    return AlertRow(row.id, row.key, row.at, row.body, row.attempts + 1, row.due)


def _tell(row: AlertRow) -> None:
    """Say the alert in the log, once: it is all there is without a webhook, and a second way with one."""
    try:
        value = json.loads(row.body)
    except ValueError:
        value = {}
    told = value if isinstance(value, dict) else {}
    level = logging.WARNING if told.get("type") in MILD else logging.ERROR
    _log.log(level, "alert", alert=row.id, about=str(told.get("type", "")), data=told.get("data", {}))
