"""Alerts as the office's people see them: what became of each, and one to try the webhook with."""

import json
from dataclasses import dataclass

from strongroom.canonical import JsonValue
from strongroom.server.accounts import READERS, allow
from strongroom.server.alerts.alert import Alert, new_alert
from strongroom.server.audit import Event, event
from strongroom.server.identify import Visit
from strongroom.server.office import Office
from strongroom.server.ports import Operator
from strongroom.server.watch_ports import AlertRow

MOST = 100  # the newest ones
TESTERS = ("admin", "operator", "security")


@dataclass(frozen=True, slots=True)
class AlertView:
    """An alert, and what became of it: waiting, delivered, logged (there was no webhook) or given up."""

    row: AlertRow
    state: str

    def to_value(self) -> dict[str, JsonValue]:
        """Return JSON terms; `next_attempt` is there while the alert waits."""
        row, told = self.row, _told(self.row.body)
        value: dict[str, JsonValue] = {
            "id": row.id,
            "at": row.at,
            "type": str(told.get("type", "")),
            "data": told.get("data", {}),
            "state": self.state,
            "attempts": row.attempts,
        }
        if self.state == "waiting":
            value["next_attempt"] = row.due
        elif row.sent is not None or row.given_up is not None:
            value["ended"] = row.sent if row.sent is not None else row.given_up
        return value


async def list_alerts(office: Office, operator: Operator, visit: Visit) -> tuple[AlertView, ...]:
    """Return the newest 100 alerts, the newest first. Raises DeniedError(FORBIDDEN)."""
    await allow(office, operator, READERS, "list alerts", visit.reference)
    async with office.ledger.begin() as tx:
        return tuple([AlertView(row, _state(row)) for row in await tx.alerts(limit=MOST)])


async def add_test(office: Office, operator: Operator, visit: Visit) -> AlertView:
    """Spool an alert that says nothing but that alerts arrive.

    Raises:
        DeniedError: FORBIDDEN.
    """
    await allow(office, operator, TESTERS, "test alerts", visit.reference)
    row = new_alert(office, Alert.TEST, visit.now, about=(visit.reference,), operator=operator.name)
    async with office.ledger.begin() as tx:
        await tx.add_alert(row)
        await tx.add_audit(event(Event.ALERT_TESTED, at=visit.now, actor=operator.id, subject=row.id))
    return AlertView(row, _state(row))


def _state(row: AlertRow) -> str:
    if row.given_up is not None:
        return "given up"
    if row.sent is None:
        return "waiting"
    return "delivered" if row.attempts else "logged"


def _told(body: str) -> dict[str, JsonValue]:
    try:
        value = json.loads(body)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
